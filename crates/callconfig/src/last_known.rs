//! The last answers that calls were run with, by tenant and called number.
//!
//! Policy: what the backend said of a number yesterday is nearer to what it would say
//! today than the tenant's default is, up to an age. An answer counts for the URL that
//! gave it and no other. Memory is bounded for each tenant and altogether; the oldest
//! answers go first, and of all tenants those of the one that has the most.
//!
//! What is here is written to the database, and read from it, by others, in their own
//! time ([`LastKnown::unwritten`], [`LastKnown::learn`]): no call waits for either.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use trunkline_domain::{BackendMark, KnownAnswer, MAX_CONFIG_BYTES, PhoneNumber, TenantId};
use url::Url;

/// Numbers of one tenant. A company with more has its numbers answered alike.
const MAX_TENANT_ANSWERS: usize = 500;
/// Answers of one tenant, in bytes: 16 of the largest, or 500 of 8 kB, which a usual
/// prompt does not reach.
const MAX_TENANT_BYTES: usize = 16 * MAX_CONFIG_BYTES;
/// Answers of all tenants, in bytes: a thousand tenants with 64 kB each.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// What an answer costs beside its text, in bytes: its number, its places in the tables.
const ANSWER_COST: usize = 256;
/// An answer that does not change is written again when what is written is older by this:
/// little of the day that it counts, and one write instead of one for each call.
const REFRESH: TimeDelta = TimeDelta::minutes(10);
/// Answers that change with each caller are written no more often than this.
const REWRITE: TimeDelta = TimeDelta::minutes(1);

/// Whether to write now what has time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Haste {
    /// What was written a moment ago has time.
    Paced,
    /// The process ends: everything.
    All,
}

/// The memory of answers. Cheap to clone; never blocks for long.
#[derive(Debug, Clone)]
pub struct LastKnown {
    /// Zero: nothing is kept.
    max_age: TimeDelta,
    answers: Arc<Mutex<Answers>>,
}

impl LastKnown {
    pub(crate) fn new(max_age: Duration) -> Self {
        Self {
            max_age: TimeDelta::from_std(max_age).unwrap_or(TimeDelta::MAX),
            answers: Arc::default(),
        }
    }

    /// How old an answer may be. `None`: none is kept at all.
    pub fn max_age(&self) -> Option<TimeDelta> {
        (self.max_age > TimeDelta::zero()).then_some(self.max_age)
    }

    /// A call is run with this answer.
    pub(crate) fn remember(&self, answer: KnownAnswer) {
        if self.max_age().is_some() {
            self.answers.lock().remember(answer);
        }
    }

    /// The answer for a number, if this backend gave one that is not too old.
    pub(crate) fn find(
        &self,
        tenant: TenantId,
        called: Option<&PhoneNumber>,
        backend: BackendMark,
        now: DateTime<Utc>,
    ) -> Option<(Arc<str>, DateTime<Utc>)> {
        let answers = self.answers.lock();
        let held = answers.of(tenant)?.get(&called.cloned())?;
        let is_usable =
            held.backend == backend && now.signed_duration_since(held.fetched_at) < self.max_age;
        is_usable.then(|| (Arc::clone(&held.answer), held.fetched_at))
    }

    /// What the database does not have, at most so many and of so many bytes together, or
    /// one that is larger.
    pub fn unwritten(
        &self,
        now: DateTime<Utc>,
        haste: Haste,
        most: usize,
        bytes: usize,
    ) -> Vec<KnownAnswer> {
        self.answers.lock().unwritten(now, haste, most, bytes)
    }

    /// The database has these.
    pub fn wrote(&self, written: &[KnownAnswer], now: DateTime<Utc>) {
        self.answers.lock().wrote(written, now);
    }

    /// Takes over what the database has, where it is newer than what is known.
    pub fn learn(&self, answers: Vec<KnownAnswer>) {
        let mut known = self.answers.lock();
        for answer in answers {
            known.learn(answer);
        }
    }

    /// Forgets what is too old to be used.
    pub fn forget_old(&self, now: DateTime<Utc>) {
        let oldest = now.checked_sub_signed(self.max_age);
        self.answers
            .lock()
            .retain(|_, held| oldest.is_none_or(|oldest| held.fetched_at > oldest));
    }

    /// Forgets the answers of tenants that are not.
    pub fn forget_tenants(&self, is_gone: impl Fn(TenantId) -> bool) {
        self.answers.lock().retain(|tenant, _| !is_gone(tenant));
    }

    /// How many answers are known.
    pub fn count(&self) -> usize {
        let answers = self.answers.lock();
        answers
            .tenants
            .values()
            .map(|held| held.answers.len())
            .sum()
    }
}

/// What tells this URL from another.
pub(crate) fn mark(url: &Url) -> BackendMark {
    let mut mark = BackendMark([0; 32]);
    mark.0
        .copy_from_slice(digest(&SHA256, url.as_str().as_bytes()).as_ref());
    mark
}

#[derive(Debug, Default)]
struct Answers {
    tenants: HashMap<TenantId, OfTenant>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct OfTenant {
    answers: HashMap<Option<PhoneNumber>, Held>,
    bytes: usize,
}

#[derive(Debug)]
struct Held {
    backend: BackendMark,
    answer: Arc<str>,
    fetched_at: DateTime<Utc>,
    /// `fetched_at` of what the database has, and when it was written.
    stored: Option<Stored>,
    is_dirty: bool,
}

#[derive(Debug, Clone, Copy)]
struct Stored {
    fetched_at: DateTime<Utc>,
    at: DateTime<Utc>,
}

impl Held {
    fn bytes(&self) -> usize {
        self.answer.len() + ANSWER_COST
    }

    fn is_due(&self, now: DateTime<Utc>, haste: Haste) -> bool {
        let has_time = |stored: Stored| now.signed_duration_since(stored.at) < REWRITE;
        self.is_dirty && (haste == Haste::All || !self.stored.is_some_and(has_time))
    }
}

impl Answers {
    fn of(&self, tenant: TenantId) -> Option<&HashMap<Option<PhoneNumber>, Held>> {
        self.tenants.get(&tenant).map(|held| &held.answers)
    }

    fn remember(&mut self, new: KnownAnswer) {
        let tenant = new.tenant_id;
        // The URL has changed: what another backend said counts no more.
        self.retain(|of, held| of != tenant || held.backend == new.backend);
        let known = self.of(tenant).and_then(|known| known.get(&new.called));
        let stored = known.and_then(|known| known.stored);
        let same = known.is_some_and(|known| *known.answer == *new.answer);
        let was_dirty = known.is_some_and(|known| known.is_dirty);
        let is_stored = stored.is_some_and(|stored| {
            new.fetched_at.signed_duration_since(stored.fetched_at) < REFRESH
        });
        self.insert(
            tenant,
            new.called,
            Held {
                backend: new.backend,
                answer: new.answer.into(),
                fetched_at: new.fetched_at,
                stored,
                is_dirty: was_dirty || !(same && is_stored),
            },
        );
    }

    fn learn(&mut self, read: KnownAnswer) {
        let known = self
            .of(read.tenant_id)
            .and_then(|known| known.get(&read.called));
        if known.is_some_and(|known| known.fetched_at >= read.fetched_at) {
            return;
        }
        let stored = Stored {
            fetched_at: read.fetched_at,
            at: read.fetched_at,
        };
        self.insert(
            read.tenant_id,
            read.called,
            Held {
                backend: read.backend,
                answer: read.answer.into(),
                fetched_at: read.fetched_at,
                stored: Some(stored),
                is_dirty: false,
            },
        );
    }

    fn insert(&mut self, tenant: TenantId, called: Option<PhoneNumber>, held: Held) {
        let of = self.tenants.entry(tenant).or_default();
        let added = held.bytes();
        let replaced = of.answers.insert(called, held);
        let freed = replaced.map_or(0, |old| old.bytes());
        of.bytes = of.bytes + added - freed;
        self.bytes = self.bytes + added - freed;
        while self.is_over(tenant) {
            self.drop_oldest(tenant);
        }
        while self.bytes > MAX_BYTES {
            let largest = self.tenants.iter().max_by_key(|(_, of)| of.bytes);
            let Some((&largest, _)) = largest else { break };
            self.drop_oldest(largest);
        }
    }

    fn is_over(&self, tenant: TenantId) -> bool {
        self.tenants
            .get(&tenant)
            .is_some_and(|of| of.answers.len() > MAX_TENANT_ANSWERS || of.bytes > MAX_TENANT_BYTES)
    }

    fn drop_oldest(&mut self, tenant: TenantId) {
        let Some(of) = self.tenants.get_mut(&tenant) else {
            return;
        };
        let oldest = of.answers.iter().min_by_key(|(_, held)| held.fetched_at);
        let oldest = oldest.map(|(called, _)| called.clone());
        if let Some(held) = oldest.and_then(|called| of.answers.remove(&called)) {
            of.bytes -= held.bytes();
            self.bytes -= held.bytes();
        }
        if of.answers.is_empty() {
            self.tenants.remove(&tenant);
        }
    }

    fn retain(&mut self, keep: impl Fn(TenantId, &Held) -> bool) {
        let mut freed = 0;
        self.tenants.retain(|tenant, of| {
            let before = of.bytes;
            of.answers.retain(|_, held| {
                let kept = keep(*tenant, held);
                if !kept {
                    of.bytes -= held.bytes();
                }
                kept
            });
            freed += before - of.bytes;
            !of.answers.is_empty()
        });
        self.bytes -= freed;
    }

    fn unwritten(
        &self,
        now: DateTime<Utc>,
        haste: Haste,
        most: usize,
        bytes: usize,
    ) -> Vec<KnownAnswer> {
        let mut due = Vec::new();
        let mut taken = 0;
        for (tenant, of) in &self.tenants {
            for (called, held) in &of.answers {
                if !held.is_due(now, haste) {
                    continue;
                }
                taken += held.bytes();
                if due.len() >= most || (taken > bytes && !due.is_empty()) {
                    return due;
                }
                due.push(KnownAnswer {
                    tenant_id: *tenant,
                    called: called.clone(),
                    backend: held.backend,
                    answer: held.answer.to_string(),
                    fetched_at: held.fetched_at,
                });
            }
        }
        due
    }

    fn wrote(&mut self, written: &[KnownAnswer], now: DateTime<Utc>) {
        for answer in written {
            let of = self.tenants.get_mut(&answer.tenant_id);
            if let Some(held) = of.and_then(|of| of.answers.get_mut(&answer.called)) {
                // What came meanwhile is not written; what is the same but newer has time.
                held.is_dirty = *held.answer != *answer.answer || held.backend != answer.backend;
                held.stored = Some(Stored {
                    fetched_at: answer.fetched_at,
                    at: now,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + second, 0).unwrap()
    }

    fn number(n: usize) -> Option<PhoneNumber> {
        PhoneNumber::new(&format!("+1555{n:07}"))
    }

    fn tenant(n: usize) -> TenantId {
        TenantId(Uuid::from_u128(n as u128))
    }

    fn backend(n: u8) -> BackendMark {
        BackendMark([n; 32])
    }

    fn answer(of: usize, called: usize, text: &str, second: i64) -> KnownAnswer {
        KnownAnswer {
            tenant_id: tenant(of),
            called: number(called),
            backend: backend(1),
            answer: text.to_owned(),
            fetched_at: at(second),
        }
    }

    fn found(known: &LastKnown, called: usize, second: i64) -> Option<String> {
        let found = known.find(tenant(1), number(called).as_ref(), backend(1), at(second));
        found.map(|(text, _)| text.to_string())
    }

    fn due(known: &LastKnown, second: i64) -> Vec<String> {
        let due = known.unwritten(at(second), Haste::Paced, 100, usize::MAX);
        known.wrote(&due, at(second));
        due.into_iter().map(|answer| answer.answer).collect()
    }

    #[test]
    fn an_answer_counts_for_its_number_its_backend_and_its_age() {
        let known = LastKnown::new(DAY);
        known.remember(answer(1, 1, "one", 0));
        assert_eq!(found(&known, 1, 0).as_deref(), Some("one"));
        assert_eq!(found(&known, 2, 0), None);
        let other = known.find(tenant(1), number(1).as_ref(), backend(2), at(0));
        assert_eq!(other, None);
        assert_eq!(known.find(tenant(1), None, backend(1), at(0)), None);
        assert!(found(&known, 1, 86_399).is_some());
        assert_eq!(found(&known, 1, 86_400), None);
        known.forget_old(at(86_400));
        assert_eq!(known.count(), 0);
    }

    #[test]
    fn nothing_is_kept_where_nothing_is_to_be() {
        let known = LastKnown::new(Duration::ZERO);
        known.remember(answer(1, 1, "one", 0));
        assert_eq!((known.count(), known.max_age()), (0, None));
    }

    #[test]
    fn another_backend_of_a_tenant_ends_the_answers_of_the_first() {
        let known = LastKnown::new(DAY);
        for called in 1..=3 {
            known.remember(answer(1, called, "one", 0));
        }
        known.remember(answer(2, 1, "two", 0));
        known.remember(KnownAnswer {
            backend: backend(2),
            ..answer(1, 1, "new", 1)
        });
        assert_eq!(known.count(), 2);
        assert_eq!(found(&known, 2, 1), None);
    }

    #[test]
    fn what_does_not_change_is_seldom_written_and_what_changes_not_with_every_call() {
        let known = LastKnown::new(DAY);
        known.remember(answer(1, 1, "same", 0));
        assert_eq!(due(&known, 0), ["same"]);
        known.remember(answer(1, 1, "same", 300));
        assert!(due(&known, 300).is_empty());
        known.remember(answer(1, 1, "same", 600));
        assert_eq!(due(&known, 600), ["same"]);
        known.remember(answer(1, 1, "other", 601));
        assert!(due(&known, 659).is_empty(), "it has time");
        assert_eq!(
            known.unwritten(at(602), Haste::All, 9, usize::MAX).len(),
            1,
            "unless the process ends"
        );
        assert_eq!(due(&known, 660), ["other"]);
    }

    #[test]
    fn what_comes_while_it_is_written_is_written_next() {
        let known = LastKnown::new(DAY);
        known.remember(answer(1, 1, "one", 0));
        let first = known.unwritten(at(0), Haste::Paced, 9, usize::MAX);
        known.remember(answer(1, 1, "two", 1));
        known.wrote(&first, at(2));
        assert_eq!(due(&known, 62), ["two"]);
    }

    #[test]
    fn what_the_database_has_is_taken_where_it_is_newer_and_not_written_again() {
        let known = LastKnown::new(DAY);
        known.remember(answer(1, 1, "ours", 10));
        known.learn(vec![answer(1, 1, "older", 9), answer(1, 2, "theirs", 9)]);
        assert_eq!(found(&known, 1, 10).as_deref(), Some("ours"));
        assert_eq!(found(&known, 2, 10).as_deref(), Some("theirs"));
        assert_eq!(due(&known, 10), ["ours"]);
        known.learn(vec![answer(1, 1, "newer", 11)]);
        assert_eq!(found(&known, 1, 11).as_deref(), Some("newer"));
    }

    #[test]
    fn one_chunk_is_bounded_in_number_and_bytes() {
        let known = LastKnown::new(DAY);
        for called in 0..10 {
            known.remember(answer(1, called, &"x".repeat(1_000), 0));
        }
        let due = |most, bytes| known.unwritten(at(0), Haste::Paced, most, bytes).len();
        assert_eq!(due(4, usize::MAX), 4);
        assert_eq!(due(9, 3 * (1_000 + ANSWER_COST)), 3);
        assert_eq!(due(9, 1), 1, "one is always written");
    }

    #[test]
    fn answers_of_removed_tenants_are_forgotten() {
        let known = LastKnown::new(DAY);
        known.remember(answer(1, 1, "one", 0));
        known.remember(answer(2, 1, "two", 0));
        known.forget_tenants(|id| id == tenant(1));
        assert_eq!((known.count(), found(&known, 1, 0)), (1, None));
    }

    #[test]
    fn a_tenant_with_many_numbers_drops_its_own_oldest() {
        let known = LastKnown::new(DAY);
        known.remember(answer(2, 1, "neighbour", -1));
        for called in 0..=MAX_TENANT_ANSWERS {
            known.remember(answer(1, called, "x", called as i64));
        }
        assert_eq!(known.count(), MAX_TENANT_ANSWERS + 1);
        assert_eq!(found(&known, 0, 0), None);
        assert!(found(&known, 1, 1).is_some());
    }

    #[test]
    fn all_tenants_together_are_bounded_and_the_largest_pays() {
        let known = LastKnown::new(DAY);
        known.remember(answer(0, 1, "small", 0));
        let large = "x".repeat(MAX_CONFIG_BYTES - ANSWER_COST);
        for n in 0..MAX_BYTES / MAX_CONFIG_BYTES + 20 {
            known.remember(answer(1 + n % 32, n, &large, n as i64));
        }
        let answers = known.answers.lock();
        assert!(answers.bytes <= MAX_BYTES);
        assert!(answers.tenants.contains_key(&tenant(0)));
    }

    proptest! {
        #[test]
        fn the_count_of_bytes_is_right_whatever_happens(
            steps in prop::collection::vec((0..3usize, 0..4usize, 0..600usize, 0..5u8), 1..200)
        ) {
            let known = LastKnown::new(DAY);
            for (n, (of, called, length, what)) in steps.into_iter().enumerate() {
                let answer = KnownAnswer {
                    backend: backend(what % 2),
                    ..answer(of, called, &"x".repeat(length), n as i64)
                };
                match what {
                    0 | 1 => known.remember(answer),
                    2 => known.learn(vec![answer]),
                    3 => known.forget_old(at(n as i64 + 86_400 - 5)),
                    _ => known.forget_tenants(|id| id == tenant(of)),
                }
                let answers = known.answers.lock();
                let mut all = 0;
                for of in answers.tenants.values() {
                    let bytes: usize = of.answers.values().map(Held::bytes).sum();
                    prop_assert_eq!(of.bytes, bytes);
                    prop_assert!(!of.answers.is_empty());
                    all += bytes;
                }
                prop_assert_eq!(answers.bytes, all);
            }
        }
    }
}
