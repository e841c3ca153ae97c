//! What becomes of an answer.

use std::time::{Duration, Instant};

use serde_json::json;
use trunkline_callconfig::{FallbackReason, Resolved};
use trunkline_domain::{CallConfig, ConfigSource, InvalidConfig, MAX_CONFIG_BYTES};

use crate::bed::{Raw, http, lookup, request, resolve, tenant};

async fn answered(body: &str) -> Resolved {
    let backend = Raw::start().await;
    let tenant = tenant(Some(&backend.url()));
    let bytes = http("200 OK", "", body);
    tokio::join!(resolve(&tenant), backend.answer(&bytes)).0
}

fn fell_back(resolved: &Resolved, reason: &str) {
    assert_eq!(resolved.source, ConfigSource::TenantDefault);
    assert_eq!(resolved.config.start_message, "Acme here.");
    assert_eq!(resolved.reason.as_ref().unwrap().to_string(), reason);
}

#[tokio::test]
async fn an_answer_goes_over_the_tenants_default() {
    let resolved = answered(r#"{"systemPrompt":"Be Bob.","temperature":0.6,"tools":[1]}"#).await;
    assert_eq!(
        (resolved.source, &resolved.reason),
        (ConfigSource::Fresh, &None)
    );
    let config = resolved.config;
    assert_eq!(config.system_prompt, "Be Bob.");
    assert_eq!(config.temperature.unwrap().get(), 0.6);
    assert_eq!(config.voice, "cedar", "from the tenant");
    assert_eq!(
        config.model,
        CallConfig::built_in().model,
        "from the product"
    );
    assert_eq!(
        config.unknown["tools"],
        json!([1]),
        "kept for later versions"
    );
}

#[tokio::test]
async fn any_2xx_is_an_answer() {
    let backend = Raw::start().await;
    let tenant = tenant(Some(&backend.url()));
    let bytes = http("201 Created", "", r#"{"voice":"ash"}"#);
    let (resolved, ()) = tokio::join!(resolve(&tenant), backend.answer(&bytes));
    assert_eq!(resolved.config.voice, "ash");
}

#[tokio::test]
async fn an_answer_that_is_no_configuration_takes_the_default() {
    for (body, reason) in [
        (
            "",
            "the configuration is not a JSON object: it breaks off at line 1, column 0",
        ),
        (
            "<html>",
            "the configuration is not a JSON object: syntax error at line 1, column 1",
        ),
        (
            "[]",
            "the configuration is not a JSON object: it is an array",
        ),
        (r#"{"voice":7}"#, "voice must be a string, not a number"),
        (
            r#"{"systemPrompt":" "}"#,
            "systemPrompt must not be empty; leave it out to use the tenant's default",
        ),
    ] {
        let resolved = answered(body).await;
        fell_back(&resolved, &format!("the answer cannot be used: {reason}"));
        assert_eq!(resolved.reason.unwrap().as_label(), "invalid");
    }
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_bound_and_no_further() {
    let filler = "x".repeat(MAX_CONFIG_BYTES - r#"{"later":""}"#.len());
    let largest = format!(r#"{{"later":"{filler}"}}"#);
    assert_eq!(answered(&largest).await.source, ConfigSource::Fresh);

    let too_large = format!("the answer has more than {MAX_CONFIG_BYTES} bytes");
    fell_back(&answered(&format!("{largest} ")).await, &too_large);

    // Without a length, and without an end.
    let backend = Raw::start().await;
    let tenant = tenant(Some(&backend.url()));
    let flood = async {
        use tokio::io::AsyncWriteExt as _;
        let mut stream = backend.asked().await;
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
        let mut written = 0;
        // Until the other side hangs up.
        while stream.write_all(chunk.as_bytes()).await.is_ok() {
            written += 0x1000;
            assert!(written < 256 * MAX_CONFIG_BYTES, "it is read for ever");
        }
    };
    let (resolved, ()) = tokio::join!(resolve(&tenant), flood);
    fell_back(&resolved, &too_large);
}

#[tokio::test]
async fn a_tenant_without_a_backend_has_its_default() {
    let resolved = resolve(&tenant(None)).await;
    assert_eq!(
        (resolved.source, &resolved.reason),
        (ConfigSource::NoLookup, &None)
    );
    assert_eq!(resolved.config.start_message, "Acme here.");
}

#[tokio::test]
async fn a_call_that_has_no_time_left_has_the_default() {
    let backend = Raw::start().await;
    let tenant = tenant(Some(&backend.url()));
    let (lookup, request) = (lookup(), request(&tenant));
    let now = Instant::now();
    let past = now.checked_sub(Duration::from_millis(1)).unwrap_or(now);
    let resolved = lookup.resolve(&tenant, &request, past).await;
    assert_eq!(resolved.reason, Some(FallbackReason::Timeout));
}

#[tokio::test]
async fn an_oversized_prompt_is_refused_by_its_field() {
    let body = json!({"systemPrompt": "ä".repeat(65_537)}).to_string();
    let resolved = answered(&body).await;
    assert!(matches!(
        resolved.reason,
        Some(FallbackReason::Invalid(InvalidConfig::Field {
            field: "systemPrompt",
            ..
        }))
    ));
}
