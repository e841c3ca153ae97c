//! Tells the database what this replica does with each tenant, for `trunkline
//! tenant list` on whatever machine. Nothing waits for it and nothing is decided
//! by it: with the database away it tells later, and then the latest only.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use trunkline_store::{Reporter, StateReport, Store};
use trunkline_supervisor::{Handle, ProjectStatus};

/// How often everything is repeated, so that a reader can tell a replica that is
/// gone from one whose tenants are steady.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(30);

/// After a failure. The database's own timeouts come on top.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// How long a report under way may take as the process ends: a round trip, where the
/// database is there.
const REPORT_LIMIT: Duration = Duration::from_secs(1);

/// How long taking the reports back may take as the process ends.
const RETRACT_LIMIT: Duration = Duration::from_secs(2);

/// Reports until told to stop, then takes the reports back.
pub async fn run(store: Store, replica: Reporter, projects: Handle, stop: CancellationToken) {
    let mut first = true;
    let mut changes = projects.changes();
    let mut repeat = tokio::time::interval_at(Instant::now() + REPORT_INTERVAL, REPORT_INTERVAL);
    repeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // A report that failed is covered by telling everything.
    let mut retry_at: Option<Instant> = None;
    loop {
        let statuses = tokio::select! {
            () = stop.cancelled() => break,
            changed = changes.next(), if retry_at.is_none() => changed,
            () = until(retry_at) => projects.projects(),
            _ = repeat.tick() => projects.projects(),
        };
        let reports = statuses.into_iter().map(report).collect();
        let mut reporting = pin!(store.report_states(&replica, reports));
        let result = tokio::select! {
            () = stop.cancelled() => {
                // The database does what it was sent, whoever waits for it. Not before it is
                // done can it be taken back.
                let _ = tokio::time::timeout(REPORT_LIMIT, reporting).await;
                break;
            }
            result = &mut reporting => result,
        };
        if first && result.is_ok() {
            first = false;
            tell_of_namesakes(&store, &replica).await;
        }
        retry_at = match result {
            Ok(()) => None,
            Err(error) => {
                tracing::debug!(
                    error = error.one_line(),
                    "the states of the tenants could not be written"
                );
                Some(Instant::now() + RETRY_AFTER)
            }
        };
    }
    let retracted = tokio::time::timeout(RETRACT_LIMIT, store.retract_states(&replica)).await;
    if !matches!(retracted, Ok(Ok(()))) {
        tracing::debug!("the states of the tenants stay in the database until they are stale");
    }
}

/// Says so when another process goes by this name: in states and records the two
/// cannot be told apart by people.
async fn tell_of_namesakes(store: &Store, replica: &Reporter) {
    match store.namesakes(replica).await {
        Ok(others) if others.is_empty() => {}
        Ok(others) => tracing::warn!(
            replica = replica.name,
            others = others.len(),
            "another process reported under this name a moment ago; if it still runs, give each \
             a name of its own (replica.name)"
        ),
        Err(error) => tracing::debug!(
            error = error.one_line(),
            "whether the name is taken could not be read"
        ),
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn report(status: ProjectStatus) -> StateReport {
    StateReport {
        tenant_id: status.id,
        state: status.state.as_str().to_owned(),
        reason: status.reason(),
        version: Some(status.version),
        since: status.since,
    }
}
