//! Rows: versions, problems, and the commands that change them.

use serde_json::json;
use trunkline_domain::{Tenant, TenantVersion};
use trunkline_store::{
    AddError, ChangeError, Enablement, Expected, NewTenant, RowProblem, TenantRow,
};

use crate::bed::{Bed, actor, slugs_of};

fn new(slug: &str) -> NewTenant {
    NewTenant::new(
        slug,
        "wss://project.example",
        format!("key-of-{}", slug.replace(' ', "-")),
        "a-secret",
    )
}

fn tenant(row: &TenantRow) -> &Tenant {
    row.tenant.as_ref().unwrap()
}

#[tokio::test]
async fn a_plain_insert_and_the_command_make_the_same_tenant() {
    let bed = Bed::start().await;
    bed.execute(
        "INSERT INTO tenants (slug, livekit_url, livekit_api_key, livekit_api_secret)
         VALUES ('by-sql', 'wss://project.example', 'key-of-by-sql', 'a-secret')",
    )
    .await;
    bed.store
        .add_tenant(new("by-command"), &actor())
        .await
        .unwrap();
    let shown = |row: &TenantRow| {
        let mut tenant = tenant(row).clone();
        tenant.id = trunkline_domain::TenantId(Default::default());
        tenant.version = TenantVersion(0);
        format!("{tenant:?}").replace(row.slug.as_str(), "slug")
    };
    let (by_sql, by_command) = (bed.row("by-sql").await, bed.row("by-command").await);
    assert_eq!(shown(&by_sql), shown(&by_command));
}

#[tokio::test]
async fn everything_that_is_added_is_read_again() {
    let bed = Bed::start().await;
    let mut wanted = new("acme");
    wanted.enabled = Enablement::Disabled;
    wanted.agent_names = vec!["another".into(), "third".into()];
    wanted.deployment = Some("blue".into());
    wanted.call_config_url = Some("https://backend.example/call-config".into());
    wanted.call_config_bearer = Some("a-bearer".into());
    wanted.call_config_signing_secret = Some("a-signing-secret".into());
    wanted.call_config_deadline_ms = 1_500;
    wanted.answer_deadline_ms = 2_500;
    wanted.default_config = json!({"startMessage": "Hello.", "metadata": {"later": 1}});
    wanted.provider_base_url = Some("wss://model.example/v1".into());
    wanted.provider_api_key = Some("a-model-key".into());
    wanted.fallback_provider = Some("openai".into());
    wanted.fallback_provider_base_url = Some("wss://second.example/v1".into());
    wanted.fallback_provider_api_key = Some("another-model-key".into());
    wanted.fallback_model = Some("second-model".into());
    wanted.fallback_voice = Some("second-voice".into());
    wanted.fallback_transfer_to = Some("+15551234567".into());
    wanted.apology_audio = Some(vec![7; 4321].into());
    wanted.max_calls = Some(7);
    wanted.calls_per_second = Some(1.25);
    wanted.max_call_minutes = Some(90);
    let (id, version) = bed.store.add_tenant(wanted, &actor()).await.unwrap();

    let row = bed.row("acme").await;
    assert_eq!((row.id, row.version, row.enabled), (id, version, false));
    let shown = format!("{:?}", tenant(&row));
    for part in [
        "another",
        "third",
        "1250",
        "5400s",
        "blue",
        "1.5s",
        "2.5s",
        "Hello.",
        "later",
        "model.example",
        "second.example",
        "second-model",
        "second-voice",
        "tel:+15551234567",
        "4321 bytes",
        "7",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    let lookup = tenant(&row).lookup.as_ref().unwrap();
    let is = |secret: Option<&secrecy::SecretString>, text: &str| {
        trunkline_domain::same_secret(secret.unwrap(), &text.into())
    };
    assert!(is(lookup.bearer.as_ref(), "a-bearer"));
    assert!(is(lookup.signing_secret.as_ref(), "a-signing-secret"));
    assert!(is(tenant(&row).provider.api_key.as_ref(), "a-model-key"));
    let second = tenant(&row).fallback.second_model.as_ref().unwrap();
    assert!(is(second.provider.api_key.as_ref(), "another-model-key"));
    assert!(is(Some(&tenant(&row).project.api_secret), "a-secret"));
    let in_clear: i64 = bed
        .value(
            "SELECT count(livekit_api_secret) + count(call_config_bearer)
             + count(call_config_signing_secret) + count(provider_api_key)
             + count(fallback_provider_api_key) FROM tenants",
        )
        .await;
    assert_eq!(in_clear, 0);
}

#[tokio::test]
async fn what_cannot_be_run_or_is_there_already_is_not_added() {
    let bed = Bed::start().await;
    bed.store.add_tenant(new("acme"), &actor()).await.unwrap();
    let error = bed
        .store
        .add_tenant(new("acme"), &actor())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "there is a tenant acme already");
    let mut wrong = new("Not A Slug");
    wrong.max_calls = Some(0);
    let error = bed.store.add_tenant(wrong, &actor()).await.unwrap_err();
    assert!(
        matches!(&error, AddError::Invalid(i) if i.problems.len() == 2),
        "{error}"
    );
    assert_eq!(slugs_of(&bed.store.tenants().await.unwrap()), ["acme"]);
}

#[tokio::test]
async fn a_tenant_is_switched_off_and_on_and_removed_by_its_slug() {
    let bed = Bed::start().await;
    let (id, version) = bed.store.add_tenant(new("acme"), &actor()).await.unwrap();
    let off = bed
        .store
        .set_enabled("acme", Enablement::Disabled, Expected::Any, &actor())
        .await
        .unwrap();
    assert!(off > version);
    assert!(!bed.row("acme").await.enabled);
    // Already so: no change, and no new version.
    let again = bed
        .store
        .set_enabled("acme", Enablement::Disabled, Expected::Any, &actor())
        .await
        .unwrap();
    assert_eq!(again, off);
    let on = bed
        .store
        .set_enabled("acme", Enablement::Enabled, Expected::Any, &actor())
        .await
        .unwrap();
    assert!(on > off);
    assert_eq!(
        bed.store
            .remove_tenant("acme", Expected::Any, &actor())
            .await
            .unwrap(),
        id
    );
    assert!(bed.store.tenant("acme").await.unwrap().is_none());

    let error = bed
        .store
        .remove_tenant("acme", Expected::Any, &actor())
        .await
        .unwrap_err();
    assert!(matches!(error, ChangeError::NoSuchTenant { .. }), "{error}");
    let error = bed
        .store
        .set_enabled("acme", Enablement::Enabled, Expected::Any, &actor())
        .await
        .unwrap_err();
    assert!(matches!(error, ChangeError::NoSuchTenant { .. }), "{error}");
}

#[tokio::test]
async fn the_database_raises_the_version_with_every_change_whatever_is_written() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    let version = || bed.value::<i64>("SELECT version FROM tenants");
    let first = version().await;

    bed.execute("UPDATE tenants SET version = 1000, created_at = 'epoch', updated_at = 'epoch'")
        .await;
    assert_eq!(version().await, first, "nothing that matters changed");
    bed.execute("UPDATE tenants SET max_calls = 3, version = 0")
        .await;
    let second = version().await;
    assert!(second > first);

    // Removed and written again under the same id: still another version.
    bed.execute(
        "CREATE TEMPORARY TABLE kept AS SELECT * FROM tenants;
         DELETE FROM tenants;
         INSERT INTO tenants SELECT * FROM kept;
         DROP TABLE kept",
    )
    .await;
    assert!(version().await > second);
}

#[tokio::test]
async fn the_id_of_a_tenant_cannot_be_changed() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    let error = sqlx::raw_sql("UPDATE tenants SET id = gen_random_uuid()")
        .execute(&bed.sql)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("cannot change"), "{error}");
}

#[tokio::test]
async fn a_role_that_may_only_insert_can_onboard() {
    let bed = Bed::start().await;
    // Roles are of the whole server, so its name is this database's.
    let role: String = bed
        .value("SELECT 'onboarding_' || current_database()")
        .await;
    bed.execute(&format!(
        "CREATE ROLE {role}; GRANT INSERT ON tenants TO {role};
         SET ROLE {role};
         INSERT INTO tenants (slug, livekit_url, livekit_api_key, livekit_api_secret)
         VALUES ('acme', 'wss://a.example', 'key', 'secret');
         RESET ROLE"
    ))
    .await;
    assert!(bed.row("acme").await.tenant.is_ok());
}

#[tokio::test]
async fn rows_that_cannot_be_run_come_with_their_problems_and_do_not_stop_others() {
    // As they can stand in a table of an earlier time.
    let bed = Bed::of_migration(3).await;
    bed.insert("good", "secret").await;
    bed.execute(
        "INSERT INTO tenants (slug, livekit_url, livekit_api_key) VALUES
             ('no-secret', 'wss://a.example', 'key'),
             ('Bad Slug', 'wss://a.example', 'key');
         INSERT INTO tenants (slug, livekit_url, livekit_api_key, livekit_api_secret, enabled,
                              max_calls, answer_deadline_ms, default_config, provider)
         VALUES ('wrong', 'https://user:hunter2@a.example', 'key', 'hidden value', false,
                 -1, 0, '[]', 'other')",
    )
    .await;
    bed.store.migrate().await.unwrap();
    let rows = bed.store.tenants().await.unwrap();
    assert_eq!(rows.len(), 4);
    for row in &rows {
        let problem = row.tenant.as_ref().err().map(ToString::to_string);
        match row.slug.as_str() {
            "good" => assert_eq!(problem, None),
            "no-secret" => assert!(
                problem
                    .unwrap()
                    .starts_with("livekit_api_secret is missing")
            ),
            "Bad Slug" => assert!(problem.unwrap().starts_with("slug must be")),
            "wrong" => {
                assert!(!row.enabled);
                let Err(RowProblem::Invalid(invalid)) = &row.tenant else {
                    panic!("{problem:?}");
                };
                assert_eq!(invalid.problems.len(), 6, "{invalid}");
                let shown = format!("{invalid} {row:?}");
                assert!(
                    !shown.contains("hunter2") && !shown.contains("hidden"),
                    "{shown}"
                );
            }
            other => panic!("an unexpected row {other}"),
        }
    }
}

#[tokio::test]
async fn a_default_configuration_that_no_parser_takes_does_not_stop_others() {
    // As they can stand in a table of before the bound.
    let bed = Bed::of_migration(7).await;
    bed.insert("good", "secret").await;
    for (slug, json) in [
        (
            "deep",
            "('{\"a\": ' || repeat('[', 500) || repeat(']', 500) || '}')::jsonb",
        ),
        ("vast", "'{\"a\": 1e400}'::jsonb"),
        ("long", "jsonb_build_object('a', repeat('ä', 300000))"),
    ] {
        bed.insert(slug, "secret").await;
        bed.execute(&format!(
            "UPDATE tenants SET default_config = {json} WHERE slug = '{slug}'"
        ))
        .await;
    }
    bed.store.migrate().await.unwrap();
    for slug in ["deep", "vast", "long"] {
        let rows = bed.store.tenants().await.unwrap();
        assert!(
            rows.iter()
                .any(|row| row.slug == "good" && row.tenant.is_ok())
        );
        let wrong = rows.iter().find(|row| row.slug == slug).unwrap();
        let problem = wrong.tenant.as_ref().unwrap_err().to_string();
        assert!(problem.starts_with("default_config: "), "{slug}: {problem}");
    }
}
