//! Checks of a tenant from end to end, asked of the API.

use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinSet;
use trunkline_domain::AccessScope::{Operator, Read};
use trunkline_store::{Actor, NewTenant};
use trunkline_testbed::backend::{Backend, Reply};

use crate::bed::{Answer, Bed, LIMIT, SECRETS};

async fn test(bed: &Bed, token: &str, slug: &str) -> Answer {
    let path = format!("/v1/tenants/{slug}/test");
    bed.send(bed.request(token, Method::POST, &path)).await
}

/// A check of the report: status, and what is said.
fn check<'a>(report: &'a Value, name: &str) -> (&'a str, String) {
    let mut checks = report["checks"].as_array().unwrap().iter();
    let found = checks.find(|check| check["name"] == name).unwrap();
    let words = format!("{} {}", found["detail"], found["remedy"]);
    (found["status"].as_str().unwrap(), words)
}

#[tokio::test]
async fn what_is_wrong_with_a_tenant_is_told_check_by_check_and_who_asked_is_audited() {
    let bed = Bed::start().await;
    let acme = bed.tenant("acme").await;
    let backend = Backend::start(Reply::Json(serde_json::json!({}))).await;
    let backend = backend.unwrap();
    bed.execute(&format!(
        "UPDATE tenants SET call_config_url = '{}'",
        backend.url()
    ))
    .await;
    let operator = bed.token("ops", Operator, None).await;
    let report = test(&bed, &operator, "acme").await.is(200);
    assert_eq!(report["tenant"], "acme");
    let names: Vec<&Value> = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| &check["name"])
        .collect();
    assert_eq!(names, ["url", "key", "agent", "sip", "backend", "model"]);
    // Nobody answers at the project's address, nor at the model's.
    for (name, status, words) in [
        ("url", "failed", "livekit_url"),
        ("key", "warning", "not checked"),
        ("agent", "failed", "replica-1"),
        ("sip", "warning", "not checked"),
        ("backend", "ok", "a valid answer"),
        ("model", "failed", "provider_base_url"),
    ] {
        let (found, said) = check(&report, name);
        assert_eq!(found, status, "{name}: {said}");
        assert!(said.contains(words), "{name}: {said}");
    }
    assert_eq!(backend.requests()[0].body["test"], true);

    test(&bed, &operator, "nobody").await.problem(404);
    let audit = bed.get(&bed.admin, "/v1/audit?tenant=acme").await.is(200);
    let entry = &audit["items"][0];
    assert_eq!(entry["action"], "tenant.test");
    assert_eq!(entry["target"], "acme");
    assert_eq!(entry["actor"], "api:ops");
    assert_eq!(entry["outcome"], "done");
    assert_eq!(entry["tenant_id"], acme.0.to_string());
}

#[tokio::test]
async fn an_operator_of_one_tenant_tests_that_tenant_and_no_other() {
    let bed = Bed::start().await;
    let acme = bed.tenant("acme").await;
    bed.tenant("other").await;
    let operator = bed.token("ops-of-acme", Operator, Some(acme)).await;
    test(&bed, &operator, "acme").await.is(200);
    assert_eq!(
        test(&bed, &operator, "other").await.problem(404).0,
        "not-found"
    );
    let reader = bed.token("reader-of-acme", Read, Some(acme)).await;
    assert_eq!(
        test(&bed, &reader, "acme").await.problem(403).0,
        "forbidden"
    );
}

#[tokio::test]
async fn a_row_that_cannot_be_run_is_told_as_such() {
    let bed = Bed::start().await;
    bed.execute(
        "INSERT INTO tenants (slug, livekit_url, livekit_api_key, livekit_api_secret) \
         VALUES ('broken', 'wss://nowhere.example', 'key', 'a secret with blanks')",
    )
    .await;
    let report = test(&bed, &bed.admin, "broken").await.is(200);
    let (status, words) = check(&report, "row");
    assert_eq!(status, "failed");
    assert!(words.contains("livekit_api_secret"), "{words}");
    assert_eq!(report["checks"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn one_check_of_a_tenant_runs_at_a_time_and_a_few_of_all() {
    let bed = Bed::start().await;
    let backend = Backend::start(Reply::Hang).await.unwrap();
    for n in 0..9 {
        let slug = format!("slow-{n}");
        let mut new = NewTenant::new(&slug, "ws://127.0.0.1:9", &slug, SECRETS[0]);
        new.call_config_url = Some(backend.url());
        new.call_config_deadline_ms = 30_000;
        new.answer_deadline_ms = 30_000;
        let actor = Actor::new("cli:test");
        bed.store.add_tenant(new, &actor).await.unwrap();
    }
    let mut under_way = JoinSet::new();
    for n in 0..8 {
        let path = format!("/v1/tenants/slow-{n}/test");
        under_way.spawn(bed.request(&bed.admin, Method::POST, &path).send());
    }
    backend.wait_for_requests(8, LIMIT).await.unwrap();
    for (slug, words) in [("slow-0", "of this tenant"), ("slow-8", "too many checks")] {
        let refused = test(&bed, &bed.admin, slug).await;
        assert!(refused.retry_after.is_some());
        let (kind, problem) = refused.problem(429);
        assert_eq!(kind, "too-many-requests");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{detail}");
    }
    // Who goes away gives the place back.
    under_way.shutdown().await;
    backend.reply(Reply::failing());
    let until = std::time::Instant::now() + LIMIT;
    loop {
        let answer = test(&bed, &bed.admin, "slow-8").await;
        if answer.status == 200 {
            assert_eq!(check(&answer.json, "backend").0, "failed");
            return;
        }
        assert!(std::time::Instant::now() < until, "{:#}", answer.json);
    }
}
