-- Calls: one row for each call, written when it is over.

CREATE TABLE calls (
    id              uuid        PRIMARY KEY,
    -- No foreign key: a record is kept, and can be written, when the tenant is gone.
    tenant_id       uuid        NOT NULL,
    replica         text        NOT NULL,
    job_id          text        NOT NULL,
    room            text        NOT NULL,
    sip_call_id     text,
    trunk_id        text,
    direction       text,
    caller          text,
    called          text,
    config_source   text,
    fallback_reason text,
    model           text,
    outcome         text        NOT NULL,
    detail          text,
    started_at      timestamptz NOT NULL,
    joined_ms       bigint,
    configured_ms   bigint,
    model_ready_ms  bigint,
    answered_ms     bigint,
    active_ms       bigint,
    first_sound_ms  bigint,
    ended_ms        bigint,
    recorded_at     timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX calls_by_start ON calls (started_at DESC, id DESC);
CREATE INDEX calls_by_tenant ON calls (tenant_id, started_at DESC);

COMMENT ON TABLE calls IS
    'One row for each call, written when it is over.';
COMMENT ON COLUMN calls.id IS
    'Identity: a UUID of version 7, which sorts by time.';
COMMENT ON COLUMN calls.tenant_id IS
    'Whose call: tenants.id, also of a tenant that has been removed.';
COMMENT ON COLUMN calls.replica IS
    'The replica that ran the call.';
COMMENT ON COLUMN calls.job_id IS
    'LiveKit''s id of the job.';
COMMENT ON COLUMN calls.room IS
    'The LiveKit room. Its name can hold a phone number.';
COMMENT ON COLUMN calls.sip_call_id IS
    'LiveKit''s id of the SIP call.';
COMMENT ON COLUMN calls.trunk_id IS
    'LiveKit''s id of the SIP trunk.';
COMMENT ON COLUMN calls.direction IS
    'inbound or outbound. NULL: no caller was seen.';
COMMENT ON COLUMN calls.caller IS
    'The phone side''s number as the trunk gave it. Personal data.';
COMMENT ON COLUMN calls.called IS
    'The called number as the trunk gave it. Personal data.';
COMMENT ON COLUMN calls.config_source IS
    'Where the configuration came from: fresh, tenant_default or no_lookup. NULL: the call ended before it was decided.';
COMMENT ON COLUMN calls.fallback_reason IS
    'Why the configuration was not the backend''s answer for this call.';
COMMENT ON COLUMN calls.model IS
    'The model that was asked for.';
COMMENT ON COLUMN calls.outcome IS
    'How the call ended, for instance caller_hung_up or model_failed.';
COMMENT ON COLUMN calls.detail IS
    'More about a failure.';
COMMENT ON COLUMN calls.started_at IS
    'When the job was assigned. The columns in _ms count from here.';
COMMENT ON COLUMN calls.joined_ms IS
    'When the agent was in the room, in milliseconds from started_at.';
COMMENT ON COLUMN calls.configured_ms IS
    'When the configuration was decided, in milliseconds from started_at.';
COMMENT ON COLUMN calls.model_ready_ms IS
    'When the model''s session was configured, in milliseconds from started_at.';
COMMENT ON COLUMN calls.answered_ms IS
    'When the phone was answered, in milliseconds from started_at.';
COMMENT ON COLUMN calls.active_ms IS
    'When both sides could hear each other, in milliseconds from started_at.';
COMMENT ON COLUMN calls.first_sound_ms IS
    'When the agent''s first sound was sent after that, in milliseconds from started_at.';
COMMENT ON COLUMN calls.ended_ms IS
    'When the call was over, in milliseconds from started_at.';
COMMENT ON COLUMN calls.recorded_at IS
    'When this row was first written.';
