//! The rungs below a fresh answer, hedging, the breaker, and addresses that are not asked.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use trunkline_callconfig::{FallbackReason, ForbiddenAddress, Haste, Lookup, Options, Resolved};
use trunkline_domain::{CallAction, ConfigSource, Reach, SipParticipant, Tenant};
use uuid::Uuid;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::bed::{
    Raw, http, lookup, lookup_with, request, resolve_with, soon, tenant, tenant_with_deadline,
};

const GOOD: &str = r#"{"startMessage":"Fresh."}"#;

/// From now on the backend answers so.
async fn answers(server: &MockServer, answer: ResponseTemplate) {
    server.reset().await;
    Mock::given(any()).respond_with(answer).mount(server).await;
}

fn ok(body: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_string(body)
}

async fn asked(server: &MockServer) -> usize {
    server.received_requests().await.unwrap().len()
}

fn rung(resolved: &Resolved) -> (ConfigSource, &str) {
    (resolved.source, &resolved.config.start_message)
}

#[tokio::test]
async fn the_last_answer_for_the_number_stands_in_for_one_that_does_not_come() {
    let server = MockServer::start().await;
    let (lookup, tenant) = (lookup(), tenant(Some(&server.uri())));
    answers(&server, ok(GOOD)).await;
    let resolved = resolve_with(&lookup, &tenant).await;
    assert_eq!(rung(&resolved), (ConfigSource::Fresh, "Fresh."));

    for status in [401, 404, 500] {
        answers(&server, ResponseTemplate::new(status)).await;
        let resolved = resolve_with(&lookup, &tenant).await;
        assert_eq!(rung(&resolved), (ConfigSource::LastKnown, "Fresh."));
        assert_eq!(resolved.reason, Some(FallbackReason::Status(status)));
        assert_eq!(resolved.config.voice, "cedar", "over the tenant's default");
    }
    answers(&server, ok("nonsense")).await;
    let resolved = resolve_with(&lookup, &tenant).await;
    assert_eq!(rung(&resolved), (ConfigSource::LastKnown, "Fresh."));

    // Of another number nothing is known.
    let sip = SipParticipant::from_attributes("sip_x", [("sip.trunkPhoneNumber", "+15550002222")]);
    let mut other = request(&tenant);
    other.called_phone = sip.called;
    let deadline = Instant::now() + Duration::from_secs(60);
    let resolved = soon("a default", lookup.resolve(&tenant, &other, deadline)).await;
    assert_eq!(rung(&resolved), (ConfigSource::TenantDefault, "Acme here."));
}

#[tokio::test]
async fn what_the_last_answer_does_with_a_call_is_done() {
    let server = MockServer::start().await;
    let (lookup, tenant) = (lookup(), tenant(Some(&server.uri())));
    answers(&server, ok(r#"{"action":{"type":"reject"}}"#)).await;
    resolve_with(&lookup, &tenant).await;
    answers(&server, ResponseTemplate::new(500)).await;
    let resolved = resolve_with(&lookup, &tenant).await;
    assert_eq!(resolved.source, ConfigSource::LastKnown);
    assert_eq!(resolved.config.action, CallAction::Reject);
}

#[tokio::test]
async fn another_url_makes_the_answers_of_the_first_invalid() {
    let server = MockServer::start().await;
    let lookup = lookup();
    answers(&server, ok(GOOD)).await;
    resolve_with(&lookup, &tenant(Some(&server.uri()))).await;
    answers(&server, ResponseTemplate::new(500)).await;
    let moved = tenant(Some(&format!("{}/v2", server.uri())));
    let resolved = resolve_with(&lookup, &moved).await;
    assert_eq!(rung(&resolved), (ConfigSource::TenantDefault, "Acme here."));
}

/// Does the lookup keep what this answer says?
async fn keeps(lookup: &Lookup, answer: ResponseTemplate) -> bool {
    let server = MockServer::start().await;
    let tenant = tenant(Some(&server.uri()));
    answers(&server, answer).await;
    resolve_with(lookup, &tenant).await;
    lookup.last_known().count() > 0
}

#[tokio::test]
async fn an_answer_for_this_caller_alone_is_not_kept() {
    for control in ["no-store", "max-age=0, No-Store", "private"] {
        let answer = ok(GOOD).insert_header("cache-control", control);
        assert!(!keeps(&lookup(), answer).await, "{control}");
    }
    let answer = ok(GOOD).insert_header("cache-control", "max-age=0");
    assert!(keeps(&lookup(), answer).await);
    let never = Options {
        last_known_max_age_s: 0,
        ..Options::default()
    };
    assert!(!keeps(&lookup_with(&never), ok(GOOD)).await);
}

#[tokio::test]
async fn a_test_neither_leaves_an_answer_nor_is_given_one() {
    let server = MockServer::start().await;
    let (lookup, tenant) = (lookup(), tenant(Some(&server.uri())));
    answers(&server, ok(GOOD)).await;
    let test = request(&tenant).as_test();
    let deadline = Instant::now() + Duration::from_secs(60);
    let resolved = soon("an answer", lookup.resolve(&tenant, &test, deadline)).await;
    assert_eq!(resolved.source, ConfigSource::Fresh);
    assert_eq!(lookup.last_known().count(), 0);

    resolve_with(&lookup, &tenant).await;
    answers(&server, ResponseTemplate::new(500)).await;
    let resolved = soon("a default", lookup.resolve(&tenant, &test, deadline)).await;
    assert_eq!(rung(&resolved), (ConfigSource::TenantDefault, "Acme here."));
}

#[tokio::test]
async fn answers_of_an_earlier_life_are_used() {
    let server = MockServer::start().await;
    let (before, tenant) = (lookup(), tenant(Some(&server.uri())));
    answers(&server, ok(GOOD)).await;
    resolve_with(&before, &tenant).await;
    let now = chrono::Utc::now();
    let written = before.last_known().unwritten(now, Haste::All, 9, 1 << 20);
    assert_eq!(written[0].answer, GOOD);

    let after = lookup();
    after.last_known().learn(written);
    answers(&server, ResponseTemplate::new(500)).await;
    let resolved = resolve_with(&after, &tenant).await;
    assert_eq!(rung(&resolved), (ConfigSource::LastKnown, "Fresh."));
}

fn hedging() -> Lookup {
    lookup_with(&Options {
        hedge_after_ms: 20,
        ..Options::default()
    })
}

#[tokio::test]
async fn a_silent_backend_is_asked_a_second_time_beside_the_first_with_the_same_key() {
    let backend = Raw::start().await;
    let tenant = tenant(Some(&backend.url()));
    let lookup = hedging();
    let serve = async {
        let silent = backend.asked().await;
        backend.answer(&http("200 OK", "", GOOD)).await;
        silent
    };
    let (resolved, _silent) = tokio::join!(resolve_with(&lookup, &tenant), serve);
    assert_eq!(rung(&resolved), (ConfigSource::Fresh, "Fresh."));
}

#[tokio::test]
async fn the_first_request_may_still_win_when_the_second_fails() {
    let backend = Raw::start().await;
    let tenant = tenant(Some(&backend.url()));
    let lookup = hedging();
    let serve = async {
        let mut slow = backend.asked().await;
        backend
            .answer(&http("503 Service Unavailable", "", ""))
            .await;
        slow.write_all(&http("200 OK", "", GOOD)).await.unwrap();
        slow.shutdown().await.ok();
    };
    let (resolved, ()) = tokio::join!(resolve_with(&lookup, &tenant), serve);
    assert_eq!(rung(&resolved), (ConfigSource::Fresh, "Fresh."));
}

fn impatient(failures: u32) -> Lookup {
    lookup_with(&Options {
        max_attempts: 1,
        breaker_failures: failures,
        breaker_pause_ms: 600_000,
        ..Options::default()
    })
}

#[tokio::test]
async fn a_backend_that_does_not_answer_is_left_in_peace_and_a_test_asks_it_nevertheless() {
    let server = MockServer::start().await;
    let (lookup, tenant) = (impatient(3), tenant(Some(&server.uri())));
    answers(&server, ok(GOOD)).await;
    resolve_with(&lookup, &tenant).await;
    answers(&server, ResponseTemplate::new(503)).await;
    for _ in 0..3 {
        let resolved = resolve_with(&lookup, &tenant).await;
        assert_eq!(resolved.reason, Some(FallbackReason::Status(503)));
    }
    assert_eq!(asked(&server).await, 3);
    let resolved = resolve_with(&lookup, &tenant).await;
    assert_eq!(resolved.reason, Some(FallbackReason::BreakerOpen));
    assert_eq!(rung(&resolved), (ConfigSource::LastKnown, "Fresh."));
    assert_eq!(asked(&server).await, 3);

    let test = request(&tenant).as_test();
    let deadline = Instant::now() + Duration::from_secs(60);
    let resolved = soon("a default", lookup.resolve(&tenant, &test, deadline)).await;
    assert_eq!(resolved.reason, Some(FallbackReason::Status(503)));

    // A neighbour, and the tenant's own next URL, are asked.
    let mut neighbour = tenant.clone();
    neighbour.id.0 = Uuid::from_u128(8);
    let moved = crate::bed::tenant(Some(&format!("{}/v2", server.uri())));
    answers(&server, ok(GOOD)).await;
    for other in [neighbour, moved] {
        let resolved = resolve_with(&lookup, &other).await;
        assert_eq!(resolved.source, ConfigSource::Fresh);
    }
}

#[tokio::test]
async fn a_backend_that_refuses_is_there() {
    let server = MockServer::start().await;
    let (lookup, tenant) = (impatient(1), tenant(Some(&server.uri())));
    for answer in [ResponseTemplate::new(401), ok("nonsense")] {
        answers(&server, answer).await;
        for _ in 0..2 {
            let resolved = resolve_with(&lookup, &tenant).await;
            assert_ne!(resolved.reason, Some(FallbackReason::BreakerOpen));
        }
    }
}

#[tokio::test]
async fn after_the_pause_one_call_asks_for_the_others_and_a_caller_who_hangs_up_leaves_it_to_the_next()
 {
    let backend = Raw::start().await;
    let tenant = tenant(Some(&backend.url()));
    let lookup = lookup_with(&Options {
        max_attempts: 1,
        breaker_failures: 1,
        // Over as soon as it begins.
        breaker_pause_ms: 0,
        ..Options::default()
    });
    let down = http("503 Service Unavailable", "", "");
    let (failed, ()) = tokio::join!(resolve_with(&lookup, &tenant), backend.answer(&down));
    assert_eq!(failed.reason, Some(FallbackReason::Status(503)));

    let hung_up = {
        let probe = resolve_with(&lookup, &tenant);
        tokio::pin!(probe);
        tokio::select! {
            _ = &mut probe => panic!("the backend is silent"),
            stream = backend.asked() => {
                // While it asks, others do not.
                let other = resolve_with(&lookup, &tenant).await;
                assert_eq!(other.reason, Some(FallbackReason::BreakerOpen));
                stream
            }
        }
    };
    let good = http("200 OK", "", GOOD);
    let (resolved, ()) = tokio::join!(resolve_with(&lookup, &tenant), backend.answer(&good));
    assert_eq!(resolved.source, ConfigSource::Fresh);
    drop(hung_up);
}

fn public_only() -> Lookup {
    lookup_with(&Options {
        allow_private_addresses: false,
        ..Options::default()
    })
}

async fn refused(lookup: &Lookup, tenant: &Tenant) -> ForbiddenAddress {
    match resolve_with(lookup, tenant).await.reason {
        Some(FallbackReason::Address(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn metadata_services_are_never_asked_and_private_addresses_where_it_is_allowed() {
    for url in ["http://169.254.169.254/", "http://[fe80::1]/"] {
        let why = refused(&lookup(), &tenant(Some(url))).await;
        assert_eq!(why, ForbiddenAddress::Never, "{url}");
    }
    let server = MockServer::start().await;
    answers(&server, ok(GOOD)).await;
    let port = server.address().port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let tenant = tenant(Some(&format!("http://{host}:{port}/")));
        let why = refused(&public_only(), &tenant).await;
        assert_eq!(why, ForbiddenAddress::Private, "{host}");
    }
    assert_eq!(asked(&server).await, 0);
    let by_name = tenant(Some(&format!("http://localhost:{port}/")));
    let resolved = resolve_with(&lookup(), &by_name).await;
    assert_eq!(resolved.source, ConfigSource::Fresh);
}

#[tokio::test]
async fn a_recording_is_not_fetched_from_where_backends_are_not_asked() {
    let lookup = public_only();
    let deadline = Instant::now() + Duration::from_secs(60);
    for url in ["http://169.254.169.254/a.wav", "http://127.0.0.1:9/a.wav"] {
        let url_of = url.parse().unwrap();
        let fetched = lookup.fetch(url_of, Reach::Anywhere, 10, deadline);
        let fetched = soon("a refusal", fetched).await;
        assert!(matches!(fetched, Err(FallbackReason::Address(_))), "{url}");
    }
}

#[tokio::test]
async fn a_call_without_time_says_nothing_of_its_backend() {
    let server = MockServer::start().await;
    answers(&server, ok(GOOD)).await;
    let lookup = impatient(1);
    let tenant = tenant_with_deadline(Some(&server.uri()), 30_000);
    let now = Instant::now();
    let past = now.checked_sub(Duration::from_millis(1)).unwrap_or(now);
    for _ in 0..3 {
        let resolved = lookup.resolve(&tenant, &request(&tenant), past).await;
        assert_eq!(resolved.reason, Some(FallbackReason::Timeout));
    }
    assert_eq!(
        resolve_with(&lookup, &tenant).await.source,
        ConfigSource::Fresh
    );
}
