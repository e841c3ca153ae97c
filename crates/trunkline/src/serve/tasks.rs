//! The service's tasks by name. Every exit is read, a panic included.

use std::any::Any;
use std::collections::HashMap;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use trunkline_domain::chain;

use super::ServeError;

/// How long all tasks together may take to end after they were told to. Each
/// bounds itself below it: records 5 s, refusals and states 2 s, admin 1 s.
const END_LIMIT: Duration = Duration::from_secs(10);

/// Dropping it ends the tasks.
#[derive(Default)]
pub(super) struct Tasks {
    set: JoinSet<Result<(), ServeError>>,
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), ServeError>> + Send + 'static,
    ) {
        let id = self.set.spawn(task).id();
        self.names.insert(id, name);
    }

    /// The next task that ends, and how. With none left it waits for ever.
    pub(super) async fn next_end(&mut self) -> (&'static str, Result<(), ServeError>) {
        match self.set.join_next_with_id().await {
            None => std::future::pending().await,
            Some(Ok((id, result))) => (self.name(id), result),
            Some(Err(error)) => {
                let part = self.name(error.id());
                let how = describe(error);
                (part, Err(ServeError::Unexpected { part, how }))
            }
        }
    }

    /// Waits until all have ended, and ends by force those that do not.
    pub(super) async fn end(mut self) {
        let until = Instant::now() + END_LIMIT;
        while !self.set.is_empty() {
            match tokio::time::timeout_at(until, self.next_end()).await {
                Ok((_, Ok(()))) => {}
                Ok((part, Err(error))) => tracing::error!(
                    part,
                    error = chain(&error),
                    "a part of the service failed as it ended"
                ),
                Err(_) => {
                    let parts: Vec<_> = self.names.values().collect();
                    tracing::error!(?parts, "parts of the service did not end in time");
                    return;
                }
            }
        }
    }

    fn name(&mut self, id: Id) -> &'static str {
        self.names.remove(&id).unwrap_or("a task")
    }
}

fn describe(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => format!("it panicked: {}", panic_text(&*panic)),
        Err(_) => "it was aborted".to_owned(),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_read_with_the_name_of_its_task() {
        let mut tasks = Tasks::default();
        tasks.spawn("steady", std::future::pending());
        tasks.spawn("fragile", async { panic!("no more {}", "paper") });
        let (name, result) = tasks.next_end().await;
        assert_eq!(name, "fragile");
        assert_eq!(
            result.unwrap_err().to_string(),
            "fragile ended unexpectedly: it panicked: no more paper"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_is_not_waited_for_for_ever() {
        let mut tasks = Tasks::default();
        tasks.spawn("stubborn", std::future::pending());
        tasks.end().await;
    }
}
