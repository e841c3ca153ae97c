//! The calls that are under way in this process, for whoever watches over them.
//!
//! A call writes here what it does, and never waits for a reader. Readers see
//! numbers of the phone network whole; what they show of them is theirs to decide.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use trunkline_domain::{
    CallDirection, CallId, CallOutcome, CallTimes, PhoneNumber, SipParticipant, Tenant, TenantId,
    TenantSlug,
};

use crate::Assignment;

/// News that wait for a slow reader before it has to read everything again. A call
/// has about eight, so this is what a burst of 100 calls says, and a few kB each.
const NEWS_WAITING: usize = 1024;

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStep {
    /// We are on our way into the room.
    Joining,
    /// We are in the room, and the phone rings.
    Ringing,
    /// The phone is being answered; no sound is through yet.
    Answering,
    /// Sound goes both ways.
    Talking,
    /// The last words are being said.
    Closing,
    /// The call is being passed on.
    Transferring,
    /// The phone side was sent away, and its leaving is awaited.
    Parting,
    /// It is over, and what it held is being given back.
    Over,
}

impl CallStep {
    /// For answers and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Ringing => "ringing",
            Self::Answering => "answering",
            Self::Talking => "talking",
            Self::Closing => "closing",
            Self::Transferring => "transferring",
            Self::Parting => "parting",
            Self::Over => "over",
        }
    }
}

/// What a call's machine says of its course.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How far the call is.
    pub step: CallStep,
    /// The steps that were reached.
    pub times: CallTimes,
    /// How often the agent has spoken to the end.
    pub replies: u32,
}

/// A call under way.
#[derive(Debug, Clone)]
pub struct LiveCall {
    /// Identity.
    pub id: CallId,
    /// Whose call.
    pub tenant_id: TenantId,
    /// The tenant's name.
    pub tenant: TenantSlug,
    /// LiveKit's id of the job.
    pub job_id: String,
    /// The room's name. It can hold a phone number.
    pub room: String,
    /// Who called whom. `None` until the phone side is seen.
    pub direction: Option<CallDirection>,
    /// The caller's number.
    pub caller: Option<PhoneNumber>,
    /// The called number.
    pub called: Option<PhoneNumber>,
    /// When the job was assigned.
    pub started_at: DateTime<Utc>,
    /// How far it is.
    pub step: CallStep,
    /// Since when.
    pub since: DateTime<Utc>,
    /// The steps that were reached, from `started_at`.
    pub times: CallTimes,
    /// How often the agent has spoken to the end, its greeting included.
    pub replies: u32,
}

/// Something happened to a call.
#[derive(Debug, Clone)]
pub enum CallNews {
    /// It began.
    Started(LiveCall),
    /// It came a step further, its phone side was seen, or the agent has spoken.
    Changed(LiveCall),
    /// It is over. The record follows.
    Ended(LiveCall, CallOutcome),
}

/// The calls under way. Cheap to clone.
#[derive(Clone)]
pub struct LiveCalls {
    inner: Arc<Inner>,
}

struct Inner {
    calls: Mutex<BTreeMap<CallId, Entry>>,
    news: broadcast::Sender<CallNews>,
}

struct Entry {
    call: LiveCall,
    hang_up: CancellationToken,
}

impl Default for LiveCalls {
    fn default() -> Self {
        Self {
            inner: Arc::new(Inner {
                calls: Mutex::new(BTreeMap::new()),
                news: broadcast::Sender::new(NEWS_WAITING),
            }),
        }
    }
}

impl LiveCalls {
    /// All of them, the first to start first.
    pub fn all(&self) -> Vec<LiveCall> {
        let calls = self.inner.calls.lock();
        calls.values().map(|entry| entry.call.clone()).collect()
    }

    /// One of them.
    pub fn get(&self, id: CallId) -> Option<LiveCall> {
        let calls = self.inner.calls.lock();
        calls.get(&id).map(|entry| entry.call.clone())
    }

    /// Tells a call to end as an operator wants it: what is being said is said,
    /// then the phone side is hung up on. `None`: it is not under way here.
    pub fn hang_up(&self, id: CallId) -> Option<LiveCall> {
        let calls = self.inner.calls.lock();
        let entry = calls.get(&id)?;
        entry.hang_up.cancel();
        Some(entry.call.clone())
    }

    /// What happens from now on. Who reads too slowly is told how much was missed.
    pub fn news(&self) -> broadcast::Receiver<CallNews> {
        self.inner.news.subscribe()
    }

    /// Enters a call, until what is returned is dropped.
    pub fn enter(
        &self,
        tenant: &Tenant,
        assignment: &Assignment,
        started_at: DateTime<Utc>,
    ) -> Entered {
        let call = LiveCall {
            id: assignment.call_id,
            tenant_id: tenant.id,
            tenant: tenant.slug.clone(),
            job_id: assignment.job_id.clone(),
            room: assignment.room.clone(),
            direction: None,
            caller: None,
            called: None,
            started_at,
            step: CallStep::Joining,
            since: started_at,
            times: CallTimes::default(),
            replies: 0,
        };
        let hang_up = CancellationToken::new();
        let entry = Entry {
            call: call.clone(),
            hang_up: hang_up.clone(),
        };
        self.inner.calls.lock().insert(call.id, entry);
        self.tell(|| CallNews::Started(call));
        Entered {
            calls: self.clone(),
            id: assignment.call_id,
            hang_up,
            last: None,
            outcome: CallOutcome::Crashed,
        }
    }

    fn change(&self, id: CallId, change: impl FnOnce(&mut LiveCall)) {
        let mut calls = self.inner.calls.lock();
        if let Some(entry) = calls.get_mut(&id) {
            change(&mut entry.call);
            self.tell(|| CallNews::Changed(entry.call.clone()));
        }
    }

    /// Told under the lock where it can be, so that a call's news are in order.
    fn tell(&self, news: impl FnOnce() -> CallNews) {
        if self.inner.news.receiver_count() > 0 {
            // Without a reader there is nobody to tell.
            let _ = self.inner.news.send(news());
        }
    }
}

/// A call's place among the live ones. Dropped without a word, the call crashed.
pub struct Entered {
    calls: LiveCalls,
    id: CallId,
    hang_up: CancellationToken,
    last: Option<Progress>,
    outcome: CallOutcome,
}

impl Entered {
    /// Cancelled when an operator wants the call to end.
    pub fn hang_up(&self) -> &CancellationToken {
        &self.hang_up
    }

    /// The phone side was seen.
    pub fn seen(&self, sip: &SipParticipant) {
        self.calls.change(self.id, |call| {
            call.direction = Some(sip.direction);
            call.caller = sip.caller.clone();
            call.called = sip.called.clone();
        });
    }

    /// Notes how far the call is. Called after each of its inputs, so it does
    /// nothing where nothing changed.
    pub fn progress(&mut self, progress: Progress) {
        if self.last == Some(progress) {
            return;
        }
        self.last = Some(progress);
        self.calls.change(self.id, |call| {
            if call.step != progress.step {
                call.step = progress.step;
                call.since = Utc::now();
            }
            call.times = progress.times;
            call.replies = progress.replies;
        });
    }

    /// The call is over.
    pub fn ended(mut self, outcome: CallOutcome) {
        self.outcome = outcome;
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let entry = self.calls.inner.calls.lock().remove(&self.id);
        if let Some(entry) = entry {
            self.calls
                .tell(|| CallNews::Ended(entry.call, self.outcome));
        }
    }
}

#[cfg(test)]
mod tests {
    use trunkline_domain::TenantFields;

    use super::*;

    fn tenant() -> Tenant {
        Tenant::try_from(TenantFields::new(
            TenantId(uuid::Uuid::nil()),
            "acme",
            "wss://acme.example",
            "key",
            "secret".into(),
        ))
        .unwrap()
    }

    fn assignment() -> Assignment {
        Assignment {
            call_id: CallId::generate(),
            job_id: "AJ_1".to_owned(),
            room: "room".to_owned(),
            token: "token".into(),
            url: "wss://acme.example".parse().unwrap(),
        }
    }

    fn progress(step: CallStep) -> Progress {
        Progress {
            step,
            times: CallTimes::default(),
            replies: 0,
        }
    }

    #[test]
    fn a_call_is_live_from_its_entry_to_its_end_and_says_each_step_once() {
        let calls = LiveCalls::default();
        let mut news = calls.news();
        let assignment = assignment();
        let mut entered = calls.enter(&tenant(), &assignment, Utc::now());
        entered.progress(progress(CallStep::Ringing));
        entered.progress(progress(CallStep::Ringing));
        assert_eq!(
            calls.get(assignment.call_id).unwrap().step,
            CallStep::Ringing
        );
        entered.ended(CallOutcome::CallerHungUp);
        assert!(calls.all().is_empty());
        assert!(matches!(news.try_recv(), Ok(CallNews::Started(_))));
        assert!(
            matches!(news.try_recv(), Ok(CallNews::Changed(call)) if call.step == CallStep::Ringing)
        );
        assert!(matches!(
            news.try_recv(),
            Ok(CallNews::Ended(_, CallOutcome::CallerHungUp))
        ));
        assert!(news.try_recv().is_err());
    }

    #[test]
    fn what_is_dropped_without_a_word_has_crashed() {
        let calls = LiveCalls::default();
        let mut news = calls.news();
        drop(calls.enter(&tenant(), &assignment(), Utc::now()));
        news.try_recv().unwrap();
        assert!(matches!(
            news.try_recv(),
            Ok(CallNews::Ended(_, CallOutcome::Crashed))
        ));
    }

    #[test]
    fn only_a_live_call_can_be_hung_up() {
        let calls = LiveCalls::default();
        let assignment = assignment();
        assert!(calls.hang_up(assignment.call_id).is_none());
        let entered = calls.enter(&tenant(), &assignment, Utc::now());
        assert!(!entered.hang_up().is_cancelled());
        assert!(calls.hang_up(assignment.call_id).is_some());
        assert!(entered.hang_up().is_cancelled());
    }
}
