-- The API: who may use it, and what was done with it.

CREATE TABLE api_tokens (
    id            uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    name          text        NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    prefix        text        NOT NULL UNIQUE,
    secret_sha256 bytea       NOT NULL CHECK (octet_length(secret_sha256) = 32),
    scope         text        NOT NULL CHECK (scope IN ('read', 'operator', 'admin')),
    -- No foreign key: a tenant's removal never waits for its tokens. A token of a
    -- tenant that is gone is refused.
    tenant_id     uuid,
    created_at    timestamptz NOT NULL DEFAULT now(),
    created_by    text        NOT NULL,
    expires_at    timestamptz,
    revoked_at    timestamptz,
    revoked_by    text,
    last_used_at  timestamptz
);

-- A name says which token is meant; that of a revoked one is free again.
CREATE UNIQUE INDEX api_tokens_by_name ON api_tokens (name) WHERE revoked_at IS NULL;

COMMENT ON TABLE api_tokens IS
    'Who may use the API. A token itself is nowhere: it cannot be read again.';
COMMENT ON COLUMN api_tokens.id IS
    'Identity.';
COMMENT ON COLUMN api_tokens.name IS
    'Name for people, in the audit and in the history of tenants. One at a time has it.';
COMMENT ON COLUMN api_tokens.prefix IS
    'The public part of the token, by which it is found.';
COMMENT ON COLUMN api_tokens.secret_sha256 IS
    'SHA-256 of the token''s secret part, which is 256 random bits.';
COMMENT ON COLUMN api_tokens.scope IS
    'read; operator: also switches tenants, hangs up, drains; admin: also writes tenants and tokens.';
COMMENT ON COLUMN api_tokens.tenant_id IS
    'The only tenant that it sees. NULL: it sees all.';
COMMENT ON COLUMN api_tokens.created_at IS
    'When it was made.';
COMMENT ON COLUMN api_tokens.created_by IS
    'Who made it.';
COMMENT ON COLUMN api_tokens.expires_at IS
    'When it ends by itself. NULL: never.';
COMMENT ON COLUMN api_tokens.revoked_at IS
    'When it was revoked. It is refused at once.';
COMMENT ON COLUMN api_tokens.revoked_by IS
    'Who revoked it.';
COMMENT ON COLUMN api_tokens.last_used_at IS
    'When it was last used, to the minute.';

CREATE TABLE api_audit (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    replica    text        NOT NULL,
    request_id text,
    actor      text        NOT NULL,
    token_id   uuid,
    address    text,
    action     text        NOT NULL,
    target     text,
    tenant_id  uuid,
    outcome    text        NOT NULL CHECK (outcome IN ('done', 'refused', 'failed')),
    status     integer,
    detail     text
);

CREATE INDEX api_audit_by_tenant ON api_audit (tenant_id, id DESC);

COMMENT ON TABLE api_audit IS
    'Every change that the API was asked for, and every authentication that it refused. Never a secret. Nothing shortens it: delete what is too old.';
COMMENT ON COLUMN api_audit.id IS
    'Identity. What happened later has a higher one.';
COMMENT ON COLUMN api_audit.at IS
    'When.';
COMMENT ON COLUMN api_audit.replica IS
    'The replica that was asked.';
COMMENT ON COLUMN api_audit.request_id IS
    'The x-request-id of the answer, which the log has as well.';
COMMENT ON COLUMN api_audit.actor IS
    'Who: "api:" and the token''s name, "cli:" and the system''s user, or "anonymous".';
COMMENT ON COLUMN api_audit.token_id IS
    'api_tokens.id, where the token is known.';
COMMENT ON COLUMN api_audit.address IS
    'Where the request came from.';
COMMENT ON COLUMN api_audit.action IS
    'What was asked for, for instance tenant.disable, call.hang_up or authenticate.';
COMMENT ON COLUMN api_audit.target IS
    'Of what: a tenant''s slug, a call''s id, a token''s name.';
COMMENT ON COLUMN api_audit.tenant_id IS
    'The tenant that it is about.';
COMMENT ON COLUMN api_audit.outcome IS
    'done; refused: it may not be, or not so; failed: it could not be done.';
COMMENT ON COLUMN api_audit.status IS
    'The HTTP status of the answer.';
COMMENT ON COLUMN api_audit.detail IS
    'Why it was refused or failed.';

-- Calls by who called, for those who look for one call.
CREATE INDEX calls_by_caller ON calls (caller, started_at DESC) WHERE caller IS NOT NULL;
COMMENT ON COLUMN calls.outcome IS
    'How the call ended, for instance caller_hung_up, ended_by_operator or model_failed.';
