//! Several agent names of one tenant.

use livekit_protocol::WorkerStatus;
use trunkline_domain::Tenant;
use trunkline_worker::{WorkerExit, WorkerState};

use crate::fixture::{Bench, options, tenant, within};
use crate::server::{Connection, Door, Server};

fn named(port: u16, names: &[&str]) -> Bench {
    Bench::start(
        options(),
        tenant(|t| {
            t.livekit_url = format!("ws://127.0.0.1:{port}");
            t.agent_names = names.iter().map(|&name| name.to_owned()).collect();
            t.max_calls = Some(2);
        }),
    )
}

fn rename(names: &[&str]) -> impl FnOnce(&mut Tenant) {
    let names = names.iter().map(|name| name.parse().unwrap()).collect();
    move |tenant| tenant.agent_names = names
}

/// The next connections, by agent name.
async fn connections<const N: usize>(server: &mut Server) -> [Connection; N] {
    let mut connections = Vec::new();
    for _ in 0..N {
        connections.push(within("it connects", server.connection()).await);
    }
    connections.sort_by(|a, b| a.register.agent_name.cmp(&b.register.agent_name));
    connections.try_into().ok().unwrap()
}

fn names(connections: &[Connection]) -> Vec<&str> {
    let names = connections.iter().map(|c| c.register.agent_name.as_str());
    names.collect()
}

async fn registered(bench: &mut Bench) {
    bench
        .reaches("all are registered", WorkerState::is_registered)
        .await;
}

#[tokio::test]
async fn every_agent_name_is_registered_and_all_share_one_limit() {
    let mut server = Server::start(Door::Open).await;
    let mut bench = named(server.port, &["sales", "support"]);
    let mut both: [Connection; 2] = connections(&mut server).await;
    assert_eq!(names(&both), ["sales", "support"]);
    registered(&mut bench).await;
    for (connection, job) in both.iter_mut().zip(["AJ_1", "AJ_2"]) {
        connection.give(job).await;
        assert_eq!(bench.call().await.1.job_id, job);
    }
    assert_eq!(bench.desk.active(), 2);
    both[0].offer("AJ_3").await;
    assert_eq!(both[0].answer().await, ("AJ_3".into(), false));
}

#[tokio::test]
async fn a_crew_is_not_registered_while_one_of_its_names_is_not() {
    let mut server = Server::start(Door::Open).await;
    let mut bench = named(server.port, &["sales"]);
    let _sales: [Connection; 1] = connections(&mut server).await;
    registered(&mut bench).await;
    server.set(Door::Status(401));
    bench.change(rename(&["sales", "support"]));
    let mut reason = String::new();
    let refused = bench.state.wait_for(|state| {
        reason = state.reason().unwrap_or_default().to_owned();
        matches!(state, WorkerState::CredentialsRefused { .. })
    });
    within("the second name is refused", refused).await.unwrap();
    assert!(reason.starts_with("agent name support: "), "{reason}");
}

#[tokio::test]
async fn a_name_that_comes_or_goes_leaves_the_other_s_registration_alone() {
    let mut server = Server::start(Door::Open).await;
    let mut bench = named(server.port, &["sales"]);
    let [mut sales]: [Connection; 1] = connections(&mut server).await;
    bench.change(rename(&["sales", "support"]));
    let [mut support]: [Connection; 1] = connections(&mut server).await;
    assert_eq!(support.register.agent_name, "support");
    registered(&mut bench).await;
    support.give("AJ_1").await;
    bench.call().await;
    bench.change(rename(&["sales"]));
    // Its call goes on; only then it leaves.
    within("it takes no more", support.status(WorkerStatus::WsFull)).await;
    bench.hang_up("AJ_1");
    within("it leaves", support.closed()).await;
    sales.give("AJ_2").await;
    bench.call().await;
    assert_eq!(*server.seen.borrow(), 2, "nobody connected anew");
}

#[tokio::test]
async fn a_renamed_agent_goes_when_the_new_name_is_registered() {
    let mut server = Server::start(Door::Open).await;
    let mut bench = named(server.port, &["old"]);
    let [mut old]: [Connection; 1] = connections(&mut server).await;
    registered(&mut bench).await;
    server.set(Door::Mute);
    bench.change(rename(&["new"]));
    let _unanswered: [Connection; 1] = connections(&mut server).await;
    old.give("AJ_1").await;
    bench.call().await;
    bench.hang_up("AJ_1");
    server.set(Door::Open);
    drop(_unanswered);
    let [new]: [Connection; 1] = connections(&mut server).await;
    assert_eq!(new.register.agent_name, "new");
    within("the old one leaves", old.closed()).await;
}

#[tokio::test]
async fn a_crew_that_drains_ends_with_the_last_of_its_names() {
    let mut server = Server::start(Door::Open).await;
    let mut bench = named(server.port, &["sales", "support"]);
    let mut both: [Connection; 2] = connections(&mut server).await;
    registered(&mut bench).await;
    both[1].give("AJ_1").await;
    bench.call().await;
    bench.orders.drain.cancel();
    within("the idle one leaves", both[0].closed()).await;
    bench.hang_up("AJ_1");
    assert_eq!(bench.exit().await, WorkerExit::Drained);
}
