//! The worker against a real livekit-server.

use std::time::Duration;

use secrecy::ExposeSecret;
use trunkline_domain::CallOutcome;
use trunkline_testbed::livekit::{LiveKitOptions, LiveKitServer};
use trunkline_worker::{WorkerExit, WorkerState};

use crate::fixture::{Bench, options, tenant, within};

/// Between two questions to the server.
const POLL: Duration = Duration::from_millis(20);

async fn server() -> LiveKitServer {
    // The server's API client needs it; the worker brings its own.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    LiveKitServer::start(LiveKitOptions::default())
        .await
        .unwrap()
}

fn worker(server: &LiveKitServer) -> Bench {
    Bench::start(
        options(),
        tenant(|t| {
            t.livekit_url = server.url();
            t.livekit_api_key = server.api_key().to_owned();
            t.livekit_api_secret = server.api_secret().expose_secret().into();
        }),
    )
}

/// Waits for a line of the server's log that has all of these. The log is the
/// only place where it says how a job went: its API shows the job as it was
/// assigned, for ever.
async fn logged(server: &LiveKitServer, words: &[&str]) {
    let path = server.log_path();
    let polled = async {
        loop {
            let log = std::fs::read_to_string(&path).unwrap();
            let told = |line: &str| words.iter().all(|word| line.contains(word));
            if log.lines().any(told) {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    within(&format!("the server logs {words:?}"), polled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatch_becomes_a_call_and_its_end_is_known_to_the_server() {
    let server = server().await;
    let mut bench = worker(&server);
    bench
        .reaches("it registers", |s| {
            matches!(s, WorkerState::Registered { worker_id, server_version, .. }
                if worker_id.starts_with("AW_") && server_version.starts_with("1."))
        })
        .await;
    let probe = server.probe();
    probe.create_room("call_1").await.unwrap();
    probe
        .dispatch("call_1", "pstn-voice-agent", "")
        .await
        .unwrap();
    let (tenant, call) = bench.call().await;
    assert_eq!(call.room, "call_1");
    assert!(call.job_id.starts_with("AJ_"));
    assert_eq!(call.url, tenant.project.url);
    let claims = livekit_api::access_token::Claims::from_unverified(call.token.expose_secret());
    let claims = claims.unwrap();
    assert_eq!(
        (claims.kind.as_str(), claims.sub),
        ("agent", format!("agent-{}", call.job_id))
    );
    assert!(claims.video.room_join && claims.video.can_publish());
    // The server enters the job into its books after it has sent the assignment,
    // and overlooks what it hears of it before.
    logged(&server, &["assigned job", &call.job_id]).await;
    bench.hang_up(&call.job_id);
    logged(&server, &["job ended", &call.job_id, "JS_SUCCESS"]).await;
    // A call that could not be served is a failed job, with its reason.
    probe
        .dispatch("call_1", "pstn-voice-agent", "")
        .await
        .unwrap();
    let (_, second) = bench.call().await;
    logged(&server, &["assigned job", &second.job_id]).await;
    bench.end(&second.job_id, CallOutcome::NoCaller);
    let words = ["job ended", &second.job_id, "JS_FAILED", "no_caller"];
    logged(&server, &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_dispatch_stops_its_call() {
    let server = server().await;
    let mut bench = worker(&server);
    bench
        .reaches("it registers", WorkerState::is_registered)
        .await;
    let probe = server.probe();
    probe.create_room("call_1").await.unwrap();
    let dispatch = probe
        .dispatch("call_1", "pstn-voice-agent", "")
        .await
        .unwrap();
    bench.call().await;
    probe.delete_dispatch("call_1", &dispatch.id).await.unwrap();
    assert_eq!(bench.record().await.outcome, CallOutcome::Cut);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_refused_and_told_as_such() {
    let server = server().await;
    let mut bench = Bench::start(
        options(),
        tenant(|t| {
            t.livekit_url = server.http_url();
            t.livekit_api_key = server.api_key().to_owned();
        }),
    );
    bench
        .reaches("the refusal", |s| {
            matches!(s, WorkerState::CredentialsRefused { .. })
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_has_its_worker_back_and_the_call_went_on() {
    let mut server = server().await;
    let mut bench = worker(&server);
    bench
        .reaches("it registers", WorkerState::is_registered)
        .await;
    let probe = server.probe();
    probe.create_room("call_1").await.unwrap();
    probe
        .dispatch("call_1", "pstn-voice-agent", "")
        .await
        .unwrap();
    bench.call().await;
    server.crash().await.unwrap();
    bench
        .reaches("the loss is noticed", |s| !s.is_registered())
        .await;
    server.start_again().await.unwrap();
    bench
        .reaches("it registers again", WorkerState::is_registered)
        .await;
    assert_eq!(bench.desk.active(), 1);
    probe.create_room("call_2").await.unwrap();
    probe
        .dispatch("call_2", "pstn-voice-agent", "")
        .await
        .unwrap();
    let (_, second) = bench.call().await;
    bench.orders.drain.cancel();
    bench
        .reaches("it drains", |s| *s == WorkerState::Draining)
        .await;
    bench.hang_up(&second.job_id);
    let desk = bench.desk.clone();
    assert_eq!(bench.exit().await, WorkerExit::Drained);
    assert_eq!(desk.active(), 1, "the first call is no job of this socket");
}
