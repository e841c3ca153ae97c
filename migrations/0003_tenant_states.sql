-- What each replica does with each tenant, for `trunkline tenant list`. Nothing
-- is decided by it.

CREATE TABLE tenant_states (
    -- No foreign key: a tenant's removal never waits for a report about it.
    tenant_id   uuid        NOT NULL,
    replica     text        NOT NULL,
    state       text        NOT NULL,
    reason      text,
    version     bigint,
    since       timestamptz NOT NULL,
    reported_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, replica)
);

CREATE INDEX tenant_states_by_age ON tenant_states (reported_at);

COMMENT ON TABLE tenant_states IS
    'What each replica does with each tenant, as it last reported. For people; nothing is decided by it.';
COMMENT ON COLUMN tenant_states.tenant_id IS
    'tenants.id.';
COMMENT ON COLUMN tenant_states.replica IS
    'The replica that reports.';
COMMENT ON COLUMN tenant_states.state IS
    'For instance registered, connecting, parked or draining.';
COMMENT ON COLUMN tenant_states.reason IS
    'Why, where the state has a reason.';
COMMENT ON COLUMN tenant_states.version IS
    'The version of the tenant''s row that the replica works with.';
COMMENT ON COLUMN tenant_states.since IS
    'When the tenant came into this state on this replica.';
COMMENT ON COLUMN tenant_states.reported_at IS
    'When the replica last said so. Old: the replica is gone.';
