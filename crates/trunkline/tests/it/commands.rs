//! The commands beside `serve`.

use serde_json::json;

use crate::bed::{Bed, KEYS, SOON, bare, text, with_input};

#[tokio::test]
async fn without_a_database_url_the_error_says_what_to_set_and_the_code_is_2() {
    for command in [
        &["serve"][..],
        &["migrate"],
        &["tenant", "list"],
        &["config", "check"],
    ] {
        let output = bare().args(command).output().await.unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command:?} {said}");
        assert!(
            said.contains("database.url is not set. Set TRUNKLINE_DATABASE__URL"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_generated_key_is_one_that_the_configuration_takes() {
    let output = bare().args(["keys", "generate"]).output().await.unwrap();
    let key = text(&output.stdout);
    let mut check = bare();
    check
        .args(["config", "check"])
        .env("TRUNKLINE_DATABASE__URL", "postgres://localhost/trunkline")
        .env("TRUNKLINE_SEALING__KEYS", key.trim());
    let output = check.output().await.unwrap();
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("warning: provider.api_key is not set"),
        "{said}"
    );

    check.env("TRUNKLINE_PROVIDER__API_KEY", "sk-x");
    let output = check.output().await.unwrap();
    assert!(output.status.success());
    assert_eq!(text(&output.stderr), "");
}

#[tokio::test]
async fn keys_come_from_a_command_and_are_rotated() {
    let bed = Bed::migrated().await;
    bed.add("acme").await;
    let new = bare().args(["keys", "generate"]).output().await.unwrap();
    let new = text(&new.stdout).trim().to_owned();
    let id = new.split(':').next().unwrap();
    let both = bed.file("keys", &format!("{new},{KEYS}"));
    let rotate = async || {
        let output = bed
            .command()
            .env_remove("TRUNKLINE_SEALING__KEYS")
            .env(
                "TRUNKLINE_SEALING__KEYS_COMMAND",
                format!("cat '{}'", both.display()),
            )
            .args(["keys", "rotate", "--json"])
            .output()
            .await
            .unwrap();
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(!said.contains(&new), "{said}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let keys = json!([
        { "key": id, "role": "seals", "secrets": 1 },
        { "key": "k1", "role": "opens", "secrets": 0 },
    ]);
    for resealed in [1, 0] {
        let expected = json!({ "resealed": resealed, "left": [], "keys": keys, "unknown": 0 });
        assert_eq!(rotate().await, expected);
    }
    // Whoever was not given the new key is told which one is missing.
    let table = bed.succeeds(&["keys", "list"]).await;
    assert!(table.contains("missing"), "{table}");
    let said = bed.succeeds(&["tenant", "list"]).await;
    assert!(said.contains(&format!("sealed with key {id}")), "{said}");
}

#[tokio::test]
async fn a_database_without_tables_says_to_migrate_and_to_migrate_twice_is_fine() {
    let bed = Bed::empty().await;
    for command in [&["tenant", "list"][..], &["serve"]] {
        let said = bed.fails(1, command).await;
        assert!(said.contains("run `trunkline migrate`"), "{said}");
    }
    bed.succeeds(&["migrate"]).await;
    bed.succeeds(&["migrate"]).await;
    assert_eq!(bed.json(&["tenant", "list", "--json"]).await, json!([]));
}

#[tokio::test]
async fn a_tenant_is_added_shown_switched_and_removed() {
    let bed = Bed::migrated().await;
    bed.add("acme").await;
    let said = bed.fails(1, &["tenant", "show", "acme2"]).await;
    assert!(said.contains("there is no tenant acme2"), "{said}");

    let shown = bed.json(&["tenant", "show", "acme", "--json"]).await;
    assert_eq!(shown["livekit_api_secret"], "(sealed)");
    assert_eq!(shown["agent_names"], json!(["pstn-voice-agent"]));
    assert_eq!(shown["state"], "not_running");

    bed.succeeds(&["tenant", "disable", "acme"]).await;
    let listed = bed.json(&["tenant", "list", "--json"]).await;
    assert_eq!(listed[0]["state"], "disabled");
    bed.succeeds(&["tenant", "enable", "acme"]).await;
    let listed = bed.succeeds(&["tenant", "list"]).await;
    assert!(listed.contains("not_running"), "{listed}");
    bed.succeeds(&["tenant", "remove", "acme"]).await;
    let said = bed.fails(1, &["tenant", "remove", "acme"]).await;
    assert!(said.contains("there is no tenant acme"), "{said}");
}

#[tokio::test]
async fn a_tenant_is_changed_and_its_history_tells_by_whom() {
    let bed = Bed::migrated().await;
    bed.add("acme").await;
    let secret = bed.file("new-secret", "rotated-s3cr3t");
    let said = bed
        .succeeds(&[
            "tenant",
            "set",
            "acme",
            "--agent-name",
            "sales",
            "--agent-name",
            "support",
            "--max-calls",
            "5",
            "--calls-per-second",
            "0.5",
            "--max-call-minutes",
            "30",
            "--livekit-api-secret-from",
            secret.to_str().unwrap(),
        ])
        .await;
    assert!(said.starts_with("acme is changed (version "), "{said}");
    let shown = bed.json(&["tenant", "show", "acme", "--json"]).await;
    assert_eq!(shown["agent_names"], json!(["sales", "support"]));
    assert_eq!(shown["calls_per_second"], 0.5);
    assert_eq!(shown["max_call_minutes"], 30);

    bed.succeeds(&["tenant", "set", "acme", "--unset", "max-calls"])
        .await;
    let said = bed
        .fails(1, &["tenant", "set", "acme", "--max-calls", "0"])
        .await;
    assert!(said.contains("max_calls must be 1 or more"), "{said}");
    let stale = shown["version"].to_string();
    let set = ["tenant", "set", "acme", "--max-calls", "9"];
    let said = bed
        .fails(1, &[&set[..], &["--expected-version", &stale]].concat())
        .await;
    assert!(said.contains("was changed meanwhile"), "{said}");
    let both = [&set[..], &["--unset", "max-calls"]].concat();
    let said = bed.fails(1, &both).await;
    assert!(said.contains("name it once"), "{said}");
    bed.succeeds(&["tenant", "remove", "acme"]).await;

    let history = bed.json(&["tenant", "history", "acme", "--json"]).await;
    let operations: Vec<_> = history.as_array().unwrap().iter().collect();
    let told = |i: usize| operations[i]["operation"].as_str().unwrap();
    assert_eq!(
        (0..4).map(told).collect::<Vec<_>>(),
        ["created", "changed", "changed", "removed"]
    );
    assert_eq!(operations[1]["changes"]["max_calls"]["new"], 5);
    // The environment does not say who it is; the system does.
    let me = std::process::Command::new("id")
        .arg("-un")
        .output()
        .unwrap();
    let me = format!("cli:{}", text(&me.stdout).trim());
    assert_eq!(operations[1]["actor"], me.as_str());
    assert!(!history.to_string().contains("s3cr3t"));
    let table = bed
        .succeeds(&["tenant", "history", "acme", "--limit", "2"])
        .await;
    assert!(table.contains("max_calls 5 → none"), "{table}");
    assert!(
        table.contains("removed") && !table.contains("created"),
        "{table}"
    );
    let said = bed.fails(1, &["tenant", "history", "nobody"]).await;
    assert!(said.contains("there is no tenant nobody"), "{said}");
}

#[tokio::test]
async fn a_name_that_was_given_again_leads_to_the_history_of_who_had_it_before() {
    let bed = Bed::migrated().await;
    bed.add("acme").await;
    let shown = bed.json(&["tenant", "show", "acme", "--json"]).await;
    let id = shown["id"].as_str().unwrap();
    bed.succeeds(&["tenant", "remove", "acme"]).await;
    bed.add("acme").await;

    let output = bed.run(&["tenant", "history", "acme"]).await;
    let table = text(&output.stdout);
    assert!(!table.contains("removed"), "{table}");
    let said = text(&output.stderr);
    assert!(
        said.contains(&format!("tenant history --id {id}")),
        "{said}"
    );
    let table = bed.succeeds(&["tenant", "history", "--id", id]).await;
    assert!(table.contains("removed"), "{table}");
    bed.fails(2, &["tenant", "history"]).await;
    let none = "00000000-0000-0000-0000-000000000000";
    let said = bed.fails(1, &["tenant", "history", "--id", none]).await;
    assert!(said.contains("there is no tenant"), "{said}");
}

#[tokio::test]
async fn a_change_that_changes_nothing_says_so_and_a_default_comes_back_by_unset() {
    let bed = Bed::migrated().await;
    bed.add("acme").await;
    let shown = bed.json(&["tenant", "show", "acme", "--json"]).await;
    let config = bed.file("config.json", r#"{"voice": "ash"}"#);
    let set = [
        ["--agent-name", "sales"],
        ["--answer-deadline-ms", "5000"],
        ["--call-config-deadline-ms", "3000"],
        ["--call-config-url", "https://acme.example"],
        ["--default-config", config.to_str().unwrap()],
        ["--max-calls", "5"],
    ];
    let set = [&["tenant", "set", "acme"], set.concat().as_slice()].concat();
    let said = bed.succeeds(&set).await;
    assert!(said.starts_with("acme is changed"), "{said}");
    let changed = bed.json(&["tenant", "show", "acme", "--json"]).await;
    for nothing in [&set[..], &["tenant", "set", "acme"]] {
        let said = bed.succeeds(nothing).await;
        let version = format!("nothing changed (version {})", changed["version"]);
        assert!(said.contains(&version), "{said}");
    }

    let mut unset = vec!["tenant", "set", "acme"];
    for setting in [
        "agent-names",
        "answer-deadline-ms",
        "call-config-deadline-ms",
        "call-config-url",
        "default-config",
        "provider",
        "max-calls",
    ] {
        unset.extend(["--unset", setting]);
    }
    bed.succeeds(&unset).await;
    let after = bed.json(&["tenant", "show", "acme", "--json"]).await;
    for (name, value) in shown.as_object().unwrap() {
        if !["version", "updated_at"].contains(&name.as_str()) {
            assert_eq!(after[name], *value, "{name}");
        }
    }
}

#[tokio::test]
async fn what_is_not_set_is_shown_with_what_holds_in_its_place() {
    let bed = Bed::migrated().await;
    bed.add("acme").await;
    bed.succeeds(&["tenant", "set", "acme", "--max-call-minutes", "7"])
        .await;
    let shown = bed.succeeds(&["tenant", "show", "acme"]).await;
    for line in [
        "max_call_minutes: 7\n",
        "max_calls: (not set: as many as the process takes, worker.max_calls, ",
        "calls_per_second: (not set: as many as come)\n",
        "call_config_url: (not set: every call runs with the default configuration)\n",
        "provider_base_url: (not set: the process's provider.base_url, https://api.openai.com/v1 here)\n",
        "default_config.voice: marin (not set)\n",
        "default_config.temperature: (not set: the model's own)\n",
    ] {
        assert!(shown.contains(line), "{line:?} is not in\n{shown}");
    }
}

#[tokio::test]
async fn what_has_no_end_is_not_read() {
    let bed = Bed::migrated().await;
    let pipe = bed.directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let add = |secret: &str, config: &str| {
        let mut command = bed.command();
        command
            .args(["tenant", "add", "acme", "--livekit-url", "wss://a.example"])
            .args([
                "--livekit-api-key",
                "key",
                "--livekit-api-secret-from",
                secret,
            ])
            .args(["--default-config", config]);
        command
    };
    let pipe = pipe.to_str().unwrap();
    let secret = bed.file("secret", "a-secret-of-32-bytes-or-a-few-more");
    let secret = secret.to_str().unwrap();
    let configured = |file: &str| {
        let mut command = bed.command();
        command
            .args(["tenant", "list"])
            .env("TRUNKLINE_CONFIG", file);
        command
    };
    let import = |file: &str| {
        let mut command = bed.command();
        command.args(["tenant", "import", file]);
        command
    };
    for mut command in [
        configured("/dev/zero"),
        configured(pipe),
        add(pipe, "/dev/null"),
        add("/dev/zero", "/dev/null"),
        add(secret, "/dev/zero"),
        add(secret, pipe),
        import("/dev/zero"),
        import(pipe),
    ] {
        let output = tokio::time::timeout(SOON, command.output()).await;
        let output = output.expect("it ends").unwrap();
        let said = text(&output.stderr);
        assert!(!output.status.success(), "{command:?} {said}");
        assert!(said.contains("no regular file"), "{command:?} {said}");
    }
}

#[tokio::test]
async fn a_single_key_is_not_told_to_be_one_of_several() {
    let bed = Bed::migrated().await;
    bed.add("acme").await;
    let output = bed.run(&["keys", "rotate"]).await;
    let said = text(&output.stderr);
    assert!(said.contains("the one key that there is"), "{said}");
    assert!(!said.contains("others"), "{said}");
}

#[tokio::test]
async fn nobody_is_rung_where_nobody_would_answer_or_nothing_could_be_kept() {
    let bed = Bed::migrated().await;
    bed.add("acme").await;
    let call = [
        "call",
        "acme",
        "--from",
        "+4930123456",
        "--to",
        "+15550001111",
    ];
    let ring = async |more: &[&str]| {
        let said = bed.fails(1, &[&call[..], more].concat()).await;
        assert!(!said.contains("it rings"), "{said}");
        said
    };
    let said = ring(&[]).await;
    assert!(said.contains("no replica has reported lately"), "{said}");
    assert!(said.contains("start `trunkline serve`"), "{said}");
    let said = ring(&["--out", "/no/such/directory/heard.wav"]).await;
    assert!(
        said.contains("--out: /no/such/directory/heard.wav"),
        "{said}"
    );
    let empty = bed.file("empty.wav", "");
    let said = ring(&["--say", empty.to_str().unwrap()]).await;
    assert!(said.contains("is empty"), "{said}");
    bed.succeeds(&["tenant", "disable", "acme"]).await;
    let said = ring(&[]).await;
    assert!(said.contains("the tenant is disabled"), "{said}");
    assert!(said.contains("trunkline tenant enable acme"), "{said}");
    let sql = "UPDATE tenants SET enabled = true, livekit_api_secret = 'with blanks'";
    sqlx::query(sql).execute(&bed.sql().await).await.unwrap();
    let said = ring(&[]).await;
    assert!(said.contains("acme is parked"), "{said}");
}

#[tokio::test]
async fn a_secret_comes_from_a_variable_or_standard_input_and_is_sealed_in_the_database() {
    let bed = Bed::migrated().await;
    let options = |slug, source| {
        let url = "wss://a.example";
        let mut command = bed.command();
        command
            .args([
                "tenant",
                "add",
                slug,
                "--livekit-url",
                url,
                "--livekit-api-key",
                slug,
            ])
            .args(["--livekit-api-secret-from", source]);
        command
    };
    let mut from_variable = options("variable", "env:SECRET");
    let output = from_variable
        .env("SECRET", "hunter2-in-a-variable")
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = with_input(options("stdin", "-"), "hunter2-from-stdin\n").await;
    assert!(output.status.success(), "{}", text(&output.stderr));

    let rows: Vec<String> = sqlx::query_scalar("SELECT tenants::text FROM tenants")
        .fetch_all(&bed.sql().await)
        .await
        .unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| !row.contains("hunter2")), "{rows:?}");
}

#[tokio::test]
async fn a_tenant_that_could_not_be_run_is_not_added_and_everything_wrong_is_said() {
    let bed = Bed::migrated().await;
    let secret = bed.file("secret", "a-secret");
    let said = bed
        .fails(
            1,
            &[
                "tenant",
                "add",
                "Acme",
                "--livekit-url",
                "ftp://a.example",
                "--livekit-api-key",
                "key",
                "--livekit-api-secret-from",
                secret.to_str().unwrap(),
                "--max-calls",
                "0",
            ],
        )
        .await;
    for problem in [
        "\n  slug must be",
        "\n  livekit_url must be",
        "\n  max_calls must be",
    ] {
        assert!(said.contains(problem), "{said}");
    }
    assert_eq!(bed.json(&["tenant", "list", "--json"]).await, json!([]));
}

#[tokio::test]
async fn a_row_that_cannot_be_run_is_listed_as_parked_with_the_reason() {
    let bed = Bed::migrated().await;
    sqlx::query(
        "INSERT INTO tenants (slug, livekit_url, livekit_api_key, livekit_api_secret, default_config)
         VALUES ('acme', 'wss://a.example', 'key', 'hunter2-in-clear', '{\"voice\": 7}')",
    )
    .execute(&bed.sql().await)
    .await
    .unwrap();
    let listed = bed.json(&["tenant", "list", "--json"]).await;
    assert_eq!(listed[0]["state"], "parked");
    assert_eq!(
        listed[0]["reason"],
        "default_config: voice must be a string, not a number"
    );
    let shown = bed.succeeds(&["tenant", "show", "acme"]).await;
    assert!(shown.contains("reason: default_config: voice"), "{shown}");
    // What stands in the row is shown all the same, so that it can be mended.
    assert!(shown.contains("default_config.voice: 7"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn a_token_is_printed_once_listed_and_revoked() {
    let bed = Bed::migrated().await;
    bed.add("acme").await;
    let add = [
        "token",
        "add",
        "--scope",
        "admin",
        "--tenant",
        "acme",
        "--expires",
        "90d",
        "ci",
    ];
    let printed = bed.succeeds(&add).await;
    assert!(
        printed.starts_with("tl_") && printed.trim().len() == 59,
        "{printed}"
    );
    let said = bed.fails(1, &add).await;
    assert!(said.contains("there is a token ci already"), "{said}");

    let list = bed.json(&["token", "list", "--json"]).await;
    let token = &list[0];
    assert_eq!(
        (&token["name"], &token["scope"]),
        (&json!("ci"), &json!("admin"))
    );
    assert_eq!(
        (&token["tenant"], &token["last_used_at"]),
        (&json!("acme"), &json!(null))
    );
    assert!(token["expires_at"].is_string());
    let table = bed.succeeds(&["token", "list"]).await;
    assert!(!format!("{list}{table}").contains(&printed.trim()[16..]));

    bed.succeeds(&["token", "revoke", "ci"]).await;
    let said = bed.fails(1, &["token", "revoke", "ci"]).await;
    assert!(said.contains("there is no token ci in force"), "{said}");
    let nobody = ["token", "add", "--scope", "read", "--tenant", "nobody", "x"];
    let said = bed.fails(1, &nobody).await;
    assert!(said.contains("there is no tenant nobody"), "{said}");
    bed.fails(2, &["token", "add", "--scope", "root", "x"])
        .await;

    let sql = bed.sql().await;
    let audit: Vec<String> = sqlx::query_scalar(
        "SELECT action || ' ' || target || ' ' || outcome FROM api_audit ORDER BY id",
    )
    .fetch_all(&sql)
    .await
    .unwrap();
    assert_eq!(audit, ["token.add ci done", "token.revoke ci done"]);
}

#[tokio::test]
async fn the_apis_description_needs_neither_configuration_nor_database() {
    let output = bare().arg("openapi").output().await.unwrap();
    let description: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(description["openapi"], "3.1.0");
}
