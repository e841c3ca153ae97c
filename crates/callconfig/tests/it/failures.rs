//! Backends that are slow, away, or out of order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use trunkline_callconfig::{FallbackReason, Resolved};
use trunkline_domain::{ConfigSource, Reach, Tenant};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Respond, ResponseTemplate};

use crate::bed::{
    PATIENCE, Raw, http, lookup, request, resolve, soon, tenant, tenant_with_deadline,
};
use crate::up_at_retry::UpAtRetry;

const GOOD: &str = r#"{"startMessage":"Fresh."}"#;

fn fresh(resolved: &Resolved) {
    assert_eq!(resolved.reason, None);
    assert_eq!(resolved.source, ConfigSource::Fresh);
    assert_eq!(resolved.config.start_message, "Fresh.");
}

fn fell_back(resolved: &Resolved, label: &str) {
    let reason = resolved.reason.as_ref().unwrap();
    assert_eq!(reason.as_label(), label, "{reason}");
    assert_eq!(resolved.source, ConfigSource::TenantDefault);
    assert_eq!(resolved.config.start_message, "Acme here.");
}

/// Gives its answers one after the other, the last one for ever.
struct InTurn {
    answers: Vec<ResponseTemplate>,
    given: Arc<AtomicUsize>,
}

impl Respond for InTurn {
    fn respond(&self, _: &wiremock::Request) -> ResponseTemplate {
        let n = self.given.fetch_add(1, Ordering::SeqCst);
        self.answers[n.min(self.answers.len() - 1)].clone()
    }
}

/// Resolves against these answers; how often was asked?
async fn against(answers: Vec<ResponseTemplate>) -> (Resolved, usize) {
    let server = MockServer::start().await;
    let given = Arc::new(AtomicUsize::new(0));
    let respond = InTurn {
        answers,
        given: Arc::clone(&given),
    };
    Mock::given(any())
        .respond_with(respond)
        .mount(&server)
        .await;
    let resolved = resolve(&tenant(Some(&server.uri()))).await;
    (resolved, given.load(Ordering::SeqCst))
}

fn status(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status)
}

fn good() -> ResponseTemplate {
    status(200).set_body_string(GOOD)
}

#[tokio::test]
async fn what_passes_by_itself_is_asked_again_a_few_times() {
    for code in [429, 502, 503, 504] {
        for failures in 1..5 {
            let mut answers = vec![status(code); failures];
            answers.push(good());
            let (resolved, asked) = against(answers).await;
            fresh(&resolved);
            assert_eq!(asked, failures + 1, "{code}");
        }
        let (resolved, asked) = against(vec![status(code)]).await;
        assert_eq!(resolved.reason, Some(FallbackReason::Status(code)));
        assert_eq!(asked, 5, "{code}");
    }
}

#[tokio::test]
async fn what_does_not_pass_is_not_asked_again() {
    for (code, label) in [
        (301, "status_3xx"),
        (400, "status_4xx"),
        (401, "status_4xx"),
        (404, "status_4xx"),
        (500, "status_5xx"),
    ] {
        let (resolved, asked) = against(vec![status(code), good()]).await;
        fell_back(&resolved, label);
        assert_eq!(resolved.reason, Some(FallbackReason::Status(code)));
        assert_eq!(asked, 1, "{code}");
    }
    let (resolved, asked) = against(vec![status(200).set_body_string("{"), good()]).await;
    fell_back(&resolved, "invalid");
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn a_compressed_answer_is_named_as_such() {
    let gzip = status(200)
        .insert_header("content-encoding", "gzip")
        .set_body_bytes([0x1f, 0x8b, 0x08]);
    let (resolved, asked) = against(vec![gzip, good()]).await;
    fell_back(&resolved, "compressed");
    assert_eq!(asked, 1);
    let (resolved, _) = against(vec![good().insert_header("content-encoding", "identity")]).await;
    fresh(&resolved);
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_token() {
    let elsewhere = MockServer::start().await;
    Mock::given(any())
        .respond_with(good())
        .expect(0)
        .mount(&elsewhere)
        .await;
    for code in [302, 307, 308] {
        let redirect = status(code).insert_header("location", elsewhere.uri());
        let (resolved, _) = against(vec![redirect]).await;
        fell_back(&resolved, "status_3xx");
    }
    elsewhere.verify().await;
}

#[tokio::test]
async fn a_pause_that_the_backend_asks_for_is_made_or_the_attempt_given_up() {
    let busy = |pause: &str| status(503).insert_header("retry-after", pause);
    let (resolved, asked) = against(vec![busy("1"), good()]).await;
    fresh(&resolved);
    assert!(resolved.took >= Duration::from_secs(1));
    assert_eq!(asked, 2);
    for too_long in ["3600", "18446744073709551615"] {
        let (resolved, asked) = against(vec![busy(too_long), good()]).await;
        assert_eq!(resolved.reason, Some(FallbackReason::Status(503)));
        assert_eq!(asked, 1);
    }
    let (resolved, _) = against(vec![busy("Wed, 21 Oct 2026 07:28:00 GMT"), good()]).await;
    fresh(&resolved);
    // A date that is never within a deadline.
    let far = busy("Fri, 31 Dec 9999 23:59:59 GMT");
    let (resolved, asked) = against(vec![far, good()]).await;
    assert_eq!(resolved.reason, Some(FallbackReason::Status(503)));
    assert_eq!(asked, 1);
}

async fn hasty(tenant: &Tenant) -> Resolved {
    let (lookup, request) = (lookup(), request(tenant));
    let deadline = Instant::now() + Duration::from_secs(60);
    soon("the default", lookup.resolve(tenant, &request, deadline)).await
}

#[tokio::test]
async fn a_backend_that_never_answers_costs_the_deadline_and_no_more() {
    let backend = Raw::start().await;
    let tenant = tenant_with_deadline(Some(&backend.url()), 200);
    let (resolved, _open) = tokio::join!(hasty(&tenant), backend.asked());
    fell_back(&resolved, "timeout");
    assert!(resolved.took >= Duration::from_millis(200));
}

#[tokio::test]
async fn an_answer_that_hangs_costs_the_deadline_and_no_more() {
    let backend = Raw::start().await;
    let tenant = tenant_with_deadline(Some(&backend.url()), 200);
    let hang = async {
        let mut stream = backend.asked().await;
        let half = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"voice\"";
        stream.write_all(half).await.unwrap();
        stream
    };
    let (resolved, _open) = tokio::join!(hasty(&tenant), hang);
    fell_back(&resolved, "timeout");
}

#[tokio::test]
async fn the_callers_deadline_counts_as_well_as_the_tenants() {
    let backend = Raw::start().await;
    let tenant = tenant(Some(&backend.url()));
    let (lookup, request) = (lookup(), request(&tenant));
    let deadline = Instant::now() + Duration::from_millis(200);
    let lookup = soon("the default", lookup.resolve(&tenant, &request, deadline));
    let (resolved, _open) = tokio::join!(lookup, backend.asked());
    fell_back(&resolved, "timeout");
}

#[tokio::test]
async fn an_answer_that_breaks_off_takes_the_default() {
    let backend = Raw::start().await;
    let tenant = tenant(Some(&backend.url()));
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"voice\"";
    let (resolved, ()) = tokio::join!(resolve(&tenant), backend.answer(half));
    fell_back(&resolved, "broken");
}

#[tokio::test]
async fn what_is_not_http_is_no_connection() {
    let backend = Raw::start().await;
    let tenant = tenant(Some(&backend.url()));
    let garbage = async {
        for _ in 0..4 {
            backend.answer(b"SSH-2.0-OpenSSH_9.6\r\n").await;
        }
        backend.answer(b"\0\0\0\0").await;
    };
    let (resolved, ()) = tokio::join!(resolve(&tenant), garbage);
    fell_back(&resolved, "connect");
}

#[tokio::test]
async fn a_connection_that_is_cut_is_made_once_more() {
    let backend = Raw::start().await;
    let tenant = tenant(Some(&backend.url()));
    let bytes = http("200 OK", "", GOOD);
    let serve = async {
        drop(backend.asked().await);
        backend.answer(&bytes).await;
    };
    let (resolved, ()) = tokio::join!(resolve(&tenant), serve);
    fresh(&resolved);
}

#[tokio::test]
async fn a_backend_that_is_not_there_is_no_connection() {
    // The port is bound and does not listen: connections are refused.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/call-config", socket.local_addr().unwrap());
    let refused = resolve(&tenant(Some(&url))).await;
    fell_back(&refused, "connect");
    let text = refused.reason.unwrap().to_string();
    assert!(
        text.contains("refused") && !text.contains("call-config"),
        "{text}"
    );
}

#[tokio::test]
async fn a_backend_that_comes_up_meanwhile_is_found() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let tenant = tenant(Some(&format!("http://{}/", socket.local_addr().unwrap())));
    let (first_failed, listening) = UpAtRetry::of(socket);
    let _guard = tracing::subscriber::set_default(first_failed);
    let serve = async {
        let backend = Raw::from(soon("the retry", listening).await.unwrap());
        backend.answer(&http("200 OK", "", GOOD)).await;
    };
    let (resolved, ()) = tokio::join!(resolve(&tenant), serve);
    fresh(&resolved);
}

#[tokio::test]
async fn no_name_no_certificate_and_no_port_are_no_connection() {
    let backend = Raw::start().await;
    let tls = backend.url().replace("http://", "https://");
    let serve = async {
        // Plain bytes instead of a handshake, every time.
        for _ in 0..5 {
            let mut stream = backend.connected().await;
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .ok();
        }
    };
    let no_tls = tenant(Some(&tls));
    let (resolved, ()) = tokio::join!(resolve(&no_tls), serve);
    fell_back(&resolved, "connect");
    let resolved = resolve(&tenant(Some("http://no-such-host.invalid/"))).await;
    fell_back(&resolved, "connect");
}

#[tokio::test]
async fn a_url_that_may_lead_outside_only_is_not_asked_at_an_internal_address() {
    let mut confined = tenant(Some("http://127.0.0.1:9/"));
    confined.lookup.as_mut().unwrap().reach = Reach::Outside;
    let resolved = resolve(&confined).await;
    assert_eq!(resolved.reason, Some(FallbackReason::Internal));
    // Where that is allowed it is asked, and nobody answers at this port.
    let lookup = lookup().with_inner_urls();
    let deadline = Instant::now() + PATIENCE;
    let asked = lookup
        .resolve(&confined, &request(&confined), deadline)
        .await;
    assert!(
        matches!(asked.reason, Some(FallbackReason::Connect { .. })),
        "{:?}",
        asked.reason
    );
}
