//! Secrets at rest.

use secrecy::ExposeSecret as _;
use trunkline_store::{Keyring, OpenError, RowProblem, TenantRow, Unopened};

use crate::bed::{Bed, Beside, open};

const SECRETS: &str = "UPDATE tenants SET
    livekit_api_secret = 'one-s3cr3t', call_config_bearer = 'two-s3cr3t',
    call_config_signing_secret = 'four-s3cr3t', provider_api_key = 'three-s3cr3t',
    fallback_provider = 'openai', fallback_provider_api_key = 'five-s3cr3t',
    call_config_url = 'https://backend.example/'";

/// Each secret of a row, in the order of the columns.
fn secrets(row: &TenantRow) -> [Option<String>; 5] {
    let tenant = row.tenant.as_ref().unwrap();
    let lookup = tenant.lookup.as_ref();
    let second = tenant.fallback.second_model.as_ref();
    [
        Some(tenant.project.api_secret.clone()),
        lookup.and_then(|lookup| lookup.bearer.clone()),
        tenant.provider.api_key.clone(),
        lookup.and_then(|lookup| lookup.signing_secret.clone()),
        second.and_then(|second| second.provider.api_key.clone()),
    ]
    .map(|secret| secret.map(|s| s.expose_secret().to_owned()))
}

fn all() -> [Option<String>; 5] {
    ["one", "two", "three", "four", "five"].map(|s| Some(format!("{s}-s3cr3t")))
}

/// The problem of the only row.
async fn unopened(store: &trunkline_store::Store) -> Vec<Unopened> {
    let row = store.tenants().await.unwrap().pop().unwrap();
    match row.tenant {
        Err(RowProblem::Unsealable(unopened, _)) => unopened,
        other => panic!("expected sealed secrets that do not open, not {other:?}"),
    }
}

#[tokio::test]
async fn clear_text_is_sealed_and_erased_at_first_sight_and_opens_ever_after() {
    let bed = Bed::start().await;
    bed.insert("acme", "first").await;
    bed.execute(SECRETS).await;
    let version: i64 = bed.value("SELECT version FROM tenants").await;

    assert_eq!(secrets(&bed.row("acme").await), all());

    let row: String = bed.value("SELECT tenants::text FROM tenants").await;
    assert!(!row.contains("s3cr3t"), "{row}");
    // Bytes are shown in hexadecimal.
    assert!(
        !row.contains(
            &"s3cr3t"
                .bytes()
                .map(|b| format!("{b:02x}"))
                .collect::<String>()
        )
    );
    let clear: i64 = bed
        .value(
            "SELECT count(*) FROM tenants WHERE livekit_api_secret IS NOT NULL
             OR call_config_bearer IS NOT NULL OR call_config_signing_secret IS NOT NULL
             OR provider_api_key IS NOT NULL OR fallback_provider_api_key IS NOT NULL",
        )
        .await;
    assert_eq!(clear, 0);

    let row = bed.replica(|_| {}).tenants().await.unwrap().pop().unwrap();
    assert_eq!(secrets(&row), all());
    assert_eq!(row.version.0, version, "sealing is no change");
}

#[tokio::test]
async fn each_secret_is_sealed_when_it_alone_is_in_clear() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    bed.row("acme").await;
    for column in [
        "livekit_api_secret",
        "call_config_bearer",
        "call_config_signing_secret",
        "provider_api_key",
        "fallback_provider_api_key",
    ] {
        bed.execute(&format!("UPDATE tenants SET {column} = 'later-s3cr3t'"))
            .await;
        bed.row("acme").await;
        let (clear, sealed): (Option<String>, Option<Vec<u8>>) = (
            bed.value(&format!("SELECT {column} FROM tenants")).await,
            bed.value(&format!("SELECT {column}_sealed FROM tenants"))
                .await,
        );
        assert!(clear.is_none() && sealed.is_some(), "{column}");
    }
}

#[tokio::test]
async fn a_new_clear_text_replaces_what_was_sealed() {
    let bed = Bed::start().await;
    bed.insert("acme", "old-secret").await;
    let before = bed.row("acme").await;
    bed.execute("UPDATE tenants SET livekit_api_secret = 'new-secret'")
        .await;
    let after = bed.row("acme").await;
    assert_eq!(secrets(&after)[0].as_deref(), Some("new-secret"));
    assert!(after.version > before.version);
    assert_eq!(
        secrets(&bed.row("acme").await)[0].as_deref(),
        Some("new-secret")
    );
}

#[tokio::test]
async fn an_empty_text_removes_a_secret() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    bed.execute(SECRETS).await;
    bed.row("acme").await;
    bed.execute(
        "UPDATE tenants SET call_config_bearer = '', provider_api_key = '',
                 call_config_signing_secret = '', fallback_provider_api_key = ''",
    )
    .await;
    for _ in 0..2 {
        let [api_secret, bearer, model_key, signing, second_key] = secrets(&bed.row("acme").await);
        assert_eq!(api_secret.as_deref(), Some("one-s3cr3t"));
        assert_eq!((bearer, model_key, signing), (None, None, None));
        assert_eq!(second_key, None);
    }

    bed.execute("UPDATE tenants SET livekit_api_secret = ''")
        .await;
    for _ in 0..2 {
        let problem = bed.row("acme").await.tenant.unwrap_err().to_string();
        assert!(
            problem.starts_with("livekit_api_secret is missing"),
            "{problem}"
        );
    }
}

#[tokio::test]
async fn replicas_that_read_a_new_row_at_once_all_hold_its_secret_and_it_is_sealed_once() {
    let bed = Bed::start().await;
    for round in 0..20 {
        let slug = format!("acme-{round}");
        bed.insert(&slug, "shared-secret").await;
        let version: i64 = bed.value("SELECT max(version) FROM tenants").await;
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (store, slug) = (bed.replica(|_| {}), slug.clone());
                Beside::start(async move { store.tenant(&slug).await.unwrap().unwrap() })
            })
            .collect();
        for task in tasks {
            let row = task.ended().await;
            assert_eq!(secrets(&row)[0].as_deref(), Some("shared-secret"));
            assert_eq!(row.version.0, version);
        }
        let row = bed.row(&slug).await;
        assert_eq!(secrets(&row)[0].as_deref(), Some("shared-secret"));
        assert_eq!(row.version.0, version);
    }
    let clear: i64 = bed
        .value("SELECT count(*) FROM tenants WHERE livekit_api_secret IS NOT NULL")
        .await;
    assert_eq!(clear, 0);
}

#[tokio::test]
async fn a_row_that_ops_hold_open_is_read_without_waiting_and_sealed_later() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    let mut open = bed.sql.begin().await.unwrap();
    sqlx::raw_sql("UPDATE tenants SET livekit_api_secret = 'newer-secret'")
        .execute(&mut *open)
        .await
        .unwrap();

    assert_eq!(
        secrets(&bed.row("acme").await)[0].as_deref(),
        Some("secret")
    );

    open.commit().await.unwrap();
    let row = bed.row("acme").await;
    assert_eq!(secrets(&row)[0].as_deref(), Some("newer-secret"));
    let clear: Option<String> = bed.value("SELECT livekit_api_secret FROM tenants").await;
    assert_eq!(clear, None);
}

#[tokio::test]
async fn a_tenant_runs_even_where_its_clear_text_cannot_be_erased() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    bed.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'read only'; END $$;
         CREATE TRIGGER refuse BEFORE UPDATE ON tenants
             FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    .await;
    assert_eq!(
        secrets(&bed.row("acme").await)[0].as_deref(),
        Some("secret")
    );
    bed.execute("DROP TRIGGER refuse ON tenants").await;
    bed.row("acme").await;
    let clear: Option<String> = bed.value("SELECT livekit_api_secret FROM tenants").await;
    assert_eq!(clear, None);
}

#[tokio::test]
async fn a_sealed_value_opens_in_its_own_column_only() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    bed.row("acme").await;
    bed.execute("UPDATE tenants SET provider_api_key_sealed = livekit_api_secret_sealed")
        .await;
    let unopened = unopened(&bed.store).await;
    assert_eq!(unopened.len(), 1);
    assert_eq!(unopened[0].column, "provider_api_key");
    assert!(matches!(unopened[0].problem, OpenError::Refused { .. }));
}

#[tokio::test]
async fn a_sealed_value_opens_for_its_own_tenant_only_and_others_load() {
    let bed = Bed::start().await;
    bed.insert("acme", "acmes-secret").await;
    bed.insert("bolt", "bolts-secret").await;
    bed.store.tenants().await.unwrap();
    bed.execute(
        "UPDATE tenants SET livekit_api_secret_sealed =
             (SELECT livekit_api_secret_sealed FROM tenants WHERE slug = 'acme')
         WHERE slug = 'bolt'",
    )
    .await;
    assert!(bed.row("acme").await.tenant.is_ok());
    let problem = bed.row("bolt").await.tenant.unwrap_err().to_string();
    assert!(
        problem.starts_with("livekit_api_secret does not open with the sealing key k"),
        "{problem}"
    );
    assert!(
        problem.contains("write the secret in clear again"),
        "{problem}"
    );
    assert!(
        !problem.contains("secret of") && !problem.contains("s-secret"),
        "{problem}"
    );
}

#[tokio::test]
async fn without_its_key_a_secret_does_not_open_and_the_missing_key_is_named() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    bed.execute(SECRETS).await;
    bed.row("acme").await;
    let other = Keyring::generate_key().unwrap();
    let stranger = open(&bed.url, &other, |_| {});
    let id = bed
        .keys
        .expose_secret()
        .split(':')
        .next()
        .unwrap()
        .to_owned();
    let unopened = unopened(&stranger).await;
    let columns: Vec<_> = unopened.iter().map(|u| u.column).collect();
    assert_eq!(
        columns,
        [
            "livekit_api_secret",
            "call_config_bearer",
            "call_config_signing_secret",
            "provider_api_key",
            "fallback_provider_api_key"
        ]
    );
    assert!(
        unopened
            .iter()
            .all(|u| u.problem == OpenError::UnknownKey { id: id.clone() })
    );

    let both = format!("{},{}", other.expose_secret(), bed.keys.expose_secret());
    let rotated = open(&bed.url, &both.into(), |_| {});
    assert!(rotated.tenants().await.unwrap()[0].tenant.is_ok());
}

#[tokio::test]
async fn many_rows_are_sealed_at_once() {
    let bed = Bed::start().await;
    // More than one statement's worth.
    bed.execute(
        "INSERT INTO tenants (slug, livekit_url, livekit_api_key, livekit_api_secret)
         SELECT 't-' || n, 'wss://t.example', 'key', 'secret-' || n
         FROM generate_series(1, 1200) n",
    )
    .await;
    for _ in 0..2 {
        let rows = bed.store.tenants().await.unwrap();
        assert_eq!(rows.len(), 1200);
        for row in rows {
            let number = row.slug.strip_prefix("t-").unwrap();
            assert_eq!(secrets(&row)[0], Some(format!("secret-{number}")));
        }
        let clear: i64 = bed
            .value("SELECT count(livekit_api_secret) FROM tenants")
            .await;
        assert_eq!(clear, 0);
    }
}
