//! From each released state of the tables to the present one, with rows written at
//! each; and a replica of the release before on the present tables.

use chrono::DateTime;
use sqlx::{AssertSqlSafe, Row as _};
use trunkline_store::{Enablement, Expected, RefusedOffers, Reporter};

use crate::bed::{Bed, actor, slugs_of};

/// How far the migrations of each release went. Add the present one as it is released.
const RELEASED: [i64; 1] = [3];

#[tokio::test]
async fn rows_of_every_state_load_after_the_rest_of_the_migrations() {
    // Also of states within a release: a migration that failed leaves one behind.
    for state in 1..=*RELEASED.last().unwrap() + 1 {
        let bed = Bed::of_migration(state).await;
        bed.insert("in-clear", "secret").await;
        bed.execute(
            "INSERT INTO tenants (slug, livekit_url, livekit_api_key, livekit_api_secret,
                                  agent_name, max_calls, default_config)
             VALUES ('rich', 'wss://b.example', 'key', 'secret', 'sales', 7,
                     '{\"startMessage\": \"Hello.\"}')",
        )
        .await;
        let versions = "SELECT array_agg(version ORDER BY slug) FROM tenants";
        let before: Vec<i64> = bed.value(versions).await;
        bed.store.migrate().await.unwrap();
        bed.store.check_schema().await.unwrap();
        let rows = bed.store.tenants().await.unwrap();
        assert_eq!(slugs_of(&rows), ["in-clear", "rich"], "from {state}");
        let rich = rows[1].tenant.as_ref().unwrap();
        assert_eq!(rich.agent_names[0].as_str(), "sales");
        assert_eq!(rich.limits.max_calls.unwrap().get(), 7);
        let after: Vec<i64> = bed.value(versions).await;
        assert_eq!(after, before, "a migration is no change of a tenant");
    }
}

#[tokio::test]
async fn refused_offers_are_recorded_after_an_upgrade_from_every_state() {
    let present = sqlx::migrate!("../../migrations").iter().count() as i64;
    assert!(present >= 7);
    for state in 1..=present {
        let bed = Bed::of_migration(state).await;
        bed.insert("acme", "secret").await;
        bed.store.migrate().await.unwrap();
        let id = bed.row("acme").await.id;
        let minute = DateTime::from_timestamp(1_790_000_040, 0).unwrap();
        let refused = RefusedOffers {
            tenant_id: id,
            minute,
            reason: "tenant_full",
            count: 5,
            first_at: minute,
            last_at: minute,
        };
        let replica = Reporter::starting("web");
        bed.store
            .record_refusals(&replica, &[refused])
            .await
            .unwrap();
        let totals = bed.store.refusal_totals(id, minute).await.unwrap();
        assert_eq!(totals[0].count, 5, "from {state}");
    }
}

#[tokio::test]
async fn a_fallback_is_set_and_removed_after_an_upgrade_from_every_state() {
    let present = sqlx::migrate!("../../migrations").iter().count() as i64;
    for state in 1..=present {
        let bed = Bed::of_migration(state).await;
        bed.insert("acme", "secret").await;
        bed.store.migrate().await.unwrap();
        let before = bed.row("acme").await.tenant.unwrap();
        assert!(before.fallback.second_model.is_none() && before.fallback.apology.is_none());
        bed.execute(
            "UPDATE tenants SET fallback_provider = 'openai', apology_audio = 'sound',
             fallback_provider_api_key = 's3cr3t', fallback_transfer_to = '+15551234567'",
        )
        .await;
        let tenant = bed.row("acme").await.tenant.unwrap();
        let second = tenant.fallback.second_model.as_ref().unwrap();
        assert!(second.provider.api_key.is_some(), "from {state}");
        bed.store
            .remove_tenant("acme", Expected::Any, &actor())
            .await
            .unwrap();
        let left: i64 = bed
            .value(
                "SELECT count(fallback_provider_api_key) + count(fallback_provider_api_key_sealed)
                 + count(apology_audio) FROM tenants",
            )
            .await;
        assert_eq!(left, 0, "from {state}");
    }
}

#[tokio::test]
async fn wrong_rows_of_every_state_stop_no_migration_and_are_parked() {
    for state in 1..=*RELEASED.last().unwrap() {
        let bed = Bed::of_migration(state).await;
        bed.insert("good", "secret").await;
        bed.execute(
            "INSERT INTO tenants (slug, livekit_url, livekit_api_key, agent_name, max_calls,
                                  default_config, answer_deadline_ms, provider, call_config_url)
             VALUES ('Not A Slug', 'nowhere', '', 'two words', -1, '[]', 1, 'nobody', 'x')",
        )
        .await;
        bed.store.migrate().await.unwrap();
        let rows = bed.store.tenants().await.unwrap();
        assert_eq!(rows.len(), 2);
        for row in rows {
            match row.slug.as_str() {
                "good" => assert!(row.tenant.is_ok()),
                _ => {
                    let problem = row.tenant.unwrap_err().to_string();
                    assert!(problem.contains("max_calls must be 1 or more"), "{problem}");
                }
            }
        }
    }
}

/// What a replica of the release before reads all tenants with.
const OLD_READ: &str = "
    SELECT
        id, slug, enabled, livekit_url, livekit_api_key, livekit_api_secret,
        livekit_api_secret_sealed, agent_name, deployment, call_config_url, call_config_bearer,
        call_config_bearer_sealed, call_config_deadline_ms, answer_deadline_ms,
        left(default_config::text, $2) AS default_config, provider, provider_base_url,
        provider_api_key, provider_api_key_sealed, max_calls, version, updated_at
    FROM tenants
    WHERE $1::text IS NULL OR slug = $1
    ORDER BY slug";

/// What it adds a tenant with.
const OLD_ADD: &str = "
    INSERT INTO tenants (
        id, slug, enabled, livekit_url, livekit_api_key, livekit_api_secret_sealed,
        agent_name, deployment, call_config_url, call_config_bearer_sealed,
        call_config_deadline_ms, answer_deadline_ms, default_config, provider,
        provider_base_url, provider_api_key_sealed, max_calls
    )
    VALUES (gen_random_uuid(), $1, true, 'wss://a.example', 'key', '\\x01', $2, NULL, NULL, NULL,
            4000, 6000, '{}', 'openai', NULL, NULL, NULL)
    ON CONFLICT (slug) DO NOTHING
    RETURNING version";

/// What it seals with.
const OLD_SEAL: &str = "
    WITH held AS (
        SELECT id FROM tenants WHERE id = ANY($1) ORDER BY id FOR UPDATE SKIP LOCKED
    ), sealed AS (
        SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[])
            AS s (id, version, livekit_api_secret, call_config_bearer, provider_api_key)
    )
    UPDATE tenants t SET
        livekit_api_secret_sealed = CASE
            WHEN t.livekit_api_secret IS NULL THEN t.livekit_api_secret_sealed
            ELSE s.livekit_api_secret
        END,
        call_config_bearer_sealed = CASE
            WHEN t.call_config_bearer IS NULL THEN t.call_config_bearer_sealed
            ELSE s.call_config_bearer
        END,
        provider_api_key_sealed = CASE
            WHEN t.provider_api_key IS NULL THEN t.provider_api_key_sealed
            ELSE s.provider_api_key
        END,
        livekit_api_secret = NULL,
        call_config_bearer = NULL,
        provider_api_key = NULL
    FROM sealed s JOIN held USING (id)
    WHERE t.id = s.id
        AND t.version = s.version
        AND (
            t.livekit_api_secret IS NOT NULL
            OR t.call_config_bearer IS NOT NULL
            OR t.provider_api_key IS NOT NULL
        )";

/// What it reads states with.
const OLD_STATES: &str = "
    SELECT s.tenant_id, s.replica, s.state, s.reason, s.version, s.since, s.reported_at
    FROM tenant_states s JOIN tenants t ON t.id = s.tenant_id
    ORDER BY t.slug, s.replica";

/// Slug, whether calls are taken, and agent name, as the release before sees them.
async fn old_read(bed: &Bed) -> Vec<(String, bool, String)> {
    let rows = sqlx::query(OLD_READ)
        .bind(None::<String>)
        .bind(262_145_i32)
        .fetch_all(&bed.sql)
        .await
        .unwrap();
    let rows = rows.iter();
    rows.map(|row| (row.get("slug"), row.get("enabled"), row.get("agent_name")))
        .collect()
}

async fn old_add(bed: &Bed, slug: &str, agent_name: &str) -> Option<i64> {
    sqlx::query(OLD_ADD)
        .bind(slug)
        .bind(agent_name)
        .fetch_optional(&bed.sql)
        .await
        .unwrap()
        .map(|row| row.get(0))
}

#[tokio::test]
async fn a_replica_of_the_release_before_goes_on_with_the_present_tables() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    bed.execute(
        "UPDATE tenants SET agent_names = '{sales,support}', max_call_minutes = 5,
         call_config_signing_secret = 'new-to-it', fallback_provider = 'openai',
         fallback_provider_api_key = 'new-as-well', apology_audio = 'sound'",
    )
    .await;
    assert_eq!(
        old_read(&bed).await,
        [("acme".to_owned(), true, "sales".to_owned())]
    );
    sqlx::query(OLD_STATES).fetch_all(&bed.sql).await.unwrap();

    // It seals what it knows; what it does not, waits for one of this release.
    let (id, version): (sqlx::types::Uuid, i64) = (
        bed.value("SELECT id FROM tenants").await,
        bed.value("SELECT version FROM tenants").await,
    );
    let mut transaction = bed.sql.begin().await.unwrap();
    sqlx::raw_sql("SELECT set_config('trunkline.sealing', 'on', true)")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let done = sqlx::query(OLD_SEAL)
        .bind(vec![id])
        .bind(vec![version])
        .bind(vec![Some(vec![1_u8])])
        .bind(vec![None::<Vec<u8>>])
        .bind(vec![None::<Vec<u8>>])
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(done.rows_affected(), 1);
    assert_eq!(
        bed.value::<i64>("SELECT version FROM tenants").await,
        version
    );
    let waits: Option<String> = bed
        .value("SELECT call_config_signing_secret FROM tenants")
        .await;
    assert_eq!(waits.as_deref(), Some("new-to-it"));
    let waits: Option<String> = bed
        .value("SELECT fallback_provider_api_key FROM tenants")
        .await;
    assert_eq!(waits.as_deref(), Some("new-as-well"));

    // Its commands: add, add again, switch, delete.
    assert!(old_add(&bed, "bolt", "one").await.is_some());
    assert_eq!(old_add(&bed, "bolt", "two").await, None);
    let names: Vec<String> = bed
        .value("SELECT agent_names FROM tenants WHERE slug = 'bolt'")
        .await;
    assert_eq!(names, ["one"]);
    for statement in [
        "UPDATE tenants SET enabled = false WHERE slug = 'bolt' RETURNING version",
        "DELETE FROM tenants WHERE slug = 'bolt' RETURNING id",
    ] {
        let rows = sqlx::query(AssertSqlSafe(statement.to_owned()))
            .fetch_all(&bed.sql)
            .await
            .unwrap();
        assert_eq!(rows.len(), 1, "{statement}");
    }
}

#[tokio::test]
async fn a_removed_tenant_is_disabled_to_the_release_before_which_can_use_its_name_again() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    bed.row("acme").await;
    bed.store
        .remove_tenant("acme", Expected::Any, &actor())
        .await
        .unwrap();
    let seen = old_read(&bed).await;
    assert_eq!(seen.len(), 1);
    assert!(!seen[0].1 && seen[0].0.starts_with("acme~"), "{seen:?}");
    assert!(old_add(&bed, "acme", "again").await.is_some());
    let again = bed.row("acme").await;
    let history = bed.store.tenant_history(again.id, None, 10).await.unwrap();
    assert_eq!(history.entries.len(), 1);
    assert_eq!(old_read(&bed).await.len(), 2);
}

#[tokio::test]
async fn a_configuration_of_before_the_bound_runs_on_and_its_tenant_can_be_switched() {
    for state in 1..=7 {
        let bed = Bed::of_migration(state).await;
        bed.insert("acme", "secret").await;
        let huge = "jsonb_build_object('later', repeat('a', 100000))";
        bed.execute(&format!("UPDATE tenants SET default_config = {huge}"))
            .await;
        bed.execute("UPDATE tenants SET livekit_url = 'wss://a.example:'")
            .await;
        bed.store.migrate().await.unwrap();
        assert!(bed.row("acme").await.tenant.is_ok(), "from {state}");
        bed.store
            .set_enabled("acme", Enablement::Disabled, Expected::Any, &actor())
            .await
            .unwrap();
        let again = format!("UPDATE tenants SET default_config = {huge} || '{{\"b\": 1}}'");
        let refused = sqlx::raw_sql(AssertSqlSafe(again))
            .execute(&bed.sql)
            .await
            .unwrap_err();
        assert!(refused.to_string().contains("65536 bytes"), "{refused}");
        bed.execute("UPDATE tenants SET default_config = '{}'")
            .await;
    }
}
