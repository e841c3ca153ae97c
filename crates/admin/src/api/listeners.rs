//! Who listens to events: so many at once, and of one token fewer, so that one that
//! connects again and again without closing does not shut the others out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use uuid::Uuid;

use super::problem::Problem;

/// How many may listen at the same time. Each costs a task and a place among the readers
/// of news.
const MAX_LISTENERS: usize = 100;

/// How many of one token: as many screens as a team has open.
const MAX_OF_TOKEN: usize = 10;

/// When who was refused may ask again: a stream ends after a quarter of an hour at most.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Those who listen, by their token. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Listeners {
    by_token: Arc<Mutex<HashMap<Uuid, usize>>>,
}

/// Who listens, until it is dropped.
pub(crate) struct Listening {
    listeners: Listeners,
    token: Uuid,
}

impl Listeners {
    /// Takes a place for who bears this token.
    pub(crate) fn begin(&self, token: Uuid) -> Result<Listening, Problem> {
        let mut by_token = self.by_token.lock();
        if by_token.values().sum::<usize>() >= MAX_LISTENERS {
            let detail = "too many listen to the events of this replica already";
            return Err(Problem::too_many(detail, RETRY_AFTER));
        }
        let own = by_token.entry(token).or_default();
        if *own >= MAX_OF_TOKEN {
            let detail = format!(
                "{MAX_OF_TOKEN} streams of events are open with this token, which is the most: \
                 close one, or use a token for each reader"
            );
            return Err(Problem::too_many(&detail, RETRY_AFTER));
        }
        *own += 1;
        Ok(Listening {
            listeners: self.clone(),
            token,
        })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut by_token = self.listeners.by_token.lock();
        if let Some(own) = by_token.get_mut(&self.token) {
            *own -= 1;
            if *own == 0 {
                by_token.remove(&self.token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_a_few_streams_and_all_together_have_a_bound() {
        let listeners = Listeners::default();
        let token = |n: usize| Uuid::from_u128(n as u128);
        let mut open: Vec<Listening> = Vec::new();
        for n in 0..MAX_LISTENERS / MAX_OF_TOKEN {
            open.extend((0..MAX_OF_TOKEN).map(|_| listeners.begin(token(n)).ok().unwrap()));
            assert!(listeners.begin(token(n)).is_err());
        }
        assert!(listeners.begin(token(999)).is_err(), "all places are taken");
        open.pop();
        assert!(listeners.begin(token(999)).is_ok());
        drop(open);
        assert!(listeners.by_token.lock().is_empty());
    }
}
