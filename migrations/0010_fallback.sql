-- What callers get when something fails: a second model, an apology of the tenant's own,
-- and whom they are passed on to.
--
-- A replica of the version before goes on with it: it neither reads nor writes the new
-- columns, and removing a tenant with it erases the new secret as well, which the
-- database does. It seals no new secret in clear: that waits for one of this version.
--
-- No row has a value in these columns yet, so the checks are asked of none that is wrong.

ALTER TABLE tenants
    ADD COLUMN fallback_provider                text,
    ADD COLUMN fallback_provider_base_url       text,
    ADD COLUMN fallback_provider_api_key        text,
    ADD COLUMN fallback_provider_api_key_sealed bytea,
    ADD COLUMN fallback_model                   text,
    ADD COLUMN fallback_voice                   text,
    ADD COLUMN fallback_transfer_to             text,
    ADD COLUMN apology_audio                    bytea;

-- Sound does not get shorter, so Postgres need not try; and its length is then known
-- without reading it.
ALTER TABLE tenants ALTER COLUMN apology_audio SET STORAGE EXTERNAL;

COMMENT ON COLUMN tenants.fallback_provider IS
    'The wire of a second model, which takes over when the first cannot be had: openai. NULL: there is none.';
COMMENT ON COLUMN tenants.fallback_provider_base_url IS
    'Where the second model is. NULL: as the process is configured.';
COMMENT ON COLUMN tenants.fallback_provider_api_key IS
    'Its key, in clear, sealed and erased when the row is first read. NULL: what is sealed stays; empty: as the process is configured, which is for the process''s own provider alone.';
COMMENT ON COLUMN tenants.fallback_provider_api_key_sealed IS
    'fallback_provider_api_key, sealed. Written by trunkline only.';
COMMENT ON COLUMN tenants.fallback_model IS
    'The name of the second model, 1 to 128 characters. NULL: as default_config says.';
COMMENT ON COLUMN tenants.fallback_voice IS
    'Its voice, 1 to 128 characters. NULL: as default_config says.';
COMMENT ON COLUMN tenants.fallback_transfer_to IS
    'To whom a call is passed on after the apology: a number (+15551234567), a tel: or a sip: address. NULL: it ends.';
COMMENT ON COLUMN tenants.apology_audio IS
    'What callers hear when there is no model: a WAV file of 2097152 bytes at most. NULL: the sentence that ships with trunkline.';
COMMENT ON COLUMN tenants.confined_urls IS
    'Which of livekit_url, call_config_url, provider_base_url, fallback_provider_base_url and default_config (which can name recordings) were last written with a token of the tenant alone, and so are not to lead to internal addresses. Written by the database; an UPDATE of the column by SQL takes it out.';

ALTER TABLE tenants
    ADD CONSTRAINT tenants_fallback_provider_known CHECK (
        tenants_is_spared(removed_at) OR fallback_provider IN ('openai')
    ),
    ADD CONSTRAINT tenants_fallback_provider_base_url_shape CHECK (
        tenants_is_spared(removed_at) OR (
            fallback_provider_base_url ~* '^\s*(wss|ws|https|http)://[^/?#@\s]+([/?#]\S*)?\s*$'
            AND length(fallback_provider_base_url) <= 2048
        )
    ),
    ADD CONSTRAINT tenants_fallback_model_length CHECK (
        tenants_is_spared(removed_at) OR length(fallback_model) BETWEEN 1 AND 128
    ),
    ADD CONSTRAINT tenants_fallback_voice_length CHECK (
        tenants_is_spared(removed_at) OR length(fallback_voice) BETWEEN 1 AND 128
    ),
    ADD CONSTRAINT tenants_fallback_transfer_to_shape CHECK (
        tenants_is_spared(removed_at) OR (
            fallback_transfer_to ~ '^((\+|tel:\+?)[0-9]{2,15}|sips?:[A-Za-z0-9@._+:;=%~!*''()&$,?/\[\]-]+)$'
            AND length(fallback_transfer_to) <= 256
        )
    ),
    ADD CONSTRAINT tenants_apology_audio_size CHECK (
        tenants_is_spared(removed_at) OR octet_length(apology_audio) BETWEEN 1 AND 2097152
    );

-- As before; a removal erases the new secret too, and the recording, which would take up
-- room for ever.
CREATE OR REPLACE FUNCTION tenants_accord() RETURNS trigger
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
        NEW.fallback_provider_api_key := NULL;
        NEW.fallback_provider_api_key_sealed := NULL;
        NEW.apology_audio := NULL;
        -- The whole column stays unique, which the version before needs for its
        -- ON CONFLICT; no slug has a "~".
        IF strpos(NEW.slug, '~') = 0 THEN
            NEW.slug := NEW.slug || '~' || NEW.id;
        END IF;
    END IF;
    RETURN NEW;
END;
$$;

-- As before, with the new URL. The recording is not looked at: it is large.
CREATE OR REPLACE FUNCTION tenants_bounds() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- A token of the tenant alone writes; said for its transaction only.
    is_confined constant boolean := coalesce(current_setting('trunkline.confined', true), '') = 'on';
    before jsonb := '{}';
    after  jsonb;
    field  text;
    names  text[] := coalesce(NEW.confined_urls, '{}');
BEGIN
    IF NEW.removed_at IS NOT NULL
        OR coalesce(current_setting('trunkline.sealing', true), '') = 'on'
    THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        before := jsonb_build_object(
            'livekit_url', OLD.livekit_url,
            'call_config_url', OLD.call_config_url,
            'provider_base_url', OLD.provider_base_url,
            'fallback_provider_base_url', OLD.fallback_provider_base_url,
            'default_config', OLD.default_config
        );
    END IF;
    after := jsonb_build_object(
        'livekit_url', NEW.livekit_url,
        'call_config_url', NEW.call_config_url,
        'provider_base_url', NEW.provider_base_url,
        'fallback_provider_base_url', NEW.fallback_provider_base_url,
        'default_config', NEW.default_config
    );
    IF before -> 'default_config' IS DISTINCT FROM after -> 'default_config'
        AND octet_length(NEW.default_config::text) > 65536
    THEN
        RAISE EXCEPTION 'default_config of tenant "%" has more than 65536 bytes', left(NEW.slug, 64)
            USING ERRCODE = 'check_violation', CONSTRAINT = 'tenants_default_config_size';
    END IF;
    FOREACH field IN ARRAY
        ARRAY[
            'livekit_url', 'call_config_url', 'provider_base_url', 'fallback_provider_base_url',
            'default_config'
        ]
    LOOP
        CONTINUE WHEN before ->> field IS NOT DISTINCT FROM after ->> field;
        IF after ->> field ~ '^\s*[A-Za-z]+://[^/?#]*:([/?#]|\s*$)' THEN
            RAISE EXCEPTION '% of tenant "%" has a ":" and no port behind it', field, left(NEW.slug, 64)
                USING ERRCODE = 'check_violation',
                      CONSTRAINT = format('tenants_%s_port', field);
        END IF;
        names := array_remove(names, field);
        IF is_confined AND after ->> field IS NOT NULL THEN
            names := names || field;
        END IF;
    END LOOP;
    NEW.confined_urls := nullif(names, '{}');
    RETURN NEW;
END;
$$;

-- As before; of the recording only its old and new length. The whole of it, as text,
-- would be written into the history with each change of it.
CREATE OR REPLACE FUNCTION tenants_record() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- Inside this function current_user is its owner; the role that was SET is told
    -- by the setting alone.
    who constant text := left(
        coalesce(
            nullif(current_setting('trunkline.actor', true), ''),
            nullif(current_setting('role', true), 'none'),
            session_user
        ),
        200
    );
    before    jsonb := '{}';
    after     jsonb := '{}';
    operation text;
    changes   jsonb;
    old_apology bytea;
    new_apology bytea;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        EXECUTE format(
            'INSERT INTO %1$I.tenant_history (tenant_id, slug, version, actor, operation, changes)
             SELECT id, split_part(slug, ''~'', 1), version, $1, ''deleted'', ''{}'' FROM %1$I.tenants',
            TG_TABLE_SCHEMA
        ) USING who;
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        old_apology := OLD.apology_audio;
        -- What stands in OLD and NEW is written nowhere any more.
        OLD.apology_audio := NULL;
        before := jsonb_strip_nulls(to_jsonb(OLD) - 'default_config')
            || jsonb_build_object('default_config', OLD.default_config);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        new_apology := NEW.apology_audio;
        NEW.apology_audio := NULL;
        after := jsonb_strip_nulls(to_jsonb(NEW) - 'default_config')
            || jsonb_build_object('default_config', NEW.default_config);
    END IF;
    CASE TG_OP
        WHEN 'INSERT' THEN
            operation := 'created';
        WHEN 'DELETE' THEN
            operation := 'deleted';
        ELSE
            -- Sealing raises no version and is no change.
            IF NEW.version = OLD.version THEN
                RETURN NULL;
            END IF;
            operation := CASE
                WHEN NEW.removed_at IS NOT NULL AND OLD.removed_at IS NULL THEN 'removed'
                WHEN OLD.enabled AND NOT NEW.enabled THEN 'disabled'
                WHEN NEW.enabled AND NOT OLD.enabled THEN 'enabled'
                ELSE 'changed'
            END;
    END CASE;

    SELECT coalesce(jsonb_object_agg(name, change), '{}') INTO changes
    FROM (
        SELECT
            name,
            CASE
                WHEN is_secret THEN '{"changed": true}'
                ELSE jsonb_build_object('old', before -> name, 'new', after -> name)
            END AS change
        FROM (
            SELECT a.attname::text AS name, s.attname IS NOT NULL AS is_secret
            FROM pg_attribute a
            LEFT JOIN pg_attribute s ON s.attrelid = a.attrelid
                AND s.attname = a.attname || '_sealed' AND NOT s.attisdropped
            WHERE a.attrelid = TG_RELID AND a.attnum > 0 AND NOT a.attisdropped
                AND a.attname NOT LIKE '%\_sealed'
                -- agent_name says what agent_names says.
                AND a.attname NOT IN ('id', 'version', 'created_at', 'updated_at', 'agent_name')
        ) AS columns
        WHERE before -> name IS DISTINCT FROM after -> name
            OR is_secret
                AND before -> (name || '_sealed') IS DISTINCT FROM after -> (name || '_sealed')
    ) AS differences;
    IF old_apology IS DISTINCT FROM new_apology THEN
        changes := changes || jsonb_build_object('apology_audio', jsonb_build_object(
            'old', octet_length(old_apology) || ' bytes',
            'new', octet_length(new_apology) || ' bytes'
        ));
    END IF;
    IF operation = 'removed' THEN
        -- The name is freed, which is no news.
        changes := changes - 'slug';
    END IF;

    EXECUTE format(
        'INSERT INTO %I.tenant_history (tenant_id, slug, version, actor, operation, changes)
         VALUES ($1, $2, $3, $4, $5, $6)',
        TG_TABLE_SCHEMA
    ) USING
        CASE TG_OP WHEN 'DELETE' THEN OLD.id ELSE NEW.id END,
        split_part(CASE TG_OP WHEN 'DELETE' THEN OLD.slug ELSE NEW.slug END, '~', 1),
        CASE TG_OP WHEN 'DELETE' THEN OLD.version ELSE NEW.version END,
        who,
        operation,
        changes;
    RETURN NULL;
END;
$$;
