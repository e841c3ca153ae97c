-- Refused offers: one row for each tenant, reason, process and minute, however many they were.

CREATE TABLE refused_offers (
    -- No foreign key: a record is kept, and can be written, when the tenant is gone.
    tenant_id uuid        NOT NULL,
    minute    timestamptz NOT NULL CHECK (minute = date_trunc('minute', minute, 'UTC')),
    reason    text        NOT NULL,
    replica   text        NOT NULL,
    instance  text        NOT NULL,
    count     bigint      NOT NULL CHECK (count > 0),
    first_at  timestamptz NOT NULL,
    last_at   timestamptz NOT NULL,
    PRIMARY KEY (minute, tenant_id, reason, replica, instance)
);

CREATE INDEX refused_offers_by_tenant ON refused_offers (tenant_id, minute DESC);

COMMENT ON TABLE refused_offers IS
    'Offers of calls that were refused, one row for each tenant, reason, process and minute. Nothing shortens it: delete what is too old, as you do with calls.';
COMMENT ON COLUMN refused_offers.tenant_id IS
    'Whose call it would have been: tenants.id, also of a tenant that has been removed.';
COMMENT ON COLUMN refused_offers.minute IS
    'The beginning of the minute in which they were refused, in UTC.';
COMMENT ON COLUMN refused_offers.reason IS
    'Why, as in the metric trunkline_offers_total: for instance tenant_full, tenant_rate, tenant_share, process_full or draining.';
COMMENT ON COLUMN refused_offers.replica IS
    'The replica that refused them.';
COMMENT ON COLUMN refused_offers.instance IS
    'What tells processes of one name apart.';
COMMENT ON COLUMN refused_offers.count IS
    'How many. The process that counts writes the whole number again as it grows.';
COMMENT ON COLUMN refused_offers.first_at IS
    'When the first of them was refused.';
COMMENT ON COLUMN refused_offers.last_at IS
    'When the last of them was refused.';
