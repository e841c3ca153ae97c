//! The queue of those who would connect, with those who wait in it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use url::Url;

use crate::queue::{HostName, Queue, Ticket, Urgency};

/// Lets workers connect, so many at a time. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Turnstile {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    waiting: HashMap<Ticket, oneshot::Sender<Turn>>,
}

/// The right to connect. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Turn {
    turnstile: Turnstile,
    host: HostName,
    in_process: InProcess,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InProcess {
    Counts,
    Left,
}

impl Turnstile {
    pub(crate) fn new(in_process: usize, per_host: usize) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                queue: Queue::new(in_process, per_host),
                waiting: HashMap::new(),
            })),
        }
    }

    /// Waits for a turn. Who gives up waiting leaves the queue.
    pub(crate) async fn turn(&self, url: &Url, urgency: Urgency) -> Turn {
        let (sender, receiver) = oneshot::channel();
        let place = {
            let mut state = self.state.lock();
            let ticket = state.queue.enter(host_name(url), urgency);
            state.waiting.insert(ticket, sender);
            Place {
                turnstile: self.clone(),
                ticket,
            }
        };
        self.let_pass();
        let turn = receiver.await;
        drop(place);
        match turn {
            Ok(turn) => turn,
            // Not reached: the sender leaves the state with a turn, or by `place`.
            Err(_) => std::future::pending().await,
        }
    }

    /// Gives turns to whom they are due. A turn that nobody takes any more comes
    /// back by its drop, which must not find the state locked.
    fn let_pass(&self) {
        let mut passing = Vec::new();
        {
            let mut state = self.state.lock();
            while let Some((ticket, host)) = state.queue.next() {
                let turn = Turn {
                    turnstile: self.clone(),
                    host,
                    in_process: InProcess::Counts,
                };
                passing.push((state.waiting.remove(&ticket), turn));
            }
        }
        for (waiting, turn) in passing {
            if let Some(waiting) = waiting {
                let _ = waiting.send(turn);
            }
        }
    }
}

/// A place in the queue.
struct Place {
    turnstile: Turnstile,
    ticket: Ticket,
}

impl Drop for Place {
    fn drop(&mut self) {
        {
            let mut state = self.turnstile.state.lock();
            state.waiting.remove(&self.ticket);
            state.queue.leave(self.ticket);
        }
        self.turnstile.let_pass();
    }
}

impl Turn {
    /// The attempt still counts against its host, and no longer against the process.
    pub(crate) fn leave_process(&mut self) {
        if std::mem::replace(&mut self.in_process, InProcess::Left) == InProcess::Counts {
            self.turnstile.state.lock().queue.leave_process();
            self.turnstile.let_pass();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        {
            let mut state = self.turnstile.state.lock();
            if self.in_process == InProcess::Counts {
                state.queue.leave_process();
            }
            state.queue.leave_host(&self.host);
        }
        self.turnstile.let_pass();
    }
}

fn host_name(url: &Url) -> HostName {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{host}:{port}").into()
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn a_host_is_one_whatever_its_scheme_and_path() {
        assert_eq!(
            host_name(&url("wss://a.example/x")),
            host_name(&url("https://a.example"))
        );
        assert_ne!(
            host_name(&url("ws://a.example")),
            host_name(&url("wss://a.example"))
        );
    }

    #[tokio::test]
    async fn turns_come_back_from_who_had_one_who_never_took_it_and_who_gave_up() {
        let turnstile = Turnstile::new(1, 1);
        let a = url("wss://a.example");
        let first = turnstile.turn(&a, Urgency::InTurn).await;
        let mut second = Box::pin(turnstile.turn(&a, Urgency::InTurn));
        let mut third = Box::pin(turnstile.turn(&a, Urgency::InTurn));
        let mut fourth = pin!(turnstile.turn(&a, Urgency::InTurn));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        assert!(fourth.as_mut().now_or_never().is_none());
        // The third gives up; the second is given a turn and never takes it.
        drop(third);
        drop(first);
        drop(second);
        let last = fourth.await;
        assert_eq!(turnstile.state.lock().waiting.len(), 0);
        drop(last);
        turnstile.turn(&a, Urgency::InTurn).await;
    }

    #[tokio::test]
    async fn a_slow_attempt_holds_up_its_host_and_not_the_process() {
        let turnstile = Turnstile::new(1, 1);
        let (a, b) = (url("wss://a.example"), url("wss://b.example"));
        let mut slow = turnstile.turn(&a, Urgency::InTurn).await;
        let mut same = pin!(turnstile.turn(&a, Urgency::InTurn));
        let mut other = pin!(turnstile.turn(&b, Urgency::InTurn));
        assert!(other.as_mut().now_or_never().is_none());
        slow.leave_process();
        assert!(same.as_mut().now_or_never().is_none());
        drop(other.await);
        drop(slow);
        same.await;
    }
}
