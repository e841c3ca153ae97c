//! The worker against a server played by hand.

mod crew;
mod fixture;
mod livekit;
mod process;
mod server;

use fixture::{Bench, options, tenant, within};
use livekit_api::access_token::TokenVerifier;
use livekit_protocol::worker_message::Message as ToServer;
use livekit_protocol::{JobStatus, WorkerStatus};
use server::{Door, Server};
use trunkline_domain::CallOutcome;
use trunkline_worker::{WorkerExit, WorkerState};

#[tokio::test]
async fn a_worker_registers_with_its_own_key_and_name_under_the_url_s_path() {
    let mut server = Server::start(Door::Open).await;
    let mut bench = Bench::start(
        options(),
        tenant(|t| {
            t.livekit_url = format!("http://127.0.0.1:{}/livekit/", server.port);
            t.deployment = Some("blue".into());
        }),
    );
    let connection = within("it connects", server.connection()).await;
    assert_eq!(connection.path, "/livekit/agent");
    assert_eq!(connection.register.agent_name, "pstn-voice-agent");
    assert_eq!(connection.register.deployment, "blue");
    let claims = TokenVerifier::with_api_key("APIacme", "the-secret-of-acme-is-long-enough")
        .verify(&connection.bearer)
        .unwrap();
    assert!(claims.video.agent);
    bench
        .reaches("it is registered", |s| {
            matches!(s, WorkerState::Registered { worker_id, server_version, .. }
                if worker_id == "AW_1" && server_version == "1.13.5")
        })
        .await;
}

#[tokio::test]
async fn a_job_becomes_a_call_and_its_end_is_reported() {
    let mut server = Server::start(Door::Open).await;
    let mut bench = Bench::at(server.port);
    let mut connection = within("it connects", server.connection()).await;
    connection.give("AJ_1").await;
    let (tenant, call) = bench.call().await;
    assert_eq!(tenant.slug.as_str(), "acme");
    assert_eq!(
        (call.job_id.as_str(), call.room.as_str()),
        ("AJ_1", "room of AJ_1")
    );
    assert_eq!(
        call.url, tenant.project.url,
        "an empty URL is the project's"
    );
    within("running", connection.job("AJ_1", JobStatus::JsRunning)).await;
    bench.hang_up("AJ_1");
    within("success", connection.job("AJ_1", JobStatus::JsSuccess)).await;
    assert_eq!(bench.record().await.outcome, CallOutcome::CallerHungUp);
}

#[tokio::test]
async fn an_assignment_s_own_url_is_used() {
    let mut server = Server::start(Door::Open).await;
    let mut bench = Bench::at(server.port);
    let mut connection = within("it connects", server.connection()).await;
    connection
        .assign("AJ_1", Some("wss://region.example"))
        .await;
    let (_, call) = bench.call().await;
    assert_eq!(call.url.as_str(), "wss://region.example/");
}

#[tokio::test]
async fn two_offers_at_once_at_the_limit_give_one_call_and_the_status_follows() {
    let mut server = Server::start(Door::Open).await;
    let mut bench = Bench::start(
        options(),
        tenant(|t| {
            t.livekit_url = format!("ws://127.0.0.1:{}", server.port);
            t.max_calls = Some(1);
        }),
    );
    let mut connection = within("it connects", server.connection()).await;
    connection.offer("AJ_1").await;
    connection.offer("AJ_2").await;
    // The status comes as soon as it is so, which may be between the two.
    let (mut answers, mut is_full) = (Vec::new(), false);
    let told = async {
        while answers.len() < 2 || !is_full {
            match connection.next().await {
                ToServer::Availability(answer) => answers.push((answer.job_id, answer.available)),
                ToServer::UpdateWorker(status) => {
                    is_full |= status.status() == WorkerStatus::WsFull;
                }
                _ => {}
            }
        }
    };
    within("two answers, and full", told).await;
    assert_eq!(answers, [("AJ_1".into(), true), ("AJ_2".into(), false)]);
    connection.assign("AJ_1", None).await;
    bench.call().await;
    let full = |s: &WorkerState| {
        matches!(
            s,
            WorkerState::Registered {
                full_since: Some(_),
                ..
            }
        )
    };
    bench.reaches("it says that it is full", full).await;
    // A raised limit applies to the running worker, and the server hears of it.
    bench.limit(2);
    within("free", connection.status(WorkerStatus::WsAvailable)).await;
    connection.give("AJ_3").await;
    let status = within("full again", connection.status(WorkerStatus::WsFull)).await;
    assert!(status.load < 0.7, "a higher load would hide the worker");
    bench.hang_up("AJ_1");
    within("free again", connection.status(WorkerStatus::WsAvailable)).await;
    bench
        .reaches("it is full no more", |s| s.is_registered() && !full(s))
        .await;
}

#[tokio::test]
async fn a_terminated_job_s_call_is_stopped_and_the_other_goes_on() {
    let mut server = Server::start(Door::Open).await;
    let mut bench = Bench::at(server.port);
    let mut connection = within("it connects", server.connection()).await;
    for job in ["AJ_1", "AJ_2"] {
        connection.give(job).await;
        bench.call().await;
    }
    connection.terminate("AJ_1").await;
    let record = bench.record().await;
    assert_eq!(
        (record.job_id.as_str(), record.outcome),
        ("AJ_1", CallOutcome::Cut)
    );
    assert_eq!(bench.desk.active(), 1);
}

#[tokio::test]
async fn a_cut_socket_ends_no_call_and_the_worker_comes_back() {
    let mut server = Server::start(Door::Open).await;
    let mut bench = Bench::at(server.port);
    let mut connection = within("it connects", server.connection()).await;
    connection.give("AJ_1").await;
    bench.call().await;
    drop(connection);
    let mut again = within("it reconnects", server.connection()).await;
    assert_eq!(bench.desk.active(), 1, "the call goes on");
    // The new connection counts the old call, knows nothing of its job, and takes more.
    let status = within("status", again.status(WorkerStatus::WsAvailable)).await;
    assert_eq!(status.job_count, 1);
    bench.hang_up("AJ_1");
    assert_eq!(bench.record().await.outcome, CallOutcome::CallerHungUp);
    again.give("AJ_2").await;
    bench.call().await;
    let first_told = within(
        "a job update",
        again.until(|message| match message {
            livekit_protocol::worker_message::Message::UpdateJob(update) => Some(update.job_id),
            _ => None,
        }),
    )
    .await;
    assert_eq!(first_told, "AJ_2");
}

#[tokio::test]
async fn a_half_open_socket_is_noticed_and_left() {
    let mut server = Server::start(Door::Open).await;
    let mut bench = Bench::start(
        trunkline_worker::Options {
            ping_interval_ms: 50,
            silence_limit_ms: 400,
            ..options()
        },
        tenant(|t| t.livekit_url = format!("ws://127.0.0.1:{}", server.port)),
    );
    // Held open, and never read again: no pong, no close, no reset.
    let held = within("it connects", server.connection()).await;
    bench
        .reaches("the silence is noticed", |s| {
            s.reason().is_some_and(|r| r.contains("not heard of"))
        })
        .await;
    within("it connects anew", server.connection()).await;
    drop(held);
}

#[tokio::test]
async fn a_server_that_does_not_answer_the_registration_is_tried_again() {
    let mut server = Server::start(Door::Mute).await;
    let mut bench = Bench::start(
        trunkline_worker::Options {
            register_timeout_ms: 50,
            ..options()
        },
        tenant(|t| t.livekit_url = format!("ws://127.0.0.1:{}", server.port)),
    );
    let _mute = within("it connects", server.connection()).await;
    bench
        .reaches("the timeout", |s| {
            s.reason().is_some_and(|r| r.contains("did not answer"))
        })
        .await;
    server.set(Door::Open);
    bench
        .reaches("it registers after all", WorkerState::is_registered)
        .await;
}

#[tokio::test]
async fn a_host_that_swallows_packets_costs_one_deadline() {
    let server = Server::start(Door::Swallow).await;
    let mut bench = Bench::start(
        trunkline_worker::Options {
            connect_timeout_ms: 50,
            ..options()
        },
        tenant(|t| t.livekit_url = format!("ws://127.0.0.1:{}", server.port)),
    );
    bench
        .reaches("the deadline", |s| {
            s.reason()
                .is_some_and(|r| r.contains("no connection within 50 ms"))
        })
        .await;
    server.set(Door::Open);
    bench
        .reaches("it registers after all", WorkerState::is_registered)
        .await;
}

#[tokio::test]
async fn refused_credentials_are_shown_and_tried_again_when_the_row_changes() {
    let mut server = Server::start(Door::Status(401)).await;
    let mut bench = Bench::at(server.port);
    bench
        .reaches("the refusal is shown", |s| {
            matches!(s, WorkerState::CredentialsRefused { reason, .. }
                if reason.contains("401") && reason.contains("livekit_api_secret"))
        })
        .await;
    let seen = *server.seen.borrow();
    assert_eq!(seen, 1, "the next attempt is half a minute away");
    server.set(Door::Open);
    bench.limit(5);
    within("the changed row is tried at once", server.connection()).await;
    bench
        .reaches("it registers", WorkerState::is_registered)
        .await;
}

#[tokio::test]
async fn a_server_that_is_down_or_wrong_is_retried_until_it_is_there() {
    let mut server = Server::start(Door::Status(503)).await;
    let mut bench = Bench::at(server.port);
    let mut seen = server.seen.clone();
    within("three attempts", seen.wait_for(|n| *n >= 3))
        .await
        .unwrap();
    bench
        .reaches("the outage is shown", |s| {
            s.reason().is_some_and(|r| r.contains("unavailable"))
        })
        .await;
    server.set(Door::Status(404));
    bench
        .reaches("the wrong address is shown", |s| {
            s.reason().is_some_and(|r| r.contains("livekit_url"))
        })
        .await;
    server.set(Door::Open);
    within("it registers", server.connection()).await;
}

#[tokio::test]
async fn a_registration_that_held_makes_the_next_wait_short_again() {
    for (healthy_after_ms, attempts) in [(0, [1, 1, 1]), (3_600_000, [1, 2, 3])] {
        let mut server = Server::start(Door::Open).await;
        let mut bench = Bench::start(
            trunkline_worker::Options {
                // Only a change of the row ends such a wait.
                retry_first_ms: 3_600_000,
                retry_cap_ms: 3_600_000,
                healthy_after_ms,
                ..options()
            },
            tenant(|t| t.livekit_url = format!("ws://127.0.0.1:{}", server.port)),
        );
        for (round, wanted) in (1..).zip(attempts) {
            let connection = within("it connects", server.connection()).await;
            bench
                .reaches("it is registered", WorkerState::is_registered)
                .await;
            drop(connection);
            bench
                .reaches(
                    "the failures are counted",
                    |s| matches!(s, WorkerState::BackingOff { attempt, .. } if *attempt == wanted),
                )
                .await;
            bench.limit(round);
        }
    }
}

#[tokio::test]
async fn garbage_from_the_server_costs_nothing() {
    let mut server = Server::start(Door::Open).await;
    let mut bench = Bench::at(server.port);
    let mut connection = within("it connects", server.connection()).await;
    connection.garbage().await;
    connection.give("AJ_1").await;
    bench.call().await;
    assert_eq!(*server.seen.borrow(), 1);
}

#[tokio::test]
async fn a_drain_refuses_offers_and_ends_with_the_last_call() {
    let mut server = Server::start(Door::Open).await;
    let mut bench = Bench::at(server.port);
    let mut connection = within("it connects", server.connection()).await;
    connection.give("AJ_1").await;
    bench.call().await;
    bench.orders.drain.cancel();
    let status = within("full", connection.status(WorkerStatus::WsFull)).await;
    assert!(status.draining);
    connection.offer("AJ_2").await;
    assert_eq!(connection.answer().await, ("AJ_2".into(), false));
    assert_eq!(*bench.state.borrow(), WorkerState::Draining);
    bench.hang_up("AJ_1");
    within("success", connection.job("AJ_1", JobStatus::JsSuccess)).await;
    within("the socket is closed", connection.closed()).await;
    assert_eq!(bench.exit().await, WorkerExit::Drained);
}

#[tokio::test]
async fn a_stopped_worker_leaves_and_its_calls_go_on() {
    let mut server = Server::start(Door::Open).await;
    let mut bench = Bench::at(server.port);
    let mut connection = within("it connects", server.connection()).await;
    connection.give("AJ_1").await;
    bench.call().await;
    let desk = bench.desk.clone();
    bench.orders.stop.cancel();
    within("the socket is closed", connection.closed()).await;
    assert_eq!(bench.exit().await, WorkerExit::Stopped);
    assert_eq!(desk.active(), 1);
    desk.cut();
    within("the call is cut", desk.idle()).await;
}
