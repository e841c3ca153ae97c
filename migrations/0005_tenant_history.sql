-- Who changed what of a tenant, and when. The database writes it itself, so that
-- what is done with plain SQL is in it as well.
--
-- The value of a secret is never in it, sealed or in clear: only that it changed. A
-- secret is a column that has another of its name with `_sealed` beside it.
--
-- Nothing shortens it. Delete what is too old, as you do with records of calls.

CREATE TABLE tenant_history (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- No foreign key: the history outlives the tenant.
    tenant_id uuid        NOT NULL,
    slug      text        NOT NULL,
    version   bigint      NOT NULL,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor     text        NOT NULL,
    operation text        NOT NULL,
    changes   jsonb       NOT NULL
);

CREATE INDEX tenant_history_by_tenant ON tenant_history (tenant_id, id DESC);
CREATE INDEX tenant_history_by_slug ON tenant_history (slug, id DESC);

COMMENT ON TABLE tenant_history IS
    'Who changed what of a tenant, and when. Written by the database itself with every change.';
COMMENT ON COLUMN tenant_history.id IS
    'Identity. A later entry of a tenant has a higher one.';
COMMENT ON COLUMN tenant_history.tenant_id IS
    'tenants.id, also of a tenant that is removed or deleted.';
COMMENT ON COLUMN tenant_history.slug IS
    'The tenant''s name after the change.';
COMMENT ON COLUMN tenant_history.version IS
    'The version that the change made; of a deleted row, its last.';
COMMENT ON COLUMN tenant_history.at IS
    'When it was changed.';
COMMENT ON COLUMN tenant_history.actor IS
    'Who changed it: as trunkline says, otherwise the database''s role.';
COMMENT ON COLUMN tenant_history.operation IS
    'created, changed, disabled, enabled, removed, or deleted (with DELETE or TRUNCATE).';
COMMENT ON COLUMN tenant_history.changes IS
    'By column, {"old": …, "new": …}; of a secret {"changed": true} and nothing else.';

-- It runs with its owner's rights, so that who may write tenants needs no right to
-- their history, and so cannot rewrite it.
CREATE FUNCTION tenants_record() RETURNS trigger
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
        before := jsonb_strip_nulls(to_jsonb(OLD) - 'default_config')
            || jsonb_build_object('default_config', OLD.default_config);
    END IF;
    IF TG_OP <> 'DELETE' THEN
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

CREATE TRIGGER tenants_record
    AFTER INSERT OR UPDATE OR DELETE ON tenants
    FOR EACH ROW EXECUTE FUNCTION tenants_record();

CREATE TRIGGER tenants_record_truncate
    BEFORE TRUNCATE ON tenants
    FOR EACH STATEMENT EXECUTE FUNCTION tenants_record();
