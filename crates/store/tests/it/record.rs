//! What the table takes, and how a tenant is changed, removed and listed.

use secrecy::ExposeSecret as _;
use serde_json::json;
use sqlx::AssertSqlSafe;
use trunkline_domain::Reach;
use trunkline_store::{
    Actor, AddError, ChangeError, Enablement, Expected, InnerUrls, NewTenant, StoreError,
    TenantChange, TenantFilter,
};

use crate::bed::{Bed, LIMIT, actor, reaches, slugs_of};

fn new(slug: &str) -> NewTenant {
    NewTenant::new(
        slug,
        "wss://project.example",
        format!("key-of-{slug}"),
        "a-secret",
    )
}

/// What Postgres says to a statement of ops.
async fn refusal(bed: &Bed, statement: &str) -> String {
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(&bed.sql)
        .await;
    match done {
        Err(sqlx::Error::Database(refusal)) => refusal.constraint().unwrap().to_owned(),
        other => panic!("{statement} gave {other:?}"),
    }
}

#[tokio::test]
async fn the_table_refuses_what_no_tenant_can_be() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    bed.insert("bolt", "secret").await;
    for (set, constraint) in [
        ("slug = 'Acme Inc'", "tenants_slug_shape"),
        ("slug = '-a'", "tenants_slug_shape"),
        ("slug = 'bolt'", "tenants_slug_key"),
        (
            "livekit_url = 'ftp://a.example'",
            "tenants_livekit_url_shape",
        ),
        ("livekit_url = 'wss://'", "tenants_livekit_url_shape"),
        (
            "livekit_url = 'wss://user:word@a.example'",
            "tenants_livekit_url_shape",
        ),
        (
            "livekit_url = 'wss://' || repeat('a', 3000)",
            "tenants_livekit_url_shape",
        ),
        ("livekit_api_key = ''", "tenants_livekit_api_key_shape"),
        ("livekit_api_key = 'a b'", "tenants_livekit_api_key_shape"),
        (
            "livekit_url = 'wss://a.example:'",
            "tenants_livekit_url_port",
        ),
        (
            "call_config_url = 'https://a.example:/x'",
            "tenants_call_config_url_port",
        ),
        (
            "provider_base_url = 'https://a.example:?x'",
            "tenants_provider_base_url_port",
        ),
        (
            "default_config = jsonb_build_object('systemPrompt', repeat('a', 65536))",
            "tenants_default_config_size",
        ),
        ("agent_name = 'two words'", "tenants_agent_names_shape"),
        ("agent_names = '{}'", "tenants_agent_names_shape"),
        ("agent_names = '{a,a}'", "tenants_agent_names_shape"),
        ("agent_names = '{a,NULL}'", "tenants_agent_names_shape"),
        ("agent_names = '{{a},{b}}'", "tenants_agent_names_shape"),
        (
            "agent_names = (SELECT array_agg('a' || n) FROM generate_series(1, 17) AS n)",
            "tenants_agent_names_shape",
        ),
        ("deployment = 'a_b'", "tenants_deployment_shape"),
        (
            "call_config_url = 'wss://a.example'",
            "tenants_call_config_url_shape",
        ),
        (
            "call_config_deadline_ms = 99",
            "tenants_call_config_deadline_ms_range",
        ),
        (
            "answer_deadline_ms = 60001",
            "tenants_answer_deadline_ms_range",
        ),
        ("default_config = '[]'", "tenants_default_config_shape"),
        ("provider = 'nobody'", "tenants_provider_known"),
        (
            "provider_base_url = 'nowhere'",
            "tenants_provider_base_url_shape",
        ),
        ("max_calls = 0", "tenants_max_calls_range"),
        ("calls_per_second = 0", "tenants_calls_per_second_range"),
        ("calls_per_second = 'NaN'", "tenants_calls_per_second_range"),
        ("max_call_minutes = 1441", "tenants_max_call_minutes_range"),
        (
            "fallback_provider = 'nobody'",
            "tenants_fallback_provider_known",
        ),
        (
            "fallback_provider_base_url = 'nowhere'",
            "tenants_fallback_provider_base_url_shape",
        ),
        (
            "fallback_provider_base_url = 'https://a.example:?x'",
            "tenants_fallback_provider_base_url_port",
        ),
        ("fallback_model = ''", "tenants_fallback_model_length"),
        (
            "fallback_voice = repeat('v', 129)",
            "tenants_fallback_voice_length",
        ),
        (
            "fallback_transfer_to = 'the office'",
            "tenants_fallback_transfer_to_shape",
        ),
        (
            "fallback_transfer_to = E'sip:a@b\\r\\nX: y'",
            "tenants_fallback_transfer_to_shape",
        ),
        ("apology_audio = ''", "tenants_apology_audio_size"),
        (
            "apology_audio = convert_to(repeat('a', 2097153), 'UTF8')",
            "tenants_apology_audio_size",
        ),
    ] {
        let statement = format!("UPDATE tenants SET {set} WHERE slug = 'acme'");
        assert_eq!(refusal(&bed, &statement).await, constraint, "{set}");
    }
    for set in [
        "livekit_url = ' HTTP://10.0.0.1:7880/path?a=b@c '",
        "deployment = ''",
        "call_config_url = NULL",
        "fallback_provider = 'openai', fallback_model = 'm', fallback_voice = 'v',
         fallback_transfer_to = 'sip:desk@[2001:db8::1]:5060;transport=tcp'",
        "fallback_transfer_to = '+15551234567'",
        "fallback_transfer_to = 'tel:112'",
        "apology_audio = convert_to(repeat('a', 2097152), 'UTF8')",
        "agent_names = '{a,b}', calls_per_second = 0.5, max_call_minutes = 1440",
    ] {
        bed.execute(&format!("UPDATE tenants SET {set} WHERE slug = 'acme'"))
            .await;
        bed.row("acme").await.tenant.unwrap();
    }
}

#[tokio::test]
async fn a_row_of_an_earlier_time_can_be_sealed_removed_or_mended_and_nothing_else() {
    let bed = Bed::of_migration(3).await;
    for slug in ["mended", "removed"] {
        bed.insert(slug, "secret").await;
    }
    bed.execute("UPDATE tenants SET max_calls = 0").await;
    bed.store.migrate().await.unwrap();

    let rows = bed.store.tenants().await.unwrap();
    assert!(rows.iter().all(|row| row.tenant.is_err()));
    let in_clear: i64 = bed
        .value("SELECT count(livekit_api_secret) FROM tenants")
        .await;
    assert_eq!(in_clear, 0);

    let error = bed
        .store
        .set_enabled("mended", Enablement::Disabled, Expected::Any, &actor())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "max_calls must be 1 or more");
    let ChangeError::Store(StoreError::Violated(violation)) = error else {
        panic!("{error:?}");
    };
    assert_eq!(violation.field, "max_calls");
    let rename = TenantChange {
        slug: Some("renamed".into()),
        ..TenantChange::default()
    };
    let error = bed
        .store
        .update_tenant("mended", rename, Expected::Any, &actor())
        .await
        .unwrap_err();
    assert!(matches!(&error, ChangeError::Invalid(_)), "{error:?}");

    let mend = TenantChange {
        max_calls: Some(None),
        ..TenantChange::default()
    };
    bed.store
        .update_tenant("mended", mend, Expected::Any, &actor())
        .await
        .unwrap();
    bed.row("mended").await.tenant.unwrap();
    bed.store
        .remove_tenant("removed", Expected::Any, &actor())
        .await
        .unwrap();
    assert_eq!(slugs_of(&bed.store.tenants().await.unwrap()), ["mended"]);
}

#[tokio::test]
async fn a_change_sets_what_it_names_and_leaves_the_rest() {
    let bed = Bed::start().await;
    let mut wanted = new("acme");
    wanted.call_config_url = Some("https://backend.example/".into());
    wanted.call_config_bearer = Some("a-bearer".into());
    wanted.max_calls = Some(7);
    let (_, version) = bed.store.add_tenant(wanted, &actor()).await.unwrap();

    let change = TenantChange {
        slug: Some("acme-2".into()),
        agent_names: Some(vec!["sales".into(), "support".into()]),
        livekit_api_secret: Some("another-secret".into()),
        call_config_bearer: Some(None),
        call_config_signing_secret: Some(Some("signs".into())),
        max_calls: Some(None),
        max_call_minutes: Some(Some(30)),
        ..TenantChange::default()
    };
    let changed = bed
        .store
        .update_tenant("acme", change.clone(), Expected::Version(version), &actor())
        .await
        .unwrap();
    assert!(changed > version);
    let row = bed.row("acme-2").await;
    let tenant = row.tenant.unwrap();
    assert_eq!(tenant.version, changed);
    assert_eq!(tenant.agent_names.len(), 2);
    assert_eq!(tenant.project.api_secret.expose_secret(), "another-secret");
    let lookup = tenant.lookup.as_ref().unwrap();
    assert!(lookup.bearer.is_none());
    assert_eq!(
        lookup.signing_secret.as_ref().unwrap().expose_secret(),
        "signs"
    );
    assert_eq!(tenant.limits.max_calls, None);
    let in_clear: i64 = bed
        .value("SELECT count(livekit_api_secret) + count(call_config_signing_secret) FROM tenants")
        .await;
    assert_eq!(in_clear, 0);

    let nothing = TenantChange {
        max_call_minutes: Some(Some(30)),
        ..TenantChange::default()
    };
    let again = bed
        .store
        .update_tenant("acme-2", nothing, Expected::Any, &actor())
        .await
        .unwrap();
    assert_eq!(again, changed, "what is so already makes no version");
}

#[tokio::test]
async fn a_change_meant_for_another_version_is_not_made_and_tells_the_present_one() {
    let bed = Bed::start().await;
    let (_, read) = bed.store.add_tenant(new("acme"), &actor()).await.unwrap();
    bed.execute("UPDATE tenants SET max_calls = 3").await;
    let present = bed.row("acme").await.version;
    let expected = Expected::Version(read);
    let conflict = ChangeError::Conflict {
        slug: "acme".into(),
        current: present,
    };
    let change = TenantChange {
        max_calls: Some(Some(9)),
        ..TenantChange::default()
    };
    let errors = [
        bed.store
            .update_tenant("acme", change, expected, &actor())
            .await
            .unwrap_err(),
        bed.store
            .set_enabled("acme", Enablement::Disabled, expected, &actor())
            .await
            .unwrap_err(),
        bed.store
            .remove_tenant("acme", expected, &actor())
            .await
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error, conflict);
    }
    assert_eq!(bed.row("acme").await.version, present);
}

#[tokio::test]
async fn of_two_changes_at_once_of_one_version_one_is_made() {
    let bed = Bed::start().await;
    let (_, read) = bed.store.add_tenant(new("acme"), &actor()).await.unwrap();
    let change = |minutes| TenantChange {
        max_call_minutes: Some(Some(minutes)),
        ..TenantChange::default()
    };
    let other = bed.replica(|_| {});
    let (by, expected) = (actor(), Expected::Version(read));
    let (a, b) = tokio::join!(
        bed.store.update_tenant("acme", change(1), expected, &by),
        other.update_tenant("acme", change(2), expected, &by),
    );
    assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
    let loser = a.err().or(b.err()).unwrap();
    assert!(matches!(loser, ChangeError::Conflict { .. }), "{loser:?}");
}

#[tokio::test]
async fn what_cannot_be_run_or_takes_another_s_name_is_not_changed() {
    let bed = Bed::start().await;
    for slug in ["acme", "bolt"] {
        bed.store.add_tenant(new(slug), &actor()).await.unwrap();
    }
    let wrong = TenantChange {
        livekit_url: Some("nowhere".into()),
        calls_per_second: Some(Some(0.0)),
        ..TenantChange::default()
    };
    let error = bed
        .store
        .update_tenant("acme", wrong, Expected::Any, &actor())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ChangeError::Invalid(i) if i.problems.len() == 2),
        "{error:?}"
    );
    let taken = TenantChange {
        slug: Some("bolt".into()),
        ..TenantChange::default()
    };
    let error = bed
        .store
        .update_tenant("acme", taken, Expected::Any, &actor())
        .await
        .unwrap_err();
    assert_eq!(
        error,
        ChangeError::SlugTaken {
            slug: "bolt".into()
        }
    );
    let error = bed
        .store
        .update_tenant("nobody", TenantChange::default(), Expected::Any, &actor())
        .await
        .unwrap_err();
    assert!(matches!(error, ChangeError::NoSuchTenant { .. }));
}

#[tokio::test]
async fn a_secret_that_does_not_open_here_hinders_no_other_change_of_its_tenant() {
    let bed = Bed::start().await;
    bed.store.add_tenant(new("acme"), &actor()).await.unwrap();
    let stranger = crate::bed::open(
        &bed.url,
        &trunkline_store::Keyring::generate_key().unwrap(),
        |_| {},
    );
    let change = TenantChange {
        max_calls: Some(Some(2)),
        ..TenantChange::default()
    };
    stranger
        .update_tenant("acme", change, Expected::Any, &actor())
        .await
        .unwrap();
    let tenant = bed.row("acme").await.tenant.unwrap();
    assert_eq!(tenant.limits.max_calls.unwrap().get(), 2);
    assert_eq!(tenant.project.api_secret.expose_secret(), "a-secret");
}

#[tokio::test]
async fn a_removed_tenant_is_gone_for_replicas_its_secrets_are_erased_and_its_slug_is_free() {
    let bed = Bed::start().await;
    let mut feed = bed.store.feed();
    let (first, _) = bed.store.add_tenant(new("acme"), &actor()).await.unwrap();
    bed.insert("by-sql", "secret").await;
    reaches(&mut feed, &["acme", "by-sql"]).await;
    bed.store
        .remove_tenant("acme", Expected::Any, &actor())
        .await
        .unwrap();
    reaches(&mut feed, &["by-sql"]).await;
    bed.execute("UPDATE tenants SET removed_at = now() WHERE slug = 'by-sql'")
        .await;
    reaches(&mut feed, &[]).await;

    let secrets: i64 = bed
        .value(
            "SELECT count(livekit_api_secret) + count(livekit_api_secret_sealed) FROM tenants
             WHERE removed_at IS NOT NULL AND NOT enabled",
        )
        .await;
    assert_eq!(secrets, 0);
    let kept: i64 = bed.value("SELECT count(*) FROM tenants").await;
    assert_eq!(kept, 2, "the rest of the rows stays");
    assert!(bed.store.tenant("acme").await.unwrap().is_none());
    assert!(bed.store.tenant_record("acme").await.unwrap().is_none());
    assert_eq!(bed.store.tenant_id("acme").await.unwrap(), Some(first));

    let (second, _) = bed.store.add_tenant(new("acme"), &actor()).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(bed.row("acme").await.id, second);
    assert_eq!(bed.store.tenant_id("acme").await.unwrap(), Some(second));
    bed.store
        .remove_tenant("acme", Expected::Any, &actor())
        .await
        .unwrap();
    bed.insert("acme", "third-secret").await;
    reaches(&mut feed, &["acme"]).await;

    let error = sqlx::raw_sql("UPDATE tenants SET removed_at = NULL WHERE removed_at IS NOT NULL")
        .execute(&bed.sql)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("cannot be brought back"));
    bed.execute("DELETE FROM tenants").await;
    reaches(&mut feed, &[]).await;
}

#[tokio::test]
async fn one_agent_name_and_several_say_the_same_whichever_is_written() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    let names = || bed.value::<Vec<String>>("SELECT agent_name || agent_names FROM tenants");
    assert_eq!(names().await, ["pstn-voice-agent", "pstn-voice-agent"]);
    for (set, both) in [
        ("agent_names = '{a,b,c}'", vec!["a", "a", "b", "c"]),
        // As the version before writes it.
        ("agent_name = 'c'", vec!["c", "c", "b"]),
        (
            "agent_name = 'd', agent_names = '{e,f}'",
            vec!["e", "e", "f"],
        ),
        ("agent_names = NULL", vec!["e", "e"]),
        ("max_calls = 3", vec!["e", "e"]),
    ] {
        bed.execute(&format!("UPDATE tenants SET {set}")).await;
        assert_eq!(names().await, both, "{set}");
    }
}

#[tokio::test]
async fn tenants_are_listed_by_pages_with_what_their_rows_hold() {
    let bed = Bed::start().await;
    for slug in ["b-1", "a-1", "c-1", "b-2", "b-3"] {
        bed.insert(slug, "secret").await;
    }
    bed.execute("UPDATE tenants SET enabled = false WHERE slug = 'b-2'")
        .await;
    let filter = TenantFilter {
        slug_contains: Some("b-".into()),
        ..TenantFilter::default()
    };
    let mut listed: Vec<Vec<String>> = Vec::new();
    let mut after: Option<String> = None;
    let pages = async {
        loop {
            let page = bed
                .store
                .tenant_page(&filter, after.as_deref(), 2)
                .await
                .unwrap();
            listed.push(page.tenants.iter().map(|t| t.slug.clone()).collect());
            after = page.next;
            if after.is_none() {
                return;
            }
        }
    };
    tokio::time::timeout(LIMIT, pages).await.unwrap();
    let expected: Vec<Vec<String>> = vec![vec!["b-1".into(), "b-2".into()], vec!["b-3".into()]];
    assert_eq!(listed, expected);

    let filter = TenantFilter {
        enabled: Some(Enablement::Disabled),
        ..TenantFilter::default()
    };
    let page = bed.store.tenant_page(&filter, None, 50).await.unwrap();
    let [off] = page.tenants.as_slice() else {
        panic!("{page:?}");
    };
    assert_eq!(off.slug, "b-2");
    assert_eq!(off.settings.secrets, ["livekit_api_secret"]);
    assert_eq!(off.settings.agent_names, ["pstn-voice-agent"]);
    assert!(off.tenant.is_ok() && off.created_at <= off.updated_at);
}

#[tokio::test]
async fn a_record_shows_what_is_wrong_and_no_password() {
    let bed = Bed::of_migration(3).await;
    bed.execute(
        "INSERT INTO tenants (slug, livekit_url, livekit_api_key, livekit_api_secret, max_calls)
         VALUES ('acme', 'https://user:hunter2@a.example', 'key', 'secret', -1)",
    )
    .await;
    bed.store.migrate().await.unwrap();
    let record = bed.store.tenant_record("acme").await.unwrap().unwrap();
    assert_eq!(record.settings.max_calls, Some(-1));
    let shown = format!("{record:?}");
    assert!(
        record.tenant.is_err() && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_default_configuration_is_bounded_and_its_fields_are_known() {
    let bed = Bed::start().await;
    let mut tenant = new("acme");
    tenant.default_config = json!({"colour": "red", "shape": 1});
    let error = bed.store.add_tenant(tenant.clone(), &actor()).await;
    let said = error.unwrap_err().to_string();
    assert!(
        said.contains("default_config: colour is not known"),
        "{said}"
    );
    assert!(
        said.contains("default_config: shape is not known"),
        "{said}"
    );
    tenant.default_config = json!({"systemPrompt": "é".repeat(40_000)});
    let error = bed.store.add_tenant(tenant.clone(), &actor()).await;
    let said = error.unwrap_err().to_string();
    assert!(
        said.contains("default_config must have 65536 bytes at most"),
        "{said}"
    );
    tenant.default_config = json!({"systemPrompt": "e".repeat(60_000)});
    bed.store.add_tenant(tenant, &actor()).await.unwrap();
}

#[tokio::test]
async fn two_tenants_that_livekit_cannot_tell_apart_are_refused() {
    let bed = Bed::start().await;
    let of_key = |slug: &str, url: &str| NewTenant::new(slug, url, "one-key", "a-secret");
    let add = async |new: NewTenant| bed.store.add_tenant(new, &actor()).await;
    add(of_key("acme", "wss://a.example")).await.unwrap();
    let twin = add(of_key("twin", "https://A.example:443/")).await;
    assert!(
        matches!(&twin, Err(AddError::Twin(twin)) if twin.other == "acme"),
        "{twin:?}"
    );
    add(of_key("elsewhere", "wss://b.example")).await.unwrap();
    let mut other = of_key("other", "wss://a.example");
    other.agent_names = vec!["other".into()];
    add(other).await.unwrap();
    let mut off = of_key("off", "wss://a.example");
    off.enabled = Enablement::Disabled;
    add(off).await.unwrap();

    let by = actor();
    let any = Expected::Any;
    let named = TenantChange {
        agent_names: Some(vec!["x".into(), "pstn-voice-agent".into()]),
        ..TenantChange::default()
    };
    let changed = bed.store.update_tenant("other", named, any, &actor()).await;
    assert!(matches!(changed, Err(ChangeError::Twin(_))), "{changed:?}");
    let on = bed.store.set_enabled("off", Enablement::Enabled, any, &by);
    assert!(matches!(on.await, Err(ChangeError::Twin(_))));
    let off = bed
        .store
        .set_enabled("acme", Enablement::Disabled, any, &by);
    off.await.unwrap();
    let on = bed.store.set_enabled("off", Enablement::Enabled, any, &by);
    on.await.unwrap();
}

#[tokio::test]
async fn a_url_that_a_tenants_own_token_wrote_is_confined_until_somebody_else_writes_it() {
    let bed = Bed::start().await;
    bed.store.add_tenant(new("acme"), &actor()).await.unwrap();
    let own = Actor::new("api:own").of_one_tenant(InnerUrls::Refused);
    let reach = async || {
        bed.row("acme")
            .await
            .tenant
            .unwrap()
            .lookup
            .clone()
            .unwrap()
            .reach
    };
    let to = async |url: &str, actor: &Actor| {
        let change = TenantChange {
            call_config_url: Some(Some(url.into())),
            ..TenantChange::default()
        };
        let any = Expected::Any;
        bed.store.update_tenant("acme", change, any, actor).await
    };
    to("https://one.example/", &own).await.unwrap();
    assert_eq!(reach().await, Reach::Outside);
    to("https://two.example/", &own).await.unwrap();
    assert_eq!(reach().await, Reach::Outside);
    let refused = to("http://169.254.169.254/", &own).await.unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("call_config_url must not lead"),
        "{refused}"
    );
    // What does not touch it leaves it so; who may lead anywhere frees it.
    bed.execute("UPDATE tenants SET max_calls = 3").await;
    assert_eq!(reach().await, Reach::Outside);
    to("http://10.0.0.1/", &actor()).await.unwrap();
    assert_eq!(reach().await, Reach::Anywhere);
    to("https://one.example/", &own).await.unwrap();
    bed.execute("UPDATE tenants SET call_config_url = 'http://10.0.0.2/'")
        .await;
    assert_eq!(reach().await, Reach::Anywhere);
}

#[tokio::test]
async fn a_recording_is_read_by_those_who_run_calls_and_told_by_its_length_to_the_others() {
    let bed = Bed::start().await;
    bed.store.add_tenant(new("acme"), &actor()).await.unwrap();
    let change = |audio: Option<Vec<u8>>| TenantChange {
        apology_audio: Some(audio.map(Into::into)),
        ..TenantChange::default()
    };
    let update = async |change| {
        bed.store
            .update_tenant("acme", change, Expected::Any, &actor())
            .await
            .unwrap()
    };
    let first = update(change(Some(vec![1; 300]))).await;
    // Another change leaves it, and the same once more is none.
    update(TenantChange {
        max_calls: Some(Some(3)),
        ..TenantChange::default()
    })
    .await;
    let second = update(change(Some(vec![1; 300]))).await;
    assert!(second > first);
    assert_eq!(update(change(Some(vec![1; 300]))).await, second);

    let read = bed.row("acme").await.tenant.unwrap();
    let audio = read.fallback.apology.as_ref().unwrap();
    assert_eq!(audio.as_bytes(), [1; 300]);
    let record = bed.store.tenant_record("acme").await.unwrap().unwrap();
    assert_eq!(record.settings.apology_audio_bytes, Some(300));
    assert!(record.tenant.unwrap().fallback.apology.is_none());

    update(change(None)).await;
    let read = bed.row("acme").await.tenant.unwrap();
    assert!(read.fallback.apology.is_none());
}
