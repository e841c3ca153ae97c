-- Tenants: one row for each LiveKit project that is served.
--
-- A row may be written with plain SQL. These four columns are enough:
--
--   INSERT INTO tenants (slug, livekit_url, livekit_api_key, livekit_api_secret)
--   VALUES ('acme', 'wss://acme.livekit.cloud', 'APIabc', 'the secret');
--
-- Secrets are written in clear. As a replica first reads the row it seals them
-- (AES-256-GCM) into the column of the same name with `_sealed`, and erases the
-- clear text. A new clear text replaces what was sealed; an empty one removes it.
--
-- The table holds whatever it is given, so that a wrong value stops one tenant
-- and not an import. What is wrong with a row is said by `trunkline tenant list`.

-- Versions come from one sequence and not from a counter in each row: a row that
-- is deleted and written again under the same id must not repeat a version.
CREATE SEQUENCE tenants_version_seq AS bigint;

CREATE TABLE tenants (
    id                        uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    slug                      text        NOT NULL UNIQUE,
    enabled                   boolean     NOT NULL DEFAULT true,

    livekit_url               text        NOT NULL,
    livekit_api_key           text        NOT NULL,
    livekit_api_secret        text,
    livekit_api_secret_sealed bytea,
    agent_name                text        NOT NULL DEFAULT 'pstn-voice-agent',
    deployment                text,

    call_config_url           text,
    call_config_bearer        text,
    call_config_bearer_sealed bytea,
    call_config_deadline_ms   integer     NOT NULL DEFAULT 4000,
    answer_deadline_ms        integer     NOT NULL DEFAULT 6000,
    default_config            jsonb       NOT NULL DEFAULT '{}',

    provider                  text        NOT NULL DEFAULT 'openai',
    provider_base_url         text,
    provider_api_key          text,
    provider_api_key_sealed   bytea,

    max_calls                 integer,

    version                   bigint      NOT NULL,
    created_at                timestamptz NOT NULL DEFAULT now(),
    updated_at                timestamptz NOT NULL DEFAULT now()
);

ALTER SEQUENCE tenants_version_seq OWNED BY tenants.version;

COMMENT ON TABLE tenants IS
    'One row for each LiveKit project that is served. A change takes effect at once, without a restart.';
COMMENT ON COLUMN tenants.id IS
    'Identity. The secrets are sealed under it, so it cannot change.';
COMMENT ON COLUMN tenants.slug IS
    'Name for people, in logs, metrics and commands: 1 to 63 of a-z, 0-9 and "-".';
COMMENT ON COLUMN tenants.enabled IS
    'Whether calls are taken. A disabled tenant keeps its row; calls under way go on.';
COMMENT ON COLUMN tenants.livekit_url IS
    'Where the LiveKit server is: wss://, ws://, https:// or http://.';
COMMENT ON COLUMN tenants.livekit_api_key IS
    'The public half of the project''s API key.';
COMMENT ON COLUMN tenants.livekit_api_secret IS
    'The secret half, in clear, as it is handed over: it is sealed and erased when the row is first read. NULL: what is sealed stays.';
COMMENT ON COLUMN tenants.livekit_api_secret_sealed IS
    'livekit_api_secret, sealed. Written by trunkline only.';
COMMENT ON COLUMN tenants.agent_name IS
    'The name that the project''s dispatch rules ask for.';
COMMENT ON COLUMN tenants.deployment IS
    'The rest of LiveKit''s routing key beside agent_name. NULL: none.';
COMMENT ON COLUMN tenants.call_config_url IS
    'Where POST asks for the configuration of each call. NULL: every call runs with default_config.';
COMMENT ON COLUMN tenants.call_config_bearer IS
    'Sent there as "Authorization: Bearer …". In clear, sealed and erased when the row is first read. NULL: what is sealed stays; empty: none.';
COMMENT ON COLUMN tenants.call_config_bearer_sealed IS
    'call_config_bearer, sealed. Written by trunkline only.';
COMMENT ON COLUMN tenants.call_config_deadline_ms IS
    'How long the answer may take, to its last byte, in milliseconds: 100 to 30000.';
COMMENT ON COLUMN tenants.answer_deadline_ms IS
    'How long the phone may ring before it is answered with what is ready, in milliseconds: 500 to 60000.';
COMMENT ON COLUMN tenants.default_config IS
    'What a call runs with when the lookup gives nothing, in the shape of the lookup''s answer: systemPrompt, model, voice, temperature, startMessage.';
COMMENT ON COLUMN tenants.provider IS
    'The wire of the speech model: openai.';
COMMENT ON COLUMN tenants.provider_base_url IS
    'Where the speech model is. NULL: as the process is configured.';
COMMENT ON COLUMN tenants.provider_api_key IS
    'Its key, in clear, sealed and erased when the row is first read. NULL: what is sealed stays; empty: as the process is configured.';
COMMENT ON COLUMN tenants.provider_api_key_sealed IS
    'provider_api_key, sealed. Written by trunkline only.';
COMMENT ON COLUMN tenants.max_calls IS
    'Calls at the same time on one replica, 1 or more. NULL: as many as the process takes.';
COMMENT ON COLUMN tenants.version IS
    'Raised by the database with every change of the row. What is written here is ignored.';
COMMENT ON COLUMN tenants.created_at IS
    'When the row was written first.';
COMMENT ON COLUMN tenants.updated_at IS
    'When the row changed last. Sealing is no change.';

-- Versions every change. A replica that moves a secret from clear to sealed says
-- so with `trunkline.sealing`, for its transaction only: what the row means stays
-- the same, so its version does.
--
-- It runs with its owner's rights, so that who may write rows needs no right to
-- the sequence.
CREATE FUNCTION tenants_stamp() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.id <> OLD.id THEN
            RAISE EXCEPTION 'the id of tenant "%" cannot change', OLD.slug
                USING ERRCODE = 'integrity_constraint_violation',
                      HINT = 'Its secrets are sealed under its id. Insert a new tenant, with its secrets in clear.';
        END IF;
        NEW.version := OLD.version;
        NEW.created_at := OLD.created_at;
        NEW.updated_at := OLD.updated_at;
        IF NEW IS NOT DISTINCT FROM OLD
            OR current_setting('trunkline.sealing', true) = 'on'
        THEN
            RETURN NEW;
        END IF;
    END IF;
    NEW.version := nextval(format('%I.tenants_version_seq', TG_TABLE_SCHEMA));
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END;
$$;

CREATE TRIGGER tenants_stamp
    BEFORE INSERT OR UPDATE ON tenants
    FOR EACH ROW EXECUTE FUNCTION tenants_stamp();

-- Wakes every replica when the change commits. The payload is the tenant's id,
-- and empty for a TRUNCATE.
CREATE FUNCTION tenants_notify() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    CASE TG_OP
        WHEN 'INSERT' THEN
            PERFORM pg_notify('trunkline_tenants', NEW.id::text);
        WHEN 'UPDATE' THEN
            IF NEW.version <> OLD.version THEN
                PERFORM pg_notify('trunkline_tenants', NEW.id::text);
            END IF;
        WHEN 'DELETE' THEN
            PERFORM pg_notify('trunkline_tenants', OLD.id::text);
        ELSE
            PERFORM pg_notify('trunkline_tenants', '');
    END CASE;
    RETURN NULL;
END;
$$;

CREATE TRIGGER tenants_notify
    AFTER INSERT OR UPDATE OR DELETE ON tenants
    FOR EACH ROW EXECUTE FUNCTION tenants_notify();

CREATE TRIGGER tenants_notify_truncate
    AFTER TRUNCATE ON tenants
    FOR EACH STATEMENT EXECUTE FUNCTION tenants_notify();
