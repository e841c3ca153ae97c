//! The service: its start, its end, and what happens between them.
//!
//! Policy of the end: the first request drains (no more calls; those under way
//! end by themselves), the second one, or the end of the grace period, cuts what
//! is left. What outlives the calls (records, states, admin) ends after them. A
//! part that ends without being asked to makes the process drain and then fail.

mod database;
mod parts;
mod runner;
mod signals;
mod tasks;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::Config;
use parts::{CORE, Parts};

pub use database::{DatabaseError, Migration};
pub use parts::StartError;
pub use signals::on_signals;

/// How the service is told to end.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Take no more calls, and end when the last one is over.
    pub drain: CancellationToken,
    /// End the calls too.
    pub cut: CancellationToken,
}

/// Why the service ended in failure.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The database is there and cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The admin API's listener failed.
    #[error("the admin API failed")]
    Admin(#[source] std::io::Error),
    /// The API's listener failed.
    #[error("the API failed")]
    Api(#[source] std::io::Error),
    /// A part ended that nobody had asked to.
    #[error("{part} ended unexpectedly: {how}")]
    Unexpected {
        /// Which part.
        part: &'static str,
        /// What is known of it.
        how: String,
    },
}

/// Runs the service until it is told to stop.
///
/// # Errors
/// When it cannot start, or ends without having been asked to.
pub async fn run(config: Config, migration: Migration, stop: Stop) -> Result<(), ServeError> {
    let Parts {
        mut tasks,
        background,
        store,
    } = Parts::start(&config, migration, &stop).await?;
    let grace = Duration::from_secs(config.shutdown.grace_s);
    let deadline = async {
        stop.drain.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::pin!(deadline);

    let mut failure = None;
    loop {
        tokio::select! {
            (part, result) = tasks.next_end() => {
                let asked = part == CORE && stop.drain.is_cancelled();
                let error = match result {
                    Ok(()) if asked => break,
                    Ok(()) => ServeError::Unexpected { part, how: "it returned".to_owned() },
                    Err(error) => error,
                };
                if part == CORE {
                    failure.get_or_insert(error);
                    break;
                }
                tracing::error!(
                    part,
                    error = trunkline_domain::chain(&error),
                    "a part of the service ended; draining, to end in failure"
                );
                failure.get_or_insert(error);
                stop.drain.cancel();
            }
            () = &mut deadline, if !stop.cut.is_cancelled() => {
                tracing::warn!(grace_s = grace.as_secs(), "the grace period is over; cutting the calls");
                stop.cut.cancel();
            }
        }
    }
    background.cancel();
    tasks.end().await;
    store.close().await;
    failure.map_or(Ok(()), Err)
}
