-- The last answers of tenants' backends, for calls whose lookup gives nothing.
--
-- A replica of the version before neither reads nor writes this table, and needs nothing of it.

CREATE TABLE call_configs (
    -- No foreign key: a tenant's removal never waits for what is written here.
    tenant_id      uuid        NOT NULL,
    called         text        NOT NULL,
    backend_sha256 bytea       NOT NULL CHECK (octet_length(backend_sha256) = 32),
    answer         json        NOT NULL CHECK (octet_length(answer::text) <= 262144),
    fetched_at     timestamptz NOT NULL,
    written_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, called)
);

CREATE INDEX call_configs_by_written_at ON call_configs (written_at, tenant_id, called);

COMMENT ON TABLE call_configs IS
    'The last answer of each tenant''s backend for each called number, used when the backend gives none. Rows go with their tenant, with a change of its call_config_url, and after a week. They can be deleted at any time.';
COMMENT ON COLUMN call_configs.tenant_id IS
    'Whose: tenants.id.';
COMMENT ON COLUMN call_configs.called IS
    'The called number as the trunk gave it; empty where it gives none.';
COMMENT ON COLUMN call_configs.backend_sha256 IS
    'SHA-256 of the call_config_url that gave the answer. For another URL it does not count.';
COMMENT ON COLUMN call_configs.answer IS
    'The answer as it came.';
COMMENT ON COLUMN call_configs.fetched_at IS
    'When it came, by the clock of the replica that asked.';
COMMENT ON COLUMN call_configs.written_at IS
    'When it was written. What the other replicas read next.';

-- It runs with its owner's rights: who may write tenants needs none to this table. A
-- TRUNCATE of tenants is left to the replicas' own sweep.
CREATE FUNCTION tenants_forget_call_configs() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('DELETE FROM %I.call_configs WHERE tenant_id = $1', TG_TABLE_SCHEMA)
        USING OLD.id;
    RETURN NULL;
END;
$$;

CREATE TRIGGER tenants_forget_call_configs_of_the_removed
    AFTER DELETE ON tenants
    FOR EACH ROW EXECUTE FUNCTION tenants_forget_call_configs();

CREATE TRIGGER tenants_forget_call_configs_of_another_backend
    AFTER UPDATE ON tenants
    FOR EACH ROW
    WHEN (
        OLD.call_config_url IS DISTINCT FROM NEW.call_config_url
        OR (OLD.removed_at IS NULL AND NEW.removed_at IS NOT NULL)
    )
    EXECUTE FUNCTION tenants_forget_call_configs();
