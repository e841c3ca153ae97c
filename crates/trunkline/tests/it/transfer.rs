//! Tenants go from one database into another, and from a document into the same.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::bed::{Bed, text, with_input};

/// A second of sound, as a file.
fn apology(bed: &Bed) -> PathBuf {
    let path = bed.file("apology.wav", "");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(&path, spec).unwrap();
    for sample in 0..8_000_i16 {
        file.write_sample(sample).unwrap();
    }
    file.finalize().unwrap();
    path
}

/// A tenant with everything that one can have.
async fn add_full(bed: &Bed, slug: &str) {
    let secret = bed.file("s1", "s3cr3t-of-livekit");
    let bearer = bed.file("s2", "s3cr3t-bearer");
    let signing = bed.file("s3", "s3cr3t-signing");
    let key = bed.file("s4", "s3cr3t-of-the-model");
    let second = bed.file("s5", "s3cr3t-of-the-second");
    let apology = apology(bed);
    let config = r#"{"systemPrompt": "Be kind.\nÉ \u0085", "temperature": 0.7}"#;
    let config = bed.file("config.json", config);
    let file = |path: &std::path::PathBuf| path.to_str().unwrap().to_owned();
    let options = format!(
        "tenant add {slug} --livekit-url wss://a.example --livekit-api-key APIkey \
         --livekit-api-secret-from {} --agent-name sales --agent-name support --deployment blue \
         --call-config-url https://a.example/c --call-config-bearer-from {} \
         --call-config-signing-secret-from {} --call-config-deadline-ms 1500 \
         --answer-deadline-ms 5000 --default-config {} --provider-base-url wss://m.example \
         --provider-api-key-from {} --max-calls 5 --calls-per-second 0.5 --max-call-minutes 30 \
         --fallback-provider openai --fallback-provider-base-url wss://n.example \
         --fallback-provider-api-key-from {} --fallback-model second --fallback-voice ash \
         --fallback-transfer-to +15551234567 --apology-audio {} --disabled",
        file(&secret),
        file(&bearer),
        file(&signing),
        file(&config),
        file(&key),
        file(&second),
        file(&apology),
    );
    let options: Vec<&str> = options.split_ascii_whitespace().collect();
    bed.succeeds(&options).await;
}

async fn import(bed: &Bed, options: &[&str], document: &Value) -> (bool, String, String) {
    let mut command = bed.command();
    command.args(["tenant", "import", "-"]).args(options);
    let output = with_input(command, &document.to_string()).await;
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(!format!("{out}{err}").contains("s3cr3t"), "{out}{err}");
    (output.status.success(), out, err)
}

async fn settings(bed: &Bed, slug: &str) -> Value {
    let mut shown = bed.json(&["tenant", "show", slug, "--json"]).await;
    let fields = shown.as_object_mut().unwrap();
    for of_this_row in ["id", "version", "created_at", "updated_at"] {
        fields.remove(of_this_row).unwrap();
    }
    shown
}

#[tokio::test]
async fn what_is_exported_is_the_same_tenant_in_another_database() {
    let here = Bed::migrated().await;
    add_full(&here, "full").await;
    here.add("plain").await;
    let printed = here.succeeds(&["tenant", "export"]).await;
    assert!(!printed.contains("s3cr3t") && !printed.contains("a-secret"));
    let mut document: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(document["format_version"], 1);

    let there = Bed::migrated().await;
    let (done, _, said) = import(&there, &[], &document).await;
    assert!(!done);
    for says in [
        "nothing was imported",
        "tenants[0] (full): livekit_api_secret is missing",
        "tenants[0] (full): call_config_bearer was set where the document was made",
        "tenants[0] (full): call_config_signing_secret was set",
        "tenants[0] (full): provider_api_key was set",
        "tenants[0] (full): fallback_provider_api_key was set",
        "tenants[0] (full): apology_audio was set where the document was made",
        "tenants[1] (plain): livekit_api_secret is missing",
        "{\"from\": \"env:NAME\"}",
    ] {
        assert!(said.contains(says), "{says:?} is not in\n{said}");
    }
    assert_eq!(there.json(&["tenant", "list", "--json"]).await, json!([]));

    let file = there.file("bearer", "s3cr3t-bearer");
    let full = &mut document["tenants"][0];
    full["livekit_api_secret"] = json!("s3cr3t-of-livekit");
    full["call_config_bearer"] = json!({ "from": format!("file:{}", file.display()) });
    full["call_config_signing_secret"] = json!("s3cr3t-signing");
    full["provider_api_key"] = Value::Null;
    full["fallback_provider_api_key"] = json!("s3cr3t-of-the-second");
    full["apology_audio"] = json!({ "from": format!("file:{}", apology(&there).display()) });
    document["tenants"][1]["livekit_api_secret"] = json!("a-secret-of-32-bytes-or-a-few-more");
    let (done, _, said) = import(&there, &[], &document).await;
    assert!(done, "{said}");
    assert_eq!(
        there.secrets_of("full").await,
        ["s3cr3t-of-livekit", "s3cr3t-bearer", "s3cr3t-signing", ""]
    );
    let (mut wanted, got) = (
        settings(&here, "full").await,
        settings(&there, "full").await,
    );
    wanted["provider_api_key"] = Value::Null;
    assert_eq!(got, wanted);
    assert_eq!(
        settings(&there, "plain").await,
        settings(&here, "plain").await
    );
    let rows: Vec<String> = sqlx::query_scalar("SELECT tenants::text FROM tenants")
        .fetch_all(&there.sql().await)
        .await
        .unwrap();
    assert!(rows.iter().all(|row| !row.contains("s3cr3t")), "{rows:?}");

    // Once more, it changes nothing: the secrets are the same.
    let before = there.json(&["tenant", "export"]).await;
    let (done, table, _) = import(&there, &["--json"], &document).await;
    assert!(done);
    let again: Value = serde_json::from_str(&table).unwrap();
    for i in 0..2 {
        assert_eq!(again["tenants"][i]["action"], "unchanged");
        assert_eq!(
            again["tenants"][i]["version"],
            before["tenants"][i]["version"]
        );
    }
    assert_eq!(there.json(&["tenant", "export"]).await, before);
}

#[tokio::test]
async fn a_document_changes_what_it_names_and_a_dry_run_only_tells() {
    let bed = Bed::migrated().await;
    add_full(&bed, "acme").await;
    let secrets = bed.secrets_of("acme").await;
    let mut document = bed.json(&["tenant", "export", "acme", "acme"]).await;
    assert_eq!(document["tenants"].as_array().unwrap().len(), 1);
    let entry = &mut document["tenants"][0];
    entry["max_calls"] = json!(6);
    entry["call_config_bearer"] = json!("s3cr3t-new");
    entry["deployment"] = Value::Null;

    let (done, table, said) = import(&bed, &["--dry-run"], &document).await;
    assert!(done && said.contains("nothing was changed"), "{said}");
    for change in [
        "max_calls 5 → 6",
        "deployment blue → none",
        "call_config_bearer",
    ] {
        assert!(table.contains(change), "{table}");
    }
    assert_eq!(bed.secrets_of("acme").await, secrets);
    assert_eq!(settings(&bed, "acme").await["max_calls"], 5);

    let (done, again, said) = import(&bed, &["--check-versions"], &document).await;
    assert!(done, "{said}");
    assert_eq!(again, table);
    let [livekit, bearer, signing, model] = bed.secrets_of("acme").await;
    assert_eq!(bearer, "s3cr3t-new");
    assert_eq!(
        [livekit, signing, model],
        [secrets[0].clone(), secrets[2].clone(), secrets[3].clone()]
    );
    let shown = settings(&bed, "acme").await;
    assert_eq!(
        (&shown["max_calls"], &shown["deployment"]),
        (&json!(6), &Value::Null)
    );
    let history = bed.json(&["tenant", "history", "acme", "--json"]).await;
    let changes = &history[1]["changes"];
    assert_eq!(changes["max_calls"], json!({ "old": 5, "new": 6 }));
    assert!(history[1]["actor"].as_str().unwrap().starts_with("cli:"));

    // The document is of an older version now.
    let (done, _, said) = import(&bed, &["--check-versions"], &document).await;
    assert!(
        !done && said.contains("tenants[0] (acme): the tenant acme was changed"),
        "{said}"
    );
}

#[tokio::test]
async fn an_entry_that_cannot_be_taken_undoes_the_others_and_all_of_them_are_told() {
    let bed = Bed::migrated().await;
    bed.add("first").await;
    let entry = |slug: &str, max_calls: i64| {
        json!({
            "slug": slug, "livekit_url": "wss://a.example", "livekit_api_key": "key",
            "livekit_api_secret": "s3cr3t-given", "max_calls": max_calls,
        })
    };
    let document = |tenants: Value| json!({ "format": "trunkline-tenants", "format_version": 1, "tenants": tenants });
    let mut ftp = entry("third", 3);
    ftp["livekit_url"] = json!("ftp://a.example");
    let tenants = json!([entry("second", 2), entry("first", 0), ftp, { "slug": "fourth" }]);
    let (done, _, said) = import(&bed, &[], &document(tenants)).await;
    assert!(!done);
    for says in [
        "tenants[1] (first): max_calls must be 1 or more",
        "tenants[2] (third): livekit_url must be",
        "tenants[3] (fourth): livekit_url is missing",
        "tenants[3] (fourth): livekit_api_key is missing",
    ] {
        assert!(said.contains(says), "{says:?} is not in\n{said}");
    }
    let listed = bed.json(&["tenant", "list", "--json"]).await;
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");

    // What is wrong with the document itself is found before the database is asked.
    let wrong = document(json!([{ "slug": "second", "max_calls": "s3cr3t" }]));
    let (done, _, said) = import(&bed, &[], &wrong).await;
    assert!(
        !done && said.contains("max_calls must be a whole number"),
        "{said}"
    );
    let said = bed.fails(1, &["tenant", "export", "nobody"]).await;
    assert!(said.contains("there is no tenant nobody"), "{said}");
}
