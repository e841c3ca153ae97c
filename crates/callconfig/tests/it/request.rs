//! What a backend is asked.

use aws_lc_rs::hmac;
use chrono::Utc;
use insta::assert_json_snapshot;
use serde_json::Value;
use trunkline_callconfig::CallConfigRequest;
use trunkline_domain::{CallId, SipParticipant};
use uuid::Uuid;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::bed::{request, resolve, tenant};

#[tokio::test]
async fn the_backend_is_asked_with_all_that_is_known_of_the_call() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/call-config"))
        .respond_with(ResponseTemplate::new(200).set_body_string("{}"))
        .expect(1)
        .mount(&server)
        .await;
    resolve(&tenant(Some(&format!("{}/call-config", server.uri())))).await;

    let requests = server.received_requests().await.unwrap();
    let headers = &requests[0].headers;
    for (name, value) in [
        ("content-type", "application/json"),
        ("authorization", "Bearer bearer-of-acme"),
        ("idempotency-key", "019ab3c2-0000-7000-8000-000000000000"),
        (
            "user-agent",
            concat!("trunkline/", env!("CARGO_PKG_VERSION")),
        ),
    ] {
        assert_eq!(headers[name], value);
    }
    let body: Value = requests[0].body_json().unwrap();
    assert_json_snapshot!("request", body);
}

#[tokio::test]
async fn a_tenant_without_a_token_sends_none() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200).set_body_string("{}"))
        .mount(&server)
        .await;
    let mut tenant = tenant(Some(&server.uri()));
    tenant.lookup.as_mut().unwrap().bearer = None;
    resolve(&tenant).await;
    let requests = server.received_requests().await.unwrap();
    assert!(!requests[0].headers.contains_key("authorization"));
}

#[tokio::test]
async fn a_tenant_with_a_signing_secret_signs_each_attempt() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(503))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200).set_body_string("{}"))
        .mount(&server)
        .await;
    let mut tenant = tenant(Some(&server.uri()));
    let plain = tenant.clone();
    tenant.lookup.as_mut().unwrap().signing_secret = Some("signs-for-acme".into());
    let before = Utc::now().timestamp();
    resolve(&tenant).await;
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 2);
    let traces = requests.iter().map(|r| r.headers["traceparent"].to_str());
    let traces: Vec<&str> = traces.map(Result::unwrap).collect();
    assert_ne!(traces[0], traces[1], "each attempt is a span of its own");
    for request in &requests {
        let key = request.headers["idempotency-key"].to_str().unwrap();
        let trace = request.headers["traceparent"].to_str().unwrap();
        let [version, id, span, flags] = trace.split('-').collect::<Vec<_>>()[..] else {
            panic!("{trace}")
        };
        assert_eq!(
            (version, id, flags),
            ("00", key.replace('-', "").as_str(), "00")
        );
        assert_eq!(span.len(), 16);
        let timestamp = request.headers["trunkline-timestamp"].to_str().unwrap();
        assert!(timestamp.parse::<i64>().unwrap() >= before);
        // As a backend verifies it: docs/call-config/README.md.
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"signs-for-acme");
        let signed = [timestamp.as_bytes(), b".", &request.body].concat();
        let tag: String = hmac::sign(&key, &signed)
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(request.headers["trunkline-signature"], format!("v1={tag}"));
    }

    resolve(&plain).await;
    let requests = server.received_requests().await.unwrap();
    let unsigned = &requests.last().unwrap().headers;
    assert!(!unsigned.contains_key("trunkline-signature"));
    assert!(!unsigned.contains_key("trunkline-timestamp"));
}

#[test]
fn what_the_trunk_hides_is_null() {
    let sip = SipParticipant::from_attributes("sip_x", [("sip.ruleID", "SDR_1")]);
    let tenant = tenant(None);
    let request = CallConfigRequest::new(&tenant, CallId(Uuid::nil()), "room", &sip);
    assert_json_snapshot!("request_of_a_hidden_caller", request);
}

#[test]
fn a_request_in_a_log_shows_no_phone_number() {
    let text = format!("{:?}", request(&tenant(None)));
    assert!(text.contains("…4321"), "{text}");
    assert!(
        !text.contains("5557654321") && !text.contains("5550001111"),
        "{text}"
    );
}
