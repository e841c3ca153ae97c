//! The supervisor with rows from a channel and workers held by strings.

mod fixture;

use std::num::NonZeroU32;

use fixture::{Bench, refused, registered, row, within};
use secrecy::SecretString;
use trunkline_store::{OpenError, RowProblem, Unopened};
use trunkline_supervisor::{Ending, Phase};
use trunkline_worker::{Urgency, WorkerState};

#[tokio::test]
async fn a_row_becomes_a_worker_and_its_removal_ends_it() {
    let mut bench = Bench::start();
    assert_eq!(bench.handle.phase(), Phase::Waiting);
    bench
        .rows(vec![row('a', 1, |_| {}), row('b', 1, |_| {})])
        .await;
    let a = bench.worker().await;
    bench.reaches('a', "registered").await;
    bench.reaches('b', "registered").await;
    assert_eq!(bench.handle.phase(), Phase::Running);
    assert_eq!(bench.handle.unsettled(), 0);
    bench.rows(vec![row('b', 1, |_| {})]).await;
    bench.forgets('a').await;
    assert!(a.orders.drain.is_cancelled());
    bench.reaches('b', "registered").await;
}

#[tokio::test]
async fn a_crashing_worker_is_restarted_with_its_desk_and_its_neighbour_notices_nothing() {
    let mut bench = Bench::start();
    bench
        .rows(vec![row('a', 1, |_| {}), row('b', 1, |_| {})])
        .await;
    let a = bench.worker().await;
    let b = bench.worker().await;
    bench.reaches('b', "registered").await;
    let call = a.admit(1).unwrap();
    for restarts in 1..=3 {
        let worker = if restarts == 1 {
            None
        } else {
            Some(bench.worker().await)
        };
        worker.as_ref().unwrap_or(&a).crash().await;
        bench
            .project('a', "it is registered again", |p| {
                p.restarts == restarts && p.state.is_registered()
            })
            .await;
    }
    let last = bench.worker().await;
    assert!(
        last.admit(1).is_err(),
        "the call of the crashed worker still counts"
    );
    drop(call);
    assert!(last.admit(1).is_ok());
    assert!(!bench.launched_more(), "b was launched once");
    assert_eq!(bench.reaches('b', "registered").await.restarts, 0);
    assert!(!b.orders.drain.is_cancelled());
}

#[tokio::test]
async fn a_worker_whose_loop_stands_still_is_replaced_and_its_calls_go_on() {
    let mut bench = Bench::start();
    bench
        .rows(vec![row('a', 1, |_| {}), row('b', 1, |_| {})])
        .await;
    let (a, b) = (bench.worker().await, bench.worker().await);
    bench.reaches('a', "registered").await;
    let call = a.admit(1).unwrap();
    a.hang().await;
    bench
        .project('a', "another worker is in its place", |p| {
            p.restarts == 1 && p.state.is_registered()
        })
        .await;
    let second = bench.worker().await;
    assert_eq!(second.desk.places().reserved, 1, "the call goes on");
    // The one that stood still is gone: nobody holds its strings.
    within("its task ends", a.gone()).await;
    drop(call);
    assert!(second.admit(1).is_ok());
    assert_eq!(bench.reaches('b', "registered").await.restarts, 0);
    assert!(!b.orders.drain.is_cancelled() && !bench.launched_more());
}

#[tokio::test]
async fn a_worker_that_ends_without_an_order_is_started_again() {
    let mut bench = Bench::start();
    bench.rows(vec![row('a', 1, |_| {})]).await;
    bench.worker().await.leave().await;
    bench
        .project('a', "it is registered again", |p| {
            p.restarts == 1 && p.state.is_registered()
        })
        .await;
}

#[tokio::test]
async fn a_worker_that_stands_still_does_not_hold_up_a_drain() {
    let mut bench = Bench::start();
    bench.rows(vec![row('a', 1, |_| {})]).await;
    bench.worker().await.hang().await;
    bench.shutdown.drain.cancel();
    assert_eq!(bench.ending().await, Ending::Drained);
}

#[tokio::test]
async fn a_changed_row_s_worker_is_urgent_and_a_first_start_is_not() {
    let mut bench = Bench::start();
    bench.rows(vec![row('a', 1, |_| {})]).await;
    assert_eq!(bench.worker().await.urgency, Urgency::InTurn);
    bench.reaches('a', "registered").await;
    bench
        .rows(vec![row('a', 2, |t| t.livekit_api_key = "new".into())])
        .await;
    let new = bench.worker().await;
    assert_eq!(new.urgency, Urgency::Changed);
    new.crash().await;
    assert_eq!(bench.worker().await.urgency, Urgency::InTurn);
}

#[tokio::test]
async fn a_crashed_worker_of_a_row_that_goes_is_not_restarted() {
    let mut bench = Bench::start();
    bench.rows(vec![row('a', 1, |_| {})]).await;
    bench.worker().await.crash().await;
    bench
        .project('a', "the crash is counted", |p| p.restarts > 0)
        .await;
    bench.rows(vec![]).await;
    bench.forgets('a').await;
    bench.rows(vec![row('a', 2, |_| {})]).await;
    assert_eq!(bench.reaches('a', "registered").await.restarts, 0);
}

#[tokio::test]
async fn what_livekit_does_not_see_changes_in_the_running_worker() {
    let mut bench = Bench::start();
    bench.rows(vec![row('a', 1, |_| {})]).await;
    let mut worker = bench.worker().await;
    bench
        .rows(vec![row('a', 2, |t| {
            t.max_calls = Some(7);
            t.slug = "z".into();
        })])
        .await;
    let changed = worker
        .tenant
        .wait_for(|t| t.limits.max_calls == NonZeroU32::new(7));
    within("the limit arrives", changed).await.unwrap();
    bench
        .project('z', "the new name is shown", |p| p.version.0 == 2)
        .await;
    assert!(!bench.launched_more());
}

#[tokio::test]
async fn changed_credentials_are_registered_before_the_old_ones_are_let_go() {
    let mut bench = Bench::start();
    bench.rows(vec![row('a', 1, |_| {})]).await;
    let old = bench.worker().await;
    bench.reaches('a', "registered").await;
    bench
        .rows(vec![row('a', 2, |t| t.livekit_api_key = "slow".into())])
        .await;
    let new = bench.worker().await;
    bench
        .project('a', "the successor is shown", |p| p.successor.is_some())
        .await;
    assert!(!old.orders.drain.is_cancelled(), "the old one still works");
    new.say(registered()).await;
    bench
        .project('a', "the successor took over", |p| {
            p.successor.is_none() && p.state.is_registered()
        })
        .await;
    assert!(old.orders.drain.is_cancelled());
    assert!(!old.orders.stop.is_cancelled() && !new.orders.drain.is_cancelled());
}

#[tokio::test]
async fn refused_changed_credentials_keep_the_old_worker_and_are_shown() {
    let mut bench = Bench::start();
    bench.rows(vec![row('a', 1, |_| {})]).await;
    let mut old = bench.worker().await;
    bench.reaches('a', "registered").await;
    bench
        .rows(vec![row('a', 2, |t| {
            t.livekit_api_key = "wrong".into();
            t.max_calls = Some(3);
        })])
        .await;
    let new = bench.worker().await;
    new.say(refused()).await;
    let status = bench
        .project('a', "the refusal is shown", |p| {
            p.reason().is_some_and(|r| {
                r.starts_with("credentials refused, still on version 1: version 2")
                    && r.contains("refused the API key")
            })
        })
        .await;
    assert!(status.state.is_registered());
    assert!(!old.orders.drain.is_cancelled());
    // What needs no registration is in effect, under the old credentials.
    let limited = old
        .tenant
        .wait_for(|t| t.limits.max_calls == NonZeroU32::new(3));
    within("the limit arrives", limited).await.unwrap();
    assert_eq!(old.key(), "good");
    // The row is set back: the worker that never registered goes.
    bench.rows(vec![row('a', 3, |_| {})]).await;
    bench
        .project('a', "nothing is wrong any more", |p| p.reason().is_none())
        .await;
    assert!(new.orders.drain.is_cancelled() && !old.orders.drain.is_cancelled());
}

#[tokio::test]
async fn a_worker_that_is_not_registered_is_exchanged_at_once() {
    let mut bench = Bench::start();
    bench
        .rows(vec![row('a', 1, |t| t.livekit_api_key = "wrong".into())])
        .await;
    let old = bench.worker().await;
    old.say(refused()).await;
    bench.reaches('a', "credentials_refused").await;
    bench.rows(vec![row('a', 2, |_| {})]).await;
    bench.reaches('a', "registered").await;
    assert!(old.orders.drain.is_cancelled());
}

#[tokio::test]
async fn a_wrong_row_is_parked_with_its_reason_and_the_others_run() {
    let bench = Bench::start();
    let wrong = |version| {
        row('a', version, |t| {
            t.livekit_url = "ftp://x".into();
            t.livekit_api_secret = SecretString::default();
        })
    };
    bench.rows(vec![wrong(1), row('b', 1, |_| {})]).await;
    let parked = bench.reaches('a', "parked").await;
    let reason = parked.reason().unwrap();
    assert!(
        reason.contains("livekit_url") && reason.contains("livekit_api_secret"),
        "{reason}"
    );
    bench.reaches('b', "registered").await;
    bench
        .rows(vec![row('a', 2, |_| {}), row('b', 1, |_| {})])
        .await;
    bench.reaches('a', "registered").await;
}

#[tokio::test]
async fn a_row_that_turns_wrong_changes_nothing_and_all_that_is_wrong_is_told() {
    let mut bench = Bench::start();
    bench.rows(vec![row('a', 1, |_| {})]).await;
    let worker = bench.worker().await;
    bench.reaches('a', "registered").await;
    let wrong = row('a', 2, |t| {
        t.max_calls = Some(-1);
        t.default_config = r#"{"voice": 7, "temperature": 9}"#.into();
    });
    bench.rows(vec![wrong]).await;
    let held = bench
        .project('a', "the row is held", |p| p.held.is_some())
        .await;
    assert_eq!((held.state.as_str(), held.version.0), ("registered", 1));
    assert!(held.is_on_older_version());
    let reason = held.reason().unwrap();
    for told in [
        "row invalid, still on version 1: version 2 is not in effect",
        "max_calls must be 1 or more",
        "voice must be a string",
        "temperature must be from 0 to 2",
    ] {
        assert!(reason.contains(told), "{told:?} is not in {reason}");
    }
    assert!(!worker.orders.drain.is_cancelled());
    // Mended, it goes on with the same worker.
    bench.rows(vec![row('a', 3, |_| {})]).await;
    bench
        .project('a', "nothing is wrong any more", |p| p.reason().is_none())
        .await;
    assert!(!worker.orders.drain.is_cancelled() && !bench.launched_more());
}

#[tokio::test]
async fn twins_and_unknown_fields_of_rows_by_sql_are_told_and_calls_are_taken() {
    let bench = Bench::start();
    let twin = |name: char, version| {
        row(name, version, |t| {
            t.agent_names = vec!["same".into()];
            t.default_config = r#"{"colour": "red"}"#.into();
        })
    };
    bench.rows(vec![twin('a', 1), twin('b', 1)]).await;
    let told = bench
        .project('a', "it is told of its twin", |p| p.notes.len() == 2)
        .await;
    let reason = told.reason().unwrap();
    assert!(reason.contains("b has the same project"), "{reason}");
    assert!(reason.contains("colour is not known"), "{reason}");
    bench.reaches('a', "registered").await;
    bench.rows(vec![twin('a', 1), row('b', 2, |_| {})]).await;
    bench
        .project('a', "it has no twin any more", |p| p.notes.len() == 1)
        .await;
}

#[tokio::test]
async fn that_the_keys_open_nothing_is_told_apart_from_a_wrong_row() {
    let bench = Bench::start();
    let locked = |name: char| {
        let mut row = row(name, 1, |_| {});
        let unopened = Unopened {
            column: "livekit_api_secret",
            problem: OpenError::UnknownKey { id: "k2".into() },
        };
        row.tenant = Err(RowProblem::Unsealable(vec![unopened], None));
        row
    };
    let off = row('c', 1, |t| t.enabled = false);
    bench
        .rows(vec![locked('a'), locked('b'), off.clone()])
        .await;
    bench.reaches('b', "parked").await;
    bench.reaches('c', "disabled").await;
    let said = bench.handle.wrong_keys().unwrap();
    assert!(
        said.contains("key k2") && said.contains("sealing.keys"),
        "{said}"
    );
    // One that can be served is reason enough to be there.
    bench
        .rows(vec![locked('a'), row('b', 2, |_| {}), off])
        .await;
    bench.reaches('b', "registered").await;
    assert_eq!(bench.handle.wrong_keys(), None);
}

#[tokio::test]
async fn a_disabled_row_drains_even_when_it_is_wrong_and_an_enabled_one_starts() {
    let mut bench = Bench::start();
    bench.rows(vec![row('a', 1, |_| {})]).await;
    let worker = bench.worker().await;
    bench
        .rows(vec![row('a', 2, |t| {
            t.enabled = false;
            t.agent_names = vec!["two words".into()];
        })])
        .await;
    bench.reaches('a', "disabled").await;
    assert!(worker.orders.drain.is_cancelled());
    bench.rows(vec![row('a', 3, |_| {})]).await;
    bench.reaches('a', "registered").await;
}

#[tokio::test]
async fn a_removed_tenant_is_forgotten_after_its_last_call_and_not_before() {
    let mut bench = Bench::start();
    bench.rows(vec![row('a', 1, |_| {})]).await;
    let worker = bench.worker().await;
    let call = worker.admit(100).unwrap();
    bench.rows(vec![]).await;
    bench.reaches('a', "removed").await;
    // The row comes back, and goes again: the desk is still the same.
    bench.rows(vec![row('a', 1, |_| {})]).await;
    bench.reaches('a', "registered").await;
    let again = bench.worker().await;
    assert_eq!(again.desk.places().reserved, 1);
    bench.rows(vec![]).await;
    bench.reaches('a', "removed").await;
    drop(call);
    bench.forgets('a').await;
}

#[tokio::test]
async fn of_many_workers_that_leave_with_calls_the_oldest_is_stopped() {
    let mut bench = Bench::start();
    let mut workers = Vec::new();
    let mut calls = Vec::new();
    for version in 1..=7 {
        bench
            .rows(vec![row('a', version, |t| {
                t.livekit_api_key = format!("key{version}");
            })])
            .await;
        let worker = bench.worker().await;
        worker.say(registered()).await;
        bench
            .project('a', "the newest is registered", |p| {
                p.version.0 == version && p.successor.is_none() && p.state.is_registered()
            })
            .await;
        calls.push(worker.admit(100).unwrap());
        workers.push(worker);
    }
    let stopped: Vec<bool> = workers
        .iter()
        .map(|w| w.orders.stop.is_cancelled())
        .collect();
    assert_eq!(
        stopped,
        [true, true, false, false, false, false, false],
        "four leave at the same time"
    );
}

#[tokio::test]
async fn a_drain_waits_for_the_last_call_and_takes_no_more_rows() {
    let mut bench = Bench::start();
    bench
        .rows(vec![row('a', 1, |_| {}), row('b', 1, |_| {})])
        .await;
    let (a, b) = (bench.worker().await, bench.worker().await);
    let call = a.admit(100).unwrap();
    bench.shutdown.drain.cancel();
    bench.reaches('a', "draining").await;
    bench.reaches('b', "stopped").await;
    assert_eq!(bench.handle.phase(), Phase::Draining);
    assert!(b.orders.drain.is_cancelled());
    assert!(bench.is_running(), "a call goes on");
    drop(call);
    assert_eq!(bench.ending().await, Ending::Drained);
}

#[tokio::test]
async fn a_worker_that_crashes_in_a_drain_does_not_hold_it_up() {
    let mut bench = Bench::start();
    bench.rows(vec![row('a', 1, |_| {})]).await;
    let a = bench.worker().await;
    let call = a.admit(100).unwrap();
    bench.shutdown.drain.cancel();
    bench.reaches('a', "draining").await;
    a.crash().await;
    bench.reaches('a', "stopped").await;
    assert!(bench.is_running(), "its call goes on");
    drop(call);
    assert_eq!(bench.ending().await, Ending::Drained);
}

#[tokio::test]
async fn a_cut_does_not_wait_for_ever() {
    let mut bench = Bench::start();
    bench.rows(vec![row('a', 1, |_| {})]).await;
    let a = bench.worker().await;
    let _never_ends = a.admit(100).unwrap();
    bench.shutdown.cut.cancel();
    assert_eq!(bench.ending().await, Ending::Cut { calls: 0 });
    assert!(a.orders.stop.is_cancelled());
}

#[tokio::test]
async fn a_reader_of_changes_gets_all_first_and_then_what_changed() {
    let mut bench = Bench::start();
    bench
        .rows(vec![row('a', 1, |_| {}), row('b', 1, |_| {})])
        .await;
    bench.reaches('a', "registered").await;
    bench.reaches('b', "registered").await;
    let mut changes = bench.changes();
    let all = within("all", changes.next()).await;
    assert_eq!(all.len(), 2);
    let since = all[0].since;
    let a = bench.worker().await;
    let state = WorkerState::Connecting { attempt: 4 };
    a.say(state).await;
    let changed = within("a changes", changes.next()).await;
    assert_eq!(changed.len(), 1);
    assert_eq!(
        (changed[0].slug.as_str(), changed[0].state.as_str()),
        ("a", "connecting")
    );
    assert!(changed[0].since >= since);
}
