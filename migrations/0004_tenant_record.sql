-- The tenant's record, complete: several agent names, limits, signed lookups, soft
-- removal, and what the database itself can hold true.
--
-- A replica of the version before goes on with it: the columns that it reads and
-- writes keep their names and meanings, and a row that was removed is disabled to it.
--
-- The checks are NOT VALID: they hold for every row that is written from now on, and
-- a wrong row of an earlier time does not stop this migration. It stays parked, with
-- its reason in `trunkline tenant list`, until it is mended or removed.

ALTER TABLE tenants
    ADD COLUMN agent_names                       text[],
    ADD COLUMN calls_per_second                  double precision,
    ADD COLUMN max_call_minutes                  integer,
    ADD COLUMN call_config_signing_secret        text,
    ADD COLUMN call_config_signing_secret_sealed bytea,
    ADD COLUMN removed_at                        timestamptz;

-- What the rows mean stays the same, so their versions do, as with sealing.
SELECT set_config('trunkline.sealing', 'on', true);
UPDATE tenants SET agent_names = ARRAY[agent_name];
SELECT set_config('trunkline.sealing', '', true);

ALTER TABLE tenants ALTER COLUMN agent_names SET NOT NULL;

COMMENT ON COLUMN tenants.slug IS
    'Name for people, in logs, metrics and commands: 1 to 63 of a-z, 0-9 and "-". Of a removed tenant with "~" and its id behind it, so that the name is free.';
COMMENT ON COLUMN tenants.agent_name IS
    'The first of agent_names. To write either is to write both.';
COMMENT ON COLUMN tenants.agent_names IS
    'The names that the project''s dispatch rules ask for, 1 to 16. Each is registered with LiveKit; all share the tenant''s limits.';
COMMENT ON COLUMN tenants.calls_per_second IS
    'New calls per second on one replica, 0.001 to 1000. NULL: as many as come.';
COMMENT ON COLUMN tenants.max_call_minutes IS
    'How long a call may be from its answer, in minutes: 1 to 1440. NULL: as long as it takes.';
COMMENT ON COLUMN tenants.call_config_signing_secret IS
    'Signs the requests to call_config_url (HMAC-SHA256). In clear, sealed and erased when the row is first read. NULL: what is sealed stays; empty: none.';
COMMENT ON COLUMN tenants.call_config_signing_secret_sealed IS
    'call_config_signing_secret, sealed. Written by trunkline only.';
COMMENT ON COLUMN tenants.removed_at IS
    'When the tenant was removed. To write it removes the tenant: its calls end by themselves, its secrets are erased at once, its slug is free. It cannot be brought back.';

-- Keeps the columns of one row in accord. It runs before tenants_stamp, which is by
-- name: triggers fire in the order of the alphabet.
CREATE FUNCTION tenants_accord() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE'
        AND NEW.agent_name IS DISTINCT FROM OLD.agent_name
        AND NEW.agent_names IS NOT DISTINCT FROM OLD.agent_names
    THEN
        -- Of the version before, or of somebody who thinks of one name.
        NEW.agent_names := NEW.agent_name || array_remove(OLD.agent_names[2:], NEW.agent_name);
    END IF;
    NEW.agent_names := coalesce(NEW.agent_names, ARRAY[NEW.agent_name]);
    NEW.agent_name := coalesce(NEW.agent_names[1], NEW.agent_name);

    IF TG_OP = 'UPDATE' AND OLD.removed_at IS NOT NULL AND NEW.removed_at IS NULL THEN
        RAISE EXCEPTION 'the tenant "%" is removed and cannot be brought back', split_part(OLD.slug, '~', 1)
            USING ERRCODE = 'integrity_constraint_violation',
                  HINT = 'Its secrets are erased. Insert a new tenant.';
    END IF;
    IF NEW.removed_at IS NOT NULL THEN
        NEW.enabled := false;
        NEW.livekit_api_secret := NULL;
        NEW.livekit_api_secret_sealed := NULL;
        NEW.call_config_bearer := NULL;
        NEW.call_config_bearer_sealed := NULL;
        NEW.call_config_signing_secret := NULL;
        NEW.call_config_signing_secret_sealed := NULL;
        NEW.provider_api_key := NULL;
        NEW.provider_api_key_sealed := NULL;
        -- The whole column stays unique, which the version before needs for its
        -- ON CONFLICT; no slug has a "~".
        IF strpos(NEW.slug, '~') = 0 THEN
            NEW.slug := NEW.slug || '~' || NEW.id;
        END IF;
    END IF;
    RETURN NEW;
END;
$$;

CREATE TRIGGER tenants_accord
    BEFORE INSERT OR UPDATE ON tenants
    FOR EACH ROW EXECUTE FUNCTION tenants_accord();

CREATE FUNCTION tenants_are_agent_names(names text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(
        array_ndims(names) = 1
            AND array_lower(names, 1) = 1
            AND cardinality(names) <= 16
            AND cardinality(names) = (
                SELECT count(DISTINCT name) FROM unnest(names) AS name
                WHERE name ~ '^[A-Za-z0-9._-]{1,64}$'
            ),
        false
    )
$$;

-- A row that is as it was before these checks can be removed, and its secrets can be
-- sealed, which changes nothing that is checked.
CREATE FUNCTION tenants_is_spared(removed_at timestamptz) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT removed_at IS NOT NULL OR coalesce(current_setting('trunkline.sealing', true), '') = 'on'
$$;

-- What each check asks for is said in words by `crates/store/src/violation.rs`, which
-- knows them by name.
ALTER TABLE tenants
    ADD CONSTRAINT tenants_slug_shape CHECK (
        tenants_is_spared(removed_at) OR slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'
    ) NOT VALID,
    ADD CONSTRAINT tenants_livekit_url_shape CHECK (
        tenants_is_spared(removed_at) OR (
            livekit_url ~* '^\s*(wss|ws|https|http)://[^/?#@\s]+([/?#]\S*)?\s*$'
            AND length(livekit_url) <= 2048
        )
    ) NOT VALID,
    ADD CONSTRAINT tenants_livekit_api_key_shape CHECK (
        tenants_is_spared(removed_at) OR (
            livekit_api_key ~ '^[!-~]+$' AND length(livekit_api_key) <= 4096
        )
    ) NOT VALID,
    ADD CONSTRAINT tenants_agent_names_shape CHECK (
        tenants_is_spared(removed_at) OR tenants_are_agent_names(agent_names)
    ) NOT VALID,
    ADD CONSTRAINT tenants_deployment_shape CHECK (
        tenants_is_spared(removed_at) OR deployment ~ '^[A-Za-z0-9.-]{0,64}$'
    ) NOT VALID,
    ADD CONSTRAINT tenants_call_config_url_shape CHECK (
        tenants_is_spared(removed_at) OR (
            call_config_url ~* '^\s*(https|http)://[^/?#@\s]+([/?#]\S*)?\s*$'
            AND length(call_config_url) <= 2048
        )
    ) NOT VALID,
    ADD CONSTRAINT tenants_call_config_deadline_ms_range CHECK (
        tenants_is_spared(removed_at) OR call_config_deadline_ms BETWEEN 100 AND 30000
    ) NOT VALID,
    ADD CONSTRAINT tenants_answer_deadline_ms_range CHECK (
        tenants_is_spared(removed_at) OR answer_deadline_ms BETWEEN 500 AND 60000
    ) NOT VALID,
    ADD CONSTRAINT tenants_default_config_shape CHECK (
        tenants_is_spared(removed_at) OR jsonb_typeof(default_config) = 'object'
    ) NOT VALID,
    ADD CONSTRAINT tenants_provider_known CHECK (
        tenants_is_spared(removed_at) OR provider IN ('openai')
    ) NOT VALID,
    ADD CONSTRAINT tenants_provider_base_url_shape CHECK (
        tenants_is_spared(removed_at) OR (
            provider_base_url ~* '^\s*(wss|ws|https|http)://[^/?#@\s]+([/?#]\S*)?\s*$'
            AND length(provider_base_url) <= 2048
        )
    ) NOT VALID,
    ADD CONSTRAINT tenants_max_calls_range CHECK (
        tenants_is_spared(removed_at) OR max_calls >= 1
    ) NOT VALID,
    ADD CONSTRAINT tenants_calls_per_second_range CHECK (
        tenants_is_spared(removed_at) OR calls_per_second BETWEEN 0.001 AND 1000
    ) NOT VALID,
    ADD CONSTRAINT tenants_max_call_minutes_range CHECK (
        tenants_is_spared(removed_at) OR max_call_minutes BETWEEN 1 AND 1440
    ) NOT VALID;
