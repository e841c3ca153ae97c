//! Who connects when thousands would at once. Pure: who asks, waits, goes.
//!
//! Policy:
//! - So many attempts are under way in the process, and so many towards one
//!   host: neither we nor a LiveKit server is stormed by our start.
//! - Who waits goes in the order of asking; a host that is at its limit is passed
//!   over, and holds up nobody else.
//! - A tenant whose row was changed goes ahead of all that merely start or come
//!   back, and has [`EXTRA`] attempts that those never take: a reload does not
//!   wait for a mass start.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Attempts of changed tenants beyond each limit. People change few rows at a
/// time; a script that changes thousands is a mass start.
const EXTRA: usize = 4;

/// Why a worker connects; the first goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Somebody changed its tenant's row and waits for the effect.
    Changed,
    /// It starts with many others, or comes back.
    InTurn,
}

impl Urgency {
    fn extra(self) -> usize {
        match self {
            Self::Changed => EXTRA,
            Self::InTurn => 0,
        }
    }
}

/// A host and its port.
pub(crate) type HostName = Arc<str>;

/// One that asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(u64);

/// The queue.
#[derive(Debug)]
pub(crate) struct Queue {
    in_process: usize,
    per_host: usize,
    under_way: usize,
    hosts: HashMap<HostName, Host>,
    waiting: HashMap<Ticket, (HostName, Urgency)>,
    /// The first of each host that is below its limit.
    ready: BTreeSet<(Urgency, Ticket, HostName)>,
    last: u64,
}

#[derive(Debug, Default)]
struct Host {
    under_way: usize,
    waiting: BTreeSet<(Urgency, Ticket)>,
}

impl Queue {
    /// At most `in_process` attempts in all, `per_host` towards one host.
    pub(crate) fn new(in_process: usize, per_host: usize) -> Self {
        Self {
            in_process,
            per_host,
            under_way: 0,
            hosts: HashMap::new(),
            waiting: HashMap::new(),
            ready: BTreeSet::new(),
            last: 0,
        }
    }

    /// Asks for a turn.
    pub(crate) fn enter(&mut self, host: HostName, urgency: Urgency) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        self.waiting.insert(ticket, (Arc::clone(&host), urgency));
        self.change(&host, |host| {
            host.waiting.insert((urgency, ticket));
        });
        ticket
    }

    /// Gives up asking.
    pub(crate) fn leave(&mut self, ticket: Ticket) {
        if let Some((host, urgency)) = self.waiting.remove(&ticket) {
            self.change(&host, |host| {
                host.waiting.remove(&(urgency, ticket));
            });
        }
    }

    /// Whose turn it is now, if anybody's. To be asked until it is nobody's.
    pub(crate) fn next(&mut self) -> Option<(Ticket, HostName)> {
        let (urgency, ticket, host) = self.ready.first().cloned()?;
        if self.under_way >= self.in_process + urgency.extra() {
            return None;
        }
        self.waiting.remove(&ticket);
        self.under_way += 1;
        self.change(&host, |host| {
            host.under_way += 1;
            host.waiting.remove(&(urgency, ticket));
        });
        Some((ticket, host))
    }

    /// An attempt costs the process nothing more.
    pub(crate) fn leave_process(&mut self) {
        self.under_way -= 1;
    }

    /// An attempt costs the host nothing more.
    pub(crate) fn leave_host(&mut self, host: &HostName) {
        self.change(host, |host| host.under_way -= 1);
    }

    /// Changes what is known of a host, and keeps `ready` right.
    fn change(&mut self, name: &HostName, change: impl FnOnce(&mut Host)) {
        let host = self.hosts.entry(Arc::clone(name)).or_default();
        if let Some((urgency, ticket)) = host.first_ready(self.per_host) {
            self.ready.remove(&(urgency, ticket, Arc::clone(name)));
        }
        change(host);
        if let Some((urgency, ticket)) = host.first_ready(self.per_host) {
            self.ready.insert((urgency, ticket, Arc::clone(name)));
        } else if host.under_way == 0 && host.waiting.is_empty() {
            self.hosts.remove(name);
        }
    }
}

impl Host {
    fn first_ready(&self, per_host: usize) -> Option<(Urgency, Ticket)> {
        let (urgency, ticket) = self.waiting.first().copied()?;
        (self.under_way < per_host + urgency.extra()).then_some((urgency, ticket))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(n: u8) -> HostName {
        format!("h{n}:443").into()
    }

    /// Everybody who may go now.
    fn go(queue: &mut Queue) -> Vec<Ticket> {
        std::iter::from_fn(|| queue.next().map(|(ticket, _)| ticket)).collect()
    }

    #[test]
    fn one_host_s_crowd_does_not_hold_up_another_host() {
        let mut queue = Queue::new(4, 2);
        let crowd: Vec<_> = (0..100)
            .map(|_| queue.enter(host(1), Urgency::InTurn))
            .collect();
        let other = queue.enter(host(2), Urgency::InTurn);
        assert_eq!(go(&mut queue), [crowd[0], crowd[1], other]);
        queue.leave_process();
        queue.leave_host(&host(1));
        assert_eq!(go(&mut queue), [crowd[2]], "in the order of asking");
    }

    #[test]
    fn a_changed_tenant_goes_ahead_of_a_mass_start_even_when_all_turns_are_taken() {
        let mut queue = Queue::new(2, 2);
        for _ in 0..10_000 {
            queue.enter(host(1), Urgency::InTurn);
        }
        assert_eq!(go(&mut queue).len(), 2);
        let changed = queue.enter(host(1), Urgency::Changed);
        assert_eq!(go(&mut queue), [changed]);
        for _ in 0..10 {
            queue.enter(host(1), Urgency::Changed);
        }
        assert_eq!(go(&mut queue).len(), EXTRA - 1, "these have an end too");
    }

    #[test]
    fn who_gives_up_is_passed_over_and_nothing_is_left_of_a_host() {
        let mut queue = Queue::new(1, 1);
        let first = queue.enter(host(1), Urgency::InTurn);
        let second = queue.enter(host(1), Urgency::InTurn);
        let third = queue.enter(host(1), Urgency::InTurn);
        assert_eq!(go(&mut queue), [first]);
        queue.leave(second);
        queue.leave_process();
        queue.leave_host(&host(1));
        assert_eq!(go(&mut queue), [third]);
        queue.leave_process();
        queue.leave_host(&host(1));
        assert!(queue.hosts.is_empty() && queue.waiting.is_empty() && queue.ready.is_empty());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Enter(u8, bool),
        Leave(usize),
        Finish(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_u8..4, proptest::bool::weighted(0.2)).prop_map(|(h, c)| Step::Enter(h, c)),
            1 => (0_usize..50).prop_map(Step::Leave),
            3 => (0_usize..50).prop_map(Step::Finish),
        ]
    }

    proptest! {
        #[test]
        fn limits_hold_and_in_the_end_everybody_has_had_a_turn(
            in_process in 1_usize..5, per_host in 1_usize..4,
            steps in proptest::collection::vec(step(), 0..200),
        ) {
            let mut queue = Queue::new(in_process, per_host);
            let mut waiting: Vec<(Ticket, HostName, Urgency)> = Vec::new();
            let mut running: Vec<HostName> = Vec::new();
            // After the history, everything that runs ends, over and over.
            let ending = std::iter::repeat_n(Step::Finish(0), 400);
            for step in steps.into_iter().chain(ending) {
                match step {
                    Step::Enter(h, changed) => {
                        let urgency = if changed { Urgency::Changed } else { Urgency::InTurn };
                        waiting.push((queue.enter(host(h), urgency), host(h), urgency));
                    }
                    Step::Leave(n) if !waiting.is_empty() => {
                        let (ticket, ..) = waiting.remove(n % waiting.len());
                        queue.leave(ticket);
                    }
                    Step::Finish(n) if !running.is_empty() => {
                        let host = running.remove(n % running.len());
                        queue.leave_process();
                        queue.leave_host(&host);
                    }
                    Step::Leave(_) | Step::Finish(_) => {}
                }
                while let Some((ticket, host)) = queue.next() {
                    let at = waiting.iter().position(|(t, ..)| *t == ticket).unwrap();
                    let (_, asked, urgency) = waiting.remove(at);
                    prop_assert_eq!(&asked, &host);
                    // Nobody of the same host and no lower urgency has waited for longer.
                    let behind = |(t, h, u): &(Ticket, HostName, Urgency)| {
                        *h != host || (*u, *t) > (urgency, ticket)
                    };
                    prop_assert!(waiting.iter().all(behind));
                    running.push(host);
                }
                prop_assert!(running.len() <= in_process + EXTRA);
                for h in 0..4 {
                    let here = running.iter().filter(|r| **r == host(h)).count();
                    prop_assert!(here <= per_host + EXTRA);
                    // Nobody waits without a cause.
                    let idle = running.len() < in_process && here < per_host;
                    prop_assert!(!idle || waiting.iter().all(|(_, w, _)| *w != host(h)));
                }
            }
            prop_assert!(waiting.is_empty() && running.is_empty());
            prop_assert!(queue.hosts.is_empty() && queue.ready.is_empty());
        }
    }
}
