//! Tells once that the database is away, and once that it is back.

use trunkline_store::StoreError;

/// What one task that writes now and then makes of its database.
pub(crate) struct Outage {
    waits: &'static str,
    is_over: &'static str,
    is_away: bool,
}

impl Outage {
    /// What is told when it begins, and when it ends.
    pub(crate) fn new(waits: &'static str, is_over: &'static str) -> Self {
        Self {
            waits,
            is_over,
            is_away: false,
        }
    }

    /// The task has tried.
    pub(crate) fn note(&mut self, result: Result<(), StoreError>) {
        let was_away = std::mem::replace(&mut self.is_away, result.is_err());
        match result {
            Ok(()) if was_away => tracing::info!("{}", self.is_over),
            Ok(()) => {}
            Err(error) if was_away => {
                tracing::debug!(error = error.one_line(), "the database is still away");
            }
            Err(error) => tracing::warn!(error = error.one_line(), "{}", self.waits),
        }
    }
}
