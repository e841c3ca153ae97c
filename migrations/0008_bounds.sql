-- Bounds of what is written into a tenant's row, and which URLs its own token wrote.
--
-- A replica of the version before goes on with it: it neither reads nor writes the new
-- column, and what it writes is bounded as well.
--
-- These bounds are a trigger and no CHECK: a CHECK is asked about the whole row with
-- every UPDATE, and a tenant that runs with a larger configuration of an earlier time
-- must still be switched off. A value that is not touched is not asked about.

ALTER TABLE tenants ADD COLUMN confined_urls text[];

COMMENT ON COLUMN tenants.confined_urls IS
    'Which of livekit_url, call_config_url, provider_base_url and default_config (which can name recordings) were last written with a token of the tenant alone, and so are not to lead to internal addresses. Written by the database; an UPDATE of the column by SQL takes it out.';
COMMENT ON COLUMN tenants.default_config IS
    'What a call runs with when the lookup gives nothing, in the shape of the lookup''s answer: systemPrompt, model, voice, temperature, startMessage. 64 KiB at most.';

-- It runs between tenants_accord and tenants_stamp: triggers fire in the order of the
-- alphabet. What each bound asks for is said in words by
-- `crates/store/src/violation.rs`, which knows them by name.
CREATE FUNCTION tenants_bounds() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- A token of the tenant alone writes; said for its transaction only.
    is_confined constant boolean := coalesce(current_setting('trunkline.confined', true), '') = 'on';
    before jsonb := '{}';
    after  constant jsonb := to_jsonb(NEW);
    field  text;
    names  text[] := coalesce(NEW.confined_urls, '{}');
BEGIN
    IF NEW.removed_at IS NOT NULL
        OR coalesce(current_setting('trunkline.sealing', true), '') = 'on'
    THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        before := to_jsonb(OLD);
    END IF;
    IF before -> 'default_config' IS DISTINCT FROM after -> 'default_config'
        AND octet_length(NEW.default_config::text) > 65536
    THEN
        RAISE EXCEPTION 'default_config of tenant "%" has more than 65536 bytes', left(NEW.slug, 64)
            USING ERRCODE = 'check_violation', CONSTRAINT = 'tenants_default_config_size';
    END IF;
    FOREACH field IN ARRAY
        ARRAY['livekit_url', 'call_config_url', 'provider_base_url', 'default_config']
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

-- Who else has this key, asked with every change. A hash, because a key can be longer than
-- what a tree takes.
CREATE INDEX tenants_by_key ON tenants USING hash (livekit_api_key);

CREATE TRIGGER tenants_bounds
    BEFORE INSERT OR UPDATE ON tenants
    FOR EACH ROW EXECUTE FUNCTION tenants_bounds();
