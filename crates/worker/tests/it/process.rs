//! Several workers of one process: who connects, and who gets the places.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use livekit_protocol::WorkerStatus;
use trunkline_worker::{Options, Urgency, WorkerState};

use crate::fixture::{Bench, options, process, tenant, within};
use crate::server::{Connection, Door, Server};

fn at(port: u16) -> std::sync::Arc<trunkline_domain::Tenant> {
    tenant(|t| t.livekit_url = format!("ws://127.0.0.1:{port}"))
}

async fn accepted(connection: &mut Connection, job: &str) -> bool {
    connection.offer(job).await;
    within("an answer", connection.answer()).await.1
}

#[tokio::test]
async fn one_tenant_s_storm_leaves_a_place_for_the_other_and_says_why_it_was_refused() {
    let (mut stormy, mut calm) = (
        Server::start(Door::Open).await,
        Server::start(Door::Open).await,
    );
    let context = process(Options {
        max_calls: NonZeroU32::new(10),
        ..options()
    });
    let storm = Bench::start_in(&context, at(stormy.port), Urgency::InTurn);
    let other = Bench::start_in(&context, at(calm.port), Urgency::InTurn);
    let mut stormy = within("it connects", stormy.connection()).await;
    let mut calm = within("it connects", calm.connection()).await;
    let mut taken = 0;
    for job in 0..30 {
        taken += u32::from(accepted(&mut stormy, &format!("AJ_{job}")).await);
    }
    assert_eq!(taken, 9);
    assert_eq!(storm.desk.refusals()["tenant_share"], 21);
    assert!(accepted(&mut calm, "AJ_calm").await);
    assert!(other.desk.refusals().is_empty());
    // Now there is no place at all, and both servers hear of it.
    within("full", calm.status(WorkerStatus::WsFull)).await;
    within("full", stormy.status(WorkerStatus::WsFull)).await;
}

#[tokio::test]
async fn calls_that_come_too_fast_are_refused_and_the_worker_stays_available() {
    let mut server = Server::start(Door::Open).await;
    let bench = Bench::start(
        options(),
        tenant(|t| {
            t.livekit_url = format!("ws://127.0.0.1:{}", server.port);
            t.calls_per_second = Some(0.001);
        }),
    );
    let mut connection = within("it connects", server.connection()).await;
    assert!(accepted(&mut connection, "AJ_1").await);
    assert!(!accepted(&mut connection, "AJ_2").await);
    assert_eq!(bench.desk.refusals()["tenant_rate"], 1);
    let id = bench.tenant.borrow().id;
    assert_eq!(bench.refused(), [(id, "tenant_rate")]);
    // The limit is lifted in the running worker.
    bench.change(|t| t.limits.calls_per_second = None);
    within("available", connection.status(WorkerStatus::WsAvailable)).await;
    assert!(accepted(&mut connection, "AJ_3").await);
}

#[tokio::test]
async fn who_waits_for_its_turn_says_so_holds_up_no_other_host_and_no_changed_row() {
    let (mut slow, mut quick) = (
        Server::start(Door::Swallow).await,
        Server::start(Door::Open).await,
    );
    let context = process(Options {
        concurrent_connects_per_host: 1,
        connect_timeout_ms: 60_000,
        ..options()
    });
    let mut first = Bench::start_in(&context, at(slow.port), Urgency::InTurn);
    first
        .reaches("it connects", |s| {
            matches!(s, WorkerState::Connecting { .. })
        })
        .await;
    let mut second = Bench::start_in(&context, at(slow.port), Urgency::InTurn);
    second
        .reaches("it says that it waits", |s| {
            s.as_str() == "starting" && s.reason() == Some("waiting for its turn")
        })
        .await;
    let mut other = Bench::start_in(&context, at(quick.port), Urgency::InTurn);
    other
        .reaches("the other host's", WorkerState::is_registered)
        .await;
    within("it is connected", quick.connection()).await;
    slow.set(Door::Open);
    let mut changed = Bench::start_in(&context, at(slow.port), Urgency::Changed);
    changed
        .reaches("the changed row's", WorkerState::is_registered)
        .await;
    within("it is connected", slow.connection()).await;
    assert_eq!(second.state.borrow().as_str(), "starting");
    // The first gives up: it is the second's turn.
    first.orders.stop.cancel();
    second
        .reaches("its turn came", WorkerState::is_registered)
        .await;
}

#[tokio::test]
async fn a_worker_shows_that_its_loop_turns_whatever_it_waits_for() {
    const LATER: Duration = Duration::from_secs(600);
    let mut server = Server::start(Door::Status(401)).await;
    let mut bench = Bench::at(server.port);
    bench
        .reaches("it is refused", |s| s.as_str() == "credentials_refused")
        .await;
    // It will be back within five minutes, and is no later than that.
    let wait = Duration::from_secs(20);
    within("it says when it will be back", async {
        while bench.pulse.late_by(Instant::now() + wait) > Duration::ZERO {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(bench.pulse.late_by(Instant::now() + LATER) > Duration::ZERO);
    server.set(Door::Open);
    bench.limit(5);
    let _connection = within("it connects", server.connection()).await;
    bench
        .reaches("it is registered", WorkerState::is_registered)
        .await;
    // Registered it turns with every report; a loop that stood still would be late.
    within("it says when it will be back", async {
        while bench.pulse.late_by(Instant::now() + LATER) < LATER - wait {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
