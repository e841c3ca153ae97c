//! One direction of a wire, without the wire: packets and the time go in, and
//! packets come out when they are due.
//!
//! Everything random comes from one seed, by a stream of its own for each
//! purpose: the packets that are lost stay the same ones when jitter is added.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use bytes::Bytes;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::loss::LossProcess;
use super::profile::{Order, Profile};

/// Packets on their way at most; more are dropped. One second of 100 Mbit/s in
/// full packets, 12 MB.
const MAX_IN_FLIGHT: usize = 8_192;

/// What a direction has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// What was given to it.
    pub offered: Tally,
    /// What came out, duplicates included.
    pub delivered: Tally,
    /// What the loss model took.
    pub lost: Tally,
    /// What was given to it during an outage.
    pub cut: Tally,
    /// What did not fit into the queue, be it the rate's or our own.
    pub overflowed: Tally,
    /// Copies that were added.
    pub duplicated: Tally,
    /// What came out after something that was offered later.
    pub overtaken: Tally,
    /// What came out and was not taken: the other end's interface is down.
    pub refused: Tally,
}

/// A number of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub packets: u64,
    /// How long they are in all, IP headers included.
    pub bytes: u64,
}

impl Tally {
    pub(super) fn add(&mut self, packet: &Bytes) {
        self.packets += 1;
        self.bytes += packet.len() as u64;
    }
}

/// A packet on its way. Ordered by when it is due, then as it was offered.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    due: Instant,
    number: u64,
    packet: Bytes,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Link {
    profile: Profile,
    loss: LossProcess,
    outage: bool,
    in_flight: BinaryHeap<Reverse<Flight>>,
    /// When the bottleneck has sent what it was given.
    busy_until: Option<Instant>,
    /// When the last packet that keeps its place is due.
    last_due: Option<Instant>,
    next_number: u64,
    last_delivered: Option<u64>,
    dice: Dice,
    pub(super) counters: Counters,
}

#[derive(Debug)]
struct Dice {
    loss: StdRng,
    jitter: StdRng,
    order: StdRng,
    duplicate: StdRng,
}

impl Dice {
    fn new(seed: u64) -> Self {
        let mut seeds = StdRng::seed_from_u64(seed);
        Self {
            loss: StdRng::from_rng(&mut seeds),
            jitter: StdRng::from_rng(&mut seeds),
            order: StdRng::from_rng(&mut seeds),
            duplicate: StdRng::from_rng(&mut seeds),
        }
    }
}

impl Link {
    pub(super) fn new(seed: u64) -> Self {
        let profile = Profile::default();
        Self {
            loss: LossProcess::new(profile.loss),
            profile,
            outage: false,
            in_flight: BinaryHeap::new(),
            busy_until: None,
            last_due: None,
            next_number: 0,
            last_delivered: None,
            dice: Dice::new(seed),
            counters: Counters::default(),
        }
    }

    /// From the next packet on. What is on its way arrives when it was to, and
    /// where order is kept, nothing overtakes it.
    pub(super) fn set(&mut self, profile: Profile) {
        self.loss = LossProcess::new(profile.loss);
        self.profile = profile;
    }

    /// An outage loses everything that is offered, and nothing that is on its way.
    pub(super) fn set_outage(&mut self, outage: bool) {
        self.outage = outage;
    }

    /// A packet comes in.
    pub(super) fn offer(&mut self, now: Instant, packet: Bytes) {
        self.counters.offered.add(&packet);
        if self.outage {
            self.counters.cut.add(&packet);
            return;
        }
        if self.loss.next(&mut self.dice.loss) {
            self.counters.lost.add(&packet);
            return;
        }
        let number = self.next_number;
        self.next_number += 1;
        if self.profile.duplicate.happens(&mut self.dice.duplicate) {
            self.counters.duplicated.add(&packet);
            self.send(now, number, packet.clone());
        }
        self.send(now, number, packet);
    }

    fn send(&mut self, now: Instant, number: u64, packet: Bytes) {
        let Some(leaves) = self.pass_bottleneck(now, packet.len()) else {
            self.counters.overflowed.add(&packet);
            return;
        };
        if self.in_flight.len() >= MAX_IN_FLIGHT {
            self.counters.overflowed.add(&packet);
            return;
        }
        let jitter = self.profile.jitter;
        let own = leaves + jitter.vary(self.profile.delay, &mut self.dice.jitter);
        let in_turn = self.last_due.map_or(own, |last| last.max(own));
        let due = match self.profile.order {
            Order::ByDelay => own,
            Order::Kept => *self.last_due.insert(in_turn),
            Order::Late { share, by } => {
                let due = *self.last_due.insert(in_turn);
                let late = share.happens(&mut self.dice.order);
                if late { due + by } else { due }
            }
        };
        self.in_flight.push(Reverse(Flight {
            due,
            number,
            packet,
        }));
    }

    /// When a packet of this size has left; `None` when the queue is full.
    fn pass_bottleneck(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let Some(rate) = self.profile.rate else {
            return Some(now);
        };
        let begins = self.busy_until.map_or(now, |busy| busy.max(now));
        if begins.duration_since(now) + rate.time_for(bytes) > rate.time_for(rate.queue_bytes) {
            return None;
        }
        Some(*self.busy_until.insert(begins + rate.time_for(bytes)))
    }

    /// When the next packet comes out.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.in_flight.peek().map(|Reverse(flight)| flight.due)
    }

    /// A packet that is due comes out.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Bytes> {
        if self.next_due()? > now {
            return None;
        }
        let Reverse(flight) = self.in_flight.pop()?;
        self.counters.delivered.add(&flight.packet);
        match self.last_delivered {
            Some(last) if last > flight.number => self.counters.overtaken.add(&flight.packet),
            _ => self.last_delivered = Some(flight.number),
        }
        Some(flight.packet)
    }

    /// A packet that came out was not taken.
    pub(super) fn refused(&mut self, packet: &Bytes) {
        self.counters.refused.add(packet);
    }
}

#[cfg(test)]
mod tests;
