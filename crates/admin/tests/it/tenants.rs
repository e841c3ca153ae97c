//! The life of a tenant by the API.

use reqwest::Method;
use serde_json::{Value, json};
use trunkline_domain::AccessScope::{Admin, Operator};

use crate::bed::{Answer, Bed, SECRETS, column};

fn acme() -> Value {
    json!({
        "slug": "acme",
        "livekit_url": "ws://127.0.0.1:9",
        "livekit_api_key": "key",
        "livekit_api_secret": SECRETS[0],
        "call_config_url": "https://acme.example/call-config",
        "call_config_bearer": SECRETS[1],
        "provider_api_key": SECRETS[2],
        "default_config": {"startMessage": "Acme here."},
        "max_calls": 3,
    })
}

impl Bed {
    async fn patch(&self, token: &str, slug: &str, version: Option<&str>, body: Value) -> Answer {
        let mut request = self.request(token, Method::PATCH, &format!("/v1/tenants/{slug}"));
        if let Some(version) = version {
            request = request.header("if-match", version);
        }
        self.send(request.json(&body)).await
    }
}

#[tokio::test]
async fn a_tenant_is_added_seen_changed_switched_and_removed() {
    let bed = Bed::start().await;
    let admin = bed.admin.clone();
    let added = bed.post(&admin, "/v1/tenants", acme()).await;
    let tag = added.etag.clone().unwrap();
    let added = added.is(201);
    assert_eq!(tag, format!("\"{}\"", added["version"]));
    assert_eq!(added["problem"], Value::Null);
    assert_eq!(added["livekit_api_secret"], json!({"set": true}));
    assert_eq!(added["call_config_signing_secret"], json!({"set": false}));
    assert_eq!(added["agent_names"], json!(["pstn-voice-agent"]));
    assert_eq!(added["answer_deadline_ms"], 6000);
    assert_eq!(bed.get(&admin, "/v1/tenants/acme").await.is(200), added);
    // It is served at once.
    bed.projects
        .wait_until(|all| all.iter().any(|project| project.slug == "acme"))
        .await;

    let change = json!({
        "max_calls": null,
        "agent_names": ["one", "two"],
        "call_config_bearer": null,
        "livekit_api_secret": SECRETS[3],
    });
    let changed = bed.patch(&admin, "acme", Some(&tag), change).await.is(200);
    assert_eq!(changed["max_calls"], Value::Null);
    assert_eq!(changed["agent_names"], json!(["one", "two"]));
    assert_eq!(changed["call_config_bearer"], json!({"set": false}));
    assert_eq!(changed["provider_api_key"], json!({"set": true}));
    assert_eq!(changed["call_config_url"], added["call_config_url"]);
    let row = bed.store.tenant("acme").await.unwrap().unwrap();
    let secret = row.tenant.unwrap().project.api_secret.clone();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&secret), SECRETS[3]);

    let switch = async |how: &str| {
        let path = format!("/v1/tenants/acme/{how}");
        let answer = bed.send(bed.request(&admin, Method::POST, &path)).await;
        answer.is(200)["enabled"].clone()
    };
    assert_eq!(switch("disable").await, false);
    assert_eq!(switch("disable").await, false);
    assert_eq!(switch("enable").await, true);

    bed.delete(&admin, "/v1/tenants/acme").await.is(204);
    let gone = bed.get(&admin, "/v1/tenants/acme").await;
    assert_eq!(gone.problem(404).0, "not-found");
    let again = bed.delete(&admin, "/v1/tenants/acme").await;
    assert_eq!(again.problem(404).0, "not-found");

    let history = bed.get(&admin, "/v1/tenants/acme/history").await.is(200);
    assert_eq!(
        column(&history, "operation"),
        ["removed", "enabled", "disabled", "changed", "created"]
    );
    assert!(
        column(&history, "actor")
            .iter()
            .all(|who| who == "api:root")
    );
    let secret = &history["items"][3]["changes"]["livekit_api_secret"];
    assert_eq!(*secret, json!({"changed": true}));
    let page = bed.get(&admin, "/v1/tenants/acme/history?limit=2").await;
    let page = page.is(200);
    let next = page["next"].as_str().unwrap();
    let path = format!("/v1/tenants/acme/history?limit=100&cursor={next}");
    let rest = bed.get(&admin, &path).await.is(200);
    assert_eq!(
        column(&rest, "operation"),
        ["disabled", "changed", "created"]
    );

    let audited: Vec<_> = bed
        .audit()
        .await
        .into_iter()
        .map(|row| row[..3].join(" "))
        .collect();
    assert_eq!(
        audited,
        [
            "tenant.add acme done",
            "tenant.change acme done",
            "tenant.disable acme done",
            "tenant.disable acme done",
            "tenant.enable acme done",
            "tenant.remove acme done",
            "tenant.remove acme refused",
        ]
    );
}

#[tokio::test]
async fn who_changes_an_older_version_is_told_the_one_that_there_is() {
    let bed = Bed::start().await;
    let admin = bed.admin.clone();
    let added = bed.post(&admin, "/v1/tenants", acme()).await;
    let first = added.etag.unwrap();
    let patched = bed.patch(&admin, "acme", Some(&first), json!({"max_calls": 4}));
    let version = patched.await.is(200)["version"].as_i64().unwrap();
    let late = bed.patch(&admin, "acme", Some(&first), json!({"max_calls": 5}));
    let (kind, problem) = late.await.problem(412);
    assert_eq!(kind, "version-conflict");
    assert_eq!(problem["current_version"], version);
    for (method, path) in [
        (Method::POST, "/v1/tenants/acme/disable"),
        (Method::DELETE, "/v1/tenants/acme"),
    ] {
        let request = bed.request(&admin, method, path).header("if-match", &first);
        assert_eq!(bed.send(request).await.problem(412).0, "version-conflict");
    }
    let nonsense = bed.patch(&admin, "acme", Some("latest"), json!({}));
    assert_eq!(
        nonsense.await.problem(422).1["errors"][0]["field"],
        "if-match"
    );
    let seen = bed.get(&admin, "/v1/tenants/acme").await.is(200);
    assert_eq!(
        (&seen["max_calls"], &seen["enabled"]),
        (&json!(4), &json!(true))
    );
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_tenant_is_said_at_once() {
    let bed = Bed::start().await;
    let mut wrong = acme();
    wrong["slug"] = json!("Acme Inc");
    wrong["livekit_url"] = json!("ftp://acme");
    wrong["max_calls"] = json!(0);
    wrong["agent_names"] = json!(["two words"]);
    wrong["default_config"] = json!({"voice": 3});
    let (kind, problem) = bed
        .post(&bed.admin, "/v1/tenants", wrong)
        .await
        .problem(422);
    assert_eq!(kind, "invalid");
    let errors = problem["errors"].as_array().unwrap();
    let fields: Vec<&str> = errors
        .iter()
        .map(|e| e["field"].as_str().unwrap())
        .collect();
    assert_eq!(
        fields,
        [
            "slug",
            "livekit_url",
            "agent_names",
            "default_config",
            "max_calls"
        ]
    );
    assert!(
        errors
            .iter()
            .all(|e| !e["remedy"].as_str().unwrap().is_empty())
    );

    bed.post(&bed.admin, "/v1/tenants", acme()).await.is(201);
    let taken = bed.post(&bed.admin, "/v1/tenants", acme()).await;
    assert_eq!(taken.problem(409).0, "name-taken");
    for (change, field) in [
        (json!({"livekit_url": null}), "livekit_url"),
        (json!({"max_calls": 0}), "max_calls"),
        (json!({"max_call_minutes": 2000}), "max_call_minutes"),
        (
            json!({"call_config_bearer": 123_456_789}),
            "call_config_bearer",
        ),
        (json!({"fallback_provider": "nobody"}), "fallback_provider"),
        (
            json!({"fallback_transfer_to": "me"}),
            "fallback_transfer_to",
        ),
        (json!({"version": 7}), "version"),
        (json!({"default_config": []}), "default_config"),
    ] {
        let (_, problem) = bed
            .patch(&bed.admin, "acme", None, change)
            .await
            .problem(422);
        assert_eq!(problem["errors"][0]["field"], field, "{problem:#}");
        assert!(!problem.to_string().contains("123456789"));
    }
}

#[tokio::test]
async fn tenants_are_listed_in_pages_and_found_by_name_and_switch() {
    let bed = Bed::start().await;
    for slug in ["a-1", "a-2", "b-1", "b-2", "c-1"] {
        bed.tenant(slug).await;
    }
    bed.execute("UPDATE tenants SET enabled = false WHERE slug LIKE 'b-%'")
        .await;
    // A row that cannot be run is listed too, with what is wrong with it.
    bed.execute("ALTER TABLE tenants DROP CONSTRAINT tenants_max_calls_range")
        .await;
    bed.execute("UPDATE tenants SET max_calls = 0 WHERE slug = 'c-1'")
        .await;
    let slugs = async |query: &str| {
        let list = bed
            .get(&bed.admin, &format!("/v1/tenants?{query}"))
            .await
            .is(200);
        (
            column(&list, "slug"),
            list["next"].as_str().map(str::to_owned),
        )
    };
    let (first, next) = slugs("limit=3").await;
    assert_eq!(first, ["a-1", "a-2", "b-1"]);
    let (rest, end) = slugs(&format!("limit=3&cursor={}", next.unwrap())).await;
    assert_eq!((rest, end), (vec![json!("b-2"), json!("c-1")], None));
    assert_eq!(slugs("q=-1&enabled=true").await.0, ["a-1", "c-1"]);
    assert_eq!(slugs("enabled=false").await.0, ["b-1", "b-2"]);
    let parked = bed.get(&bed.admin, "/v1/tenants/c-1").await.is(200);
    assert!(
        parked["problem"].as_str().unwrap().contains("max_calls"),
        "{parked:#}"
    );
}

#[tokio::test]
async fn a_tenants_own_token_sees_and_changes_its_row_but_not_its_share() {
    let bed = Bed::start().await;
    let own = bed.tenant("acme").await;
    bed.tenant("other").await;
    let token = bed.token("of-acme", Admin, Some(own)).await;
    let operator = bed.token("operator", Operator, Some(own)).await;

    let list = bed.get(&token, "/v1/tenants").await.is(200);
    assert_eq!(column(&list, "slug"), ["acme"]);
    for query in ["q=other", "enabled=false"] {
        let list = bed
            .get(&token, &format!("/v1/tenants?{query}"))
            .await
            .is(200);
        assert_eq!(list["items"], json!([]));
    }
    bed.get(&token, "/v1/tenants/acme/history").await.is(200);
    bed.patch(&token, "acme", None, json!({"answer_deadline_ms": 5000}))
        .await
        .is(200);
    bed.send(bed.request(&operator, Method::POST, "/v1/tenants/acme/disable"))
        .await
        .is(200);

    for field in ["max_calls", "calls_per_second", "max_call_minutes"] {
        let refused = bed.patch(&token, "acme", None, json!({field: 100})).await;
        assert_eq!(refused.problem(403).0, "forbidden", "{field}");
    }
    let renamed = bed
        .patch(&token, "acme", None, json!({"slug": "acme-2"}))
        .await;
    assert_eq!(renamed.problem(403).0, "forbidden");
    bed.delete(&token, "/v1/tenants/acme").await.problem(403);
    bed.post(&token, "/v1/tenants", acme()).await.problem(403);

    // Of another one it hears what it hears of none.
    for slug in ["other", "nobody"] {
        let path = format!("/v1/tenants/{slug}");
        for request in [
            bed.request(&token, Method::GET, &path),
            bed.request(&token, Method::GET, &format!("{path}/history")),
            bed.request(&token, Method::PATCH, &path)
                .json(&json!({"max_calls": 1})),
            bed.request(&token, Method::DELETE, &path),
            bed.request(&token, Method::POST, &format!("{path}/disable")),
            bed.request(&token, Method::POST, &format!("{path}/enable")),
        ] {
            let (kind, problem) = bed.send(request).await.problem(404);
            assert_eq!(kind, "not-found");
            assert_eq!(problem["detail"], format!("there is no tenant {slug:?}"));
        }
    }
    let other = bed.get(&bed.admin, "/v1/tenants/other").await.is(200);
    assert_eq!(other["enabled"], true);
}

#[tokio::test]
async fn a_tenants_own_token_neither_leads_inside_nor_takes_a_secret_elsewhere() {
    let bed = Bed::start().await;
    let own = bed.tenant("acme").await;
    let token = bed.token("of-acme", Admin, Some(own)).await;
    let refused = async |body: Value| {
        let answer = bed.patch(&token, "acme", None, body).await;
        let (kind, problem) = answer.problem(422);
        assert_eq!(kind, "invalid");
        let errors = problem["errors"].as_array().unwrap().clone();
        let fields: Vec<Value> = errors.iter().map(|e| e["field"].clone()).collect();
        (fields, problem.to_string())
    };
    for (field, secret, url) in [
        ("livekit_url", "livekit_api_secret", "ws://169.254.169.254"),
        ("call_config_url", "call_config_bearer", "http://10.0.0.1/"),
        (
            "provider_base_url",
            "provider_api_key",
            "https://localhost/",
        ),
    ] {
        let (fields, said) = refused(json!({field: url, secret: SECRETS[3]})).await;
        assert_eq!(fields, [field], "{said}");
        assert!(said.contains("internal address"), "{said}");
        let (fields, said) = refused(json!({field: "https://elsewhere.example/"})).await;
        assert_eq!(fields, [secret], "{said}");
        assert!(
            said.contains("it must come anew in the same request"),
            "{said}"
        );
        let both = json!({field: "https://elsewhere.example/", secret: SECRETS[3]});
        bed.patch(&token, "acme", None, both).await.is(200);
        // Who administers all tenants leads where it likes.
        let inside = json!({field: url});
        bed.patch(&bed.admin, "acme", None, inside).await.is(200);
    }
}

#[tokio::test]
async fn a_twin_is_refused_and_unknown_fields_of_the_configuration_are_named() {
    let bed = Bed::start().await;
    bed.post(&bed.admin, "/v1/tenants", acme()).await.is(201);
    let mut twin = acme();
    twin["slug"] = json!("twin");
    let (kind, problem) = bed
        .post(&bed.admin, "/v1/tenants", twin.clone())
        .await
        .problem(409);
    assert_eq!(kind, "agent-taken");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("acme") && detail.contains("pstn-voice-agent"),
        "{detail}"
    );
    twin["agent_names"] = json!(["another"]);
    twin["default_config"] = json!({"colour": "red", "voice": "marin"});
    let (_, problem) = bed
        .post(&bed.admin, "/v1/tenants", twin.clone())
        .await
        .problem(422);
    assert_eq!(problem["errors"][0]["field"], "default_config", "{problem}");
    assert!(
        problem["errors"][0]["problem"]
            .as_str()
            .unwrap()
            .contains("colour"),
        "{problem}"
    );
    twin["default_config"] = json!({"systemPrompt": "é".repeat(40_000)});
    let (_, problem) = bed
        .post(&bed.admin, "/v1/tenants", twin.clone())
        .await
        .problem(422);
    assert_eq!(problem["errors"][0]["field"], "default_config", "{problem}");
    twin["default_config"] = json!({});
    twin["livekit_url"] = json!("wss://a.example:");
    let (_, problem) = bed.post(&bed.admin, "/v1/tenants", twin).await.problem(422);
    assert_eq!(problem["errors"][0]["field"], "livekit_url", "{problem}");
}

/// Half a second of silence, as a file.
fn wav() -> Vec<u8> {
    let sound = [0_u8; 8_000];
    let mut file = b"RIFF".to_vec();
    file.extend_from_slice(&(36 + sound.len() as u32).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    // 16 bytes of PCM: 1 channel, 8,000 Hz, 16,000 bytes a second, 2 bytes of 16 bits each.
    for word in [16, 1 | 1 << 16, 8_000, 16_000, 2 | 16 << 16] {
        file.extend_from_slice(&u32::to_le_bytes(word));
    }
    file.extend_from_slice(b"data");
    file.extend_from_slice(&(sound.len() as u32).to_le_bytes());
    file.extend_from_slice(&sound);
    file
}

#[tokio::test]
async fn a_fallback_is_set_shown_without_its_secret_and_taken_away() {
    let bed = Bed::start().await;
    let own = bed.tenant("acme").await;
    let token = bed.token("of-acme", Admin, Some(own)).await;
    let second = json!({
        "fallback_provider": "openai",
        "fallback_provider_base_url": "wss://second.example/v1",
        "fallback_provider_api_key": SECRETS[2],
        "fallback_model": "second",
        "fallback_transfer_to": "+15551234567",
    });
    let changed = bed.patch(&token, "acme", None, second).await.is(200);
    assert_eq!(changed["fallback_provider_api_key"], json!({"set": true}));
    assert_eq!(changed["fallback_model"], "second");
    assert_eq!(changed["fallback_voice"], Value::Null);
    assert_eq!(changed["apology_audio_bytes"], Value::Null);

    // A secret is not sent elsewhere, and nothing leads inside.
    for (url, field) in [
        ("wss://other.example/v1", "fallback_provider_api_key"),
        ("ws://10.0.0.1/v1", "fallback_provider_base_url"),
    ] {
        let change = json!({"fallback_provider_base_url": url});
        let refused = bed.patch(&token, "acme", None, change).await;
        let (_, problem) = refused.problem(422);
        assert!(
            column(&json!({"items": problem["errors"]}), "field").contains(&json!(field)),
            "{problem:#}"
        );
    }

    let path = "/v1/tenants/acme/apology";
    let put = async |version: Option<&str>, body: Vec<u8>| {
        let mut request = bed.request(&token, Method::PUT, path);
        if let Some(version) = version {
            request = request.header("if-match", version);
        }
        let request = request.header("content-type", "audio/wav").body(body);
        bed.send(request).await
    };
    let file = wav();
    let told = put(None, file.clone()).await.is(200);
    assert_eq!(told["apology_audio_bytes"], file.len());
    put(Some("\"1\""), file.clone()).await.problem(412);
    for (body, status) in [(b"hello".to_vec(), 422), (vec![0; 2_097_153], 413)] {
        put(None, body).await.problem(status);
    }
    let row = bed.store.tenant("acme").await.unwrap().unwrap();
    let audio = row.tenant.unwrap().fallback.apology.clone().unwrap();
    assert_eq!(audio.as_bytes(), file);
    let gone = bed.delete(&token, path).await.is(200);
    assert_eq!(gone["apology_audio_bytes"], Value::Null);

    let none = json!({"fallback_provider": null, "fallback_provider_api_key": null});
    let changed = bed.patch(&token, "acme", None, none).await.is(200);
    assert_eq!(changed["fallback_provider_api_key"], json!({"set": false}));
    let operator = bed.token("operator", Operator, Some(own)).await;
    bed.delete(&operator, path).await.problem(403);
}
