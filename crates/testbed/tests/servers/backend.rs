use std::time::Duration;

use serde_json::{Value, json};
use trunkline_testbed::backend::{Backend, Reply};

/// Far more than anything here ever takes.
const LIMIT: Duration = Duration::from_secs(20);

/// Too short for a backend that hangs.
const SHORT: Duration = Duration::from_millis(200);

fn client() -> reqwest::Client {
    // An error means that another test has installed it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client")
}

async fn ask(backend: &Backend, called: &str) -> reqwest::Result<Value> {
    client()
        .post(backend.url())
        .json(&json!({ "calledPhone": called }))
        .timeout(LIMIT)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await
}

#[tokio::test]
async fn each_called_number_gets_its_own_reply_and_every_request_is_kept() {
    let backend = Backend::start(Reply::Json(json!({ "for": "everybody" })))
        .await
        .expect("a backend");
    backend.reply_to("+15550002", Reply::Json(json!({ "for": "two" })));

    let everybody = ask(&backend, "+15550001").await.expect("an answer");
    let two = ask(&backend, "+15550002").await.expect("an answer");
    assert_eq!(everybody["for"], "everybody");
    assert_eq!(two["for"], "two");

    let requests = backend.wait_for_requests(2, LIMIT).await.expect("two");
    assert_eq!(requests[1].body["calledPhone"], "+15550002");
    assert_eq!(requests[1].headers["content-type"], "application/json");
    backend
        .wait_for_requests(3, Duration::ZERO)
        .await
        .expect_err("there was no third");
}

#[tokio::test]
async fn without_the_right_token_the_answer_is_401() {
    let backend = Backend::start(Reply::Json(json!({})))
        .await
        .expect("a backend");
    backend.require_bearer("secret".to_owned().into());
    let refused = ask(&backend, "+1").await.expect_err("no token");
    assert_eq!(refused.status(), Some(reqwest::StatusCode::UNAUTHORIZED));
    let answer = client()
        .post(backend.url())
        .bearer_auth("secret")
        .body("{}")
        .send()
        .await
        .expect("an answer");
    assert!(answer.status().is_success());
}

#[tokio::test]
async fn a_cut_connection_gives_no_answer_at_all() {
    let backend = Backend::start(Reply::Close).await.expect("a backend");
    let error = client()
        .post(backend.url())
        .body("{}")
        .send()
        .await
        .expect_err("cut");
    assert_eq!(error.status(), None);
    assert!(!error.is_timeout() && !error.is_connect(), "{error:?}");
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test]
async fn a_connection_cut_in_the_body_gives_half_an_answer() {
    let backend = Backend::start(Reply::CloseInBody).await.expect("a backend");
    let answer = client()
        .post(backend.url())
        .body("{}")
        .send()
        .await
        .expect("the head");
    assert!(answer.status().is_success());
    answer.bytes().await.expect_err("cut");
}

#[tokio::test]
async fn a_backend_that_hangs_keeps_the_connection_open() {
    let backend = Backend::start(Reply::Hang).await.expect("a backend");
    let hangs = client()
        .post(backend.url())
        .body("{}")
        .timeout(SHORT)
        .send()
        .await
        .expect_err("no answer");
    assert!(hangs.is_timeout(), "{hangs:?}");

    backend.reply(Reply::HangInBody);
    let answer = client()
        .post(backend.url())
        .body("{}")
        .timeout(SHORT)
        .send()
        .await
        .expect("the head");
    let hangs = answer.bytes().await.expect_err("no end");
    assert!(hangs.is_timeout(), "{hangs:?}");
}

#[tokio::test]
async fn a_sequence_ends_with_its_last_reply() {
    let backend = Backend::start(Reply::sequence([
        Reply::failing(),
        Reply::after(SHORT, Reply::Json(json!({ "n": 2 }))),
        Reply::Json(json!({ "n": 3 })),
    ]))
    .await
    .expect("a backend");
    let first = ask(&backend, "+1").await.expect_err("500");
    assert_eq!(
        first.status(),
        Some(reqwest::StatusCode::INTERNAL_SERVER_ERROR)
    );
    for expected in [2, 3, 3] {
        assert_eq!(ask(&backend, "+1").await.expect("an answer")["n"], expected);
    }
}

#[tokio::test]
async fn garbage_and_oversize_arrive_as_they_are() {
    let backend = Backend::start(Reply::Garbage(b"\xff{".to_vec()))
        .await
        .expect("a backend");
    assert!(ask(&backend, "+1").await.expect_err("no JSON").is_decode());
    backend.reply(Reply::Oversize(300_000));
    let answer = ask(&backend, "+1").await.expect("an answer");
    assert_eq!(answer.to_string().len(), 300_000);
}

#[tokio::test]
async fn a_backend_that_is_dropped_leaves_nobody_hanging() {
    for reply in [Reply::Hang, Reply::HangInBody] {
        let backend = Backend::start(reply).await.expect("a backend");
        let url = backend.url();
        let asked = async {
            let request = client().post(url.clone()).body("{}").timeout(LIMIT);
            request.send().await?.bytes().await
        };
        let dropped = async {
            backend.wait_for_requests(1, LIMIT).await.expect("asked");
            drop(backend);
        };
        let (answer, ()) = tokio::join!(asked, dropped);
        let error = answer.expect_err("no answer");
        assert!(!error.is_timeout(), "{error:?}");
        let refused = client().post(url).body("{}").send().await;
        assert!(refused.expect_err("no server").is_connect());
    }
}
