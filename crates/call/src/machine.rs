//! The course of one call, without I/O: inputs and the time go in, effects come
//! out. The policy:
//!
//! - The lookup and the model's socket start as soon as they can; the phone is
//!   answered (our track published) when the greeting has begun to arrive, or at
//!   the answer deadline with the best that is ready.
//! - Sound goes out from `active` on; before, the bridge would drop it.
//! - Whatever fails, the caller hears something: the tenant's default
//!   configuration instead of the backend's, the recorded apology instead of the
//!   model. Every wait for a peer has a deadline that leads there.
//! - A tenant can limit how long a call may be, from its answer. Such a call ends as
//!   one that is told to: the sentence that is being said is finished.
//! - The end has one order: what is being said is said, the job is reported, the
//!   phone side is removed (BYE), its leaving is awaited, then we leave.

mod model;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use domain::{
    CallConfig, CallOutcome, CallStatus, CallTimes, ConfigSource, SipParticipant, Tenant,
};
use trunkline_callconfig::Resolved;
use trunkline_domain as domain;
use trunkline_realtime::{Command, Event, ItemId, ResponseId};

use crate::assignment::JobStatus;
use crate::live::{CallStep, Progress};
use crate::playout::Cut;

/// How long we wait in a room for its phone side. The bridge is there before we
/// are; an outbound call's participant may come a little later.
const CALLER_WAIT: Duration = Duration::from_secs(10);
/// How long the phone side may be out of sight while our connection to the room is
/// made anew. The SDK takes 1 to 5 s; the caller hears nothing meanwhile.
const MISSING_WAIT: Duration = Duration::from_secs(20);
/// How long after answering we wait for `active`. The bridge itself waits at
/// most 1 s for the caller's first RTP.
const ACTIVE_WAIT: Duration = Duration::from_secs(3);
/// How long the line may be silent when it is the model's turn. Beyond it the
/// caller believes that the line is dead.
const REPLY_WAIT: Duration = Duration::from_secs(10);
/// How long the line may be silent after the call was answered, when the greeting
/// is late. Who has just dialled hangs up sooner than who is in a conversation.
const GREETING_WAIT: Duration = Duration::from_secs(3);
/// The same where the model has begun to speak, or has refused to: its sound comes
/// faster than it is heard, so a pause is no thinking.
const STALL_WAIT: Duration = Duration::from_secs(3);
/// How long one turn of the caller may be. People pause for half a second long
/// before; a model that hears no end by then has lost it.
const TURN_WAIT: Duration = Duration::from_secs(120);
/// Pause before the model is tried again, and how often while the phone rings.
const MODEL_RETRY_PAUSE: Duration = Duration::from_millis(300);
const MODEL_ATTEMPTS: u32 = 3;
/// How long a sentence may go on once the call is told to end.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// How long the apology may take, from the decision to its last sound: the
/// recording has 7 s, and `active` may still be awaited.
const APOLOGY_LIMIT: Duration = Duration::from_secs(15);
/// How long the phone side may take to leave after BYE (10 to 20 ms are usual).
const LEAVE_WAIT: Duration = Duration::from_secs(2);

/// Of the answer deadline, what is kept for the model and the greeting when the
/// lookup takes all the time it may.
const MODEL_SHARE: Duration = Duration::from_millis(1500);
/// What the lookup has at least.
const LEAST_LOOKUP: Duration = Duration::from_millis(500);

/// What happened.
#[derive(Debug)]
pub(crate) enum Input {
    Joined,
    JoinFailed(String),
    /// The phone side was found in the room, or found again.
    Caller(SipParticipant),
    /// Our connection to the room is made anew, and the phone side is not seen
    /// for as long as it takes.
    CallerMissing,
    /// `sip.callStatus` changed.
    Status(CallStatus),
    CallerLeft,
    /// Our connection to the room ended and will not come back.
    RoomLost(String),
    Configured(Resolved),
    ModelConnected,
    ModelUnreachable {
        reason: String,
        retry: Retry,
    },
    Model(Event),
    Published,
    PublishFailed(String),
    /// The first frame of ours went to the track.
    FirstSound,
    /// Everything that was to be said was heard.
    PlayoutDrained,
    /// The answer to [`Effect::RemoveCaller`]: LiveKit took the order, or did not.
    CallerRemoved,
    /// The answer to [`Effect::Interrupt`].
    Cut(Vec<Cut>),
    /// The call is to end: its job was terminated, or the process stops.
    Stop,
    /// An operator wants the call to end.
    HangUp,
    /// A deadline was reached.
    Tick,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    Useful,
    Useless,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Ask the backend, until this instant at most.
    Lookup {
        sip: SipParticipant,
        deadline: Instant,
    },
    /// Open a socket to this model, after a pause, dropping the present one.
    ConnectModel {
        model: String,
        pause: Duration,
    },
    ToModel(Command),
    DropModel,
    /// Publish our track: this answers the phone.
    Publish,
    /// Let sound out.
    OpenPlayout,
    Play {
        item: ItemId,
        pcm: Vec<i16>,
    },
    ItemComplete(ItemId),
    /// Stop the sound and answer with [`Input::Cut`].
    Interrupt,
    PlayApology,
    Report(JobStatus),
    /// Remove the phone side from the room: BYE, or a refusal while it rings.
    RemoveCaller {
        identity: String,
    },
    /// The call is over: leave the room, and delete it.
    Leave,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The phone rings.
    Preparing,
    /// Our track is being published, or is published; sound is not through yet.
    Answering,
    /// Sound goes both ways.
    Talking,
    /// The last words are being said.
    Closing,
    /// The phone side was removed; we wait for it to be gone.
    Parting,
    Over,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Model {
    Absent,
    Connecting(String),
    Connected(String),
    /// The configuration was sent.
    Configuring,
    Ready,
    Failed,
}

/// See the module.
pub(crate) struct CallMachine {
    started: Instant,
    phase: Phase,
    caller: Option<SipParticipant>,
    published: bool,
    room_lost: bool,
    active: bool,
    config: Option<CallConfig>,
    config_source: Option<ConfigSource>,
    fallback_reason: Option<String>,
    model: Model,
    model_attempts: u32,
    default_model: String,
    /// The response that the model is giving, until it is done.
    responding: Option<ResponseId>,
    /// The response that the caller broke off: what still comes of it is dropped.
    muted: Option<ResponseId>,
    /// Whether something is being heard, or waits to be.
    sounding: bool,
    /// Whether the model was told to answer after an answer without sound.
    asked_again: bool,
    /// Sound that came before it could be let out.
    waiting: Duration,
    /// When the sound that has come will have been heard.
    heard_by: Option<Instant>,
    outcome: Option<CallOutcome>,
    detail: Option<String>,
    times: CallTimes,
    /// Responses that were given to their end.
    replies: u32,
    caller_deadline: Option<Instant>,
    missing_deadline: Option<Instant>,
    answer_within: Duration,
    answer_deadline: Option<Instant>,
    active_deadline: Option<Instant>,
    reply_deadline: Option<Instant>,
    /// From the answer; `None`: as long as it takes.
    longest: Option<Duration>,
    longest_deadline: Option<Instant>,
    end_deadline: Option<Instant>,
    effects: VecDeque<Effect>,
}

impl CallMachine {
    /// A call whose job was assigned at `now`.
    pub(crate) fn new(now: Instant, tenant: &Tenant) -> Self {
        let default_model = tenant.default_config.model.clone();
        let mut machine = Self {
            started: now,
            phase: Phase::Preparing,
            caller: None,
            published: false,
            room_lost: false,
            active: false,
            config: None,
            config_source: None,
            fallback_reason: None,
            model: Model::Absent,
            model_attempts: 0,
            default_model: default_model.clone(),
            responding: None,
            muted: None,
            asked_again: false,
            sounding: false,
            waiting: Duration::ZERO,
            heard_by: None,
            outcome: None,
            detail: None,
            times: CallTimes::default(),
            replies: 0,
            caller_deadline: None,
            missing_deadline: None,
            answer_within: tenant.answer_deadline,
            answer_deadline: None,
            active_deadline: None,
            reply_deadline: None,
            longest: tenant.limits.max_call_duration,
            longest_deadline: None,
            end_deadline: None,
            effects: VecDeque::new(),
        };
        machine
            .effects
            .push_back(Effect::Report(JobStatus::Running));
        // The backend rarely names another model than the tenant's default, so
        // the socket is opened before its answer is there.
        machine.connect_model(default_model, Duration::ZERO);
        machine
    }

    /// The next thing to do.
    pub(crate) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Input::Tick`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        [
            self.caller_deadline,
            self.missing_deadline,
            self.answer_deadline,
            self.active_deadline,
            self.reply_deadline,
            self.longest_deadline,
            self.end_deadline,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether the caller's audio goes to the model.
    pub(crate) fn listening(&self) -> bool {
        self.phase == Phase::Talking && self.model == Model::Ready
    }

    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    pub(crate) fn handle(&mut self, now: Instant, input: Input) {
        if self.phase == Phase::Over {
            return;
        }
        match input {
            Input::Joined => {
                self.times.joined = Some(now - self.started);
                if self.caller.is_none() {
                    self.caller_deadline = Some(now + CALLER_WAIT);
                }
            }
            Input::JoinFailed(reason) => self.give_up(now, CallOutcome::JoinFailed, reason),
            Input::Caller(sip) => self.on_caller(now, sip),
            Input::Status(status) => self.on_status(now, status),
            Input::CallerMissing => self.missing_deadline = Some(now + MISSING_WAIT),
            Input::CallerLeft => self.on_caller_left(now),
            Input::RoomLost(reason) => self.on_room_lost(now, reason),
            Input::CallerRemoved => {
                if self.room_lost && self.phase == Phase::Parting {
                    self.leave(now);
                }
            }
            Input::Configured(resolved) => self.on_configured(now, resolved),
            Input::ModelConnected => self.on_model_connected(),
            Input::ModelUnreachable { reason, retry } => self.on_unreachable(now, reason, retry),
            Input::Model(event) => self.on_model(now, event),
            Input::Published => self.on_published(now),
            Input::PublishFailed(reason) => self.give_up(now, CallOutcome::RoomClosed, reason),
            Input::FirstSound => {
                self.times.first_sound.get_or_insert(now - self.started);
            }
            Input::PlayoutDrained => {
                self.sounding = false;
                if self.phase == Phase::Closing {
                    self.part(now);
                }
            }
            Input::Cut(cuts) => self.on_cut(cuts),
            Input::Stop => self.end_on_purpose(now, CallOutcome::Cut),
            Input::HangUp => self.end_on_purpose(now, CallOutcome::EndedByOperator),
            Input::Tick => self.on_tick(now),
        }
    }

    fn on_caller(&mut self, now: Instant, sip: SipParticipant) {
        if self.outcome.is_some() {
            return;
        }
        if self.caller.is_some() {
            self.missing_deadline = None;
            self.on_status(now, sip.status);
            return;
        }
        self.caller_deadline = None;
        let status = sip.status;
        self.answer_deadline = Some(now + self.answer_within);
        let lookup = self
            .answer_within
            .saturating_sub(MODEL_SHARE)
            .max(LEAST_LOOKUP);
        self.effects.push_back(Effect::Lookup {
            sip: sip.clone(),
            deadline: now + lookup,
        });
        self.caller = Some(sip);
        self.on_status(now, status);
    }

    fn on_status(&mut self, now: Instant, status: CallStatus) {
        match status {
            CallStatus::Hangup => self.finish_by_caller(now),
            // A phone side without a status is not LiveKit's bridge: it hears
            // us as soon as there is a track.
            CallStatus::Active | CallStatus::Unknown => {
                self.active = true;
                if self.phase == Phase::Answering && self.published {
                    self.talk(now);
                } else if self.phase == Phase::Closing && self.published {
                    self.open_playout(now);
                }
            }
            CallStatus::Dialing | CallStatus::Ringing | CallStatus::Automation => {}
        }
    }

    fn on_caller_left(&mut self, now: Instant) {
        self.caller = None;
        self.finish_by_caller(now);
    }

    /// The phone side hung up, or is gone.
    fn finish_by_caller(&mut self, now: Instant) {
        match self.phase {
            Phase::Preparing | Phase::Answering if self.times.active.is_none() => {
                self.set_outcome(CallOutcome::CallerGaveUp);
            }
            Phase::Preparing | Phase::Answering | Phase::Talking => {
                self.set_outcome(CallOutcome::CallerHungUp);
            }
            Phase::Closing | Phase::Parting | Phase::Over => {}
        }
        if self.phase == Phase::Parting && self.caller.is_none() {
            self.leave(now);
        } else {
            self.part(now);
        }
    }

    /// We are out of the room, but the phone side may still be in it, in silence:
    /// it is removed through the API, and nobody will tell us that it left.
    fn on_room_lost(&mut self, now: Instant, reason: String) {
        self.room_lost = true;
        if self.phase == Phase::Parting {
            self.leave(now);
        } else {
            self.give_up(now, CallOutcome::RoomClosed, reason);
        }
    }

    fn on_configured(&mut self, now: Instant, resolved: Resolved) {
        if self.config.is_some() || self.outcome.is_some() {
            return;
        }
        self.times.configured = Some(now - self.started);
        self.config_source = Some(resolved.source);
        self.fallback_reason = resolved.reason.map(|reason| reason.to_string());
        let wanted = resolved.config.model.clone();
        self.config = Some(resolved.config);
        match &self.model {
            Model::Connected(model) if *model == wanted => self.configure_model(),
            Model::Connecting(model) if *model == wanted => {}
            _ => {
                self.model_attempts = 0;
                self.connect_model(wanted, Duration::ZERO);
            }
        }
    }

    /// Takes the phone off the hook, once.
    fn answer(&mut self, now: Instant) {
        if self.phase == Phase::Preparing {
            self.phase = Phase::Answering;
            self.answer_deadline = None;
            self.active_deadline = Some(now + ACTIVE_WAIT);
            self.effects.push_back(Effect::Publish);
        }
    }

    fn on_published(&mut self, now: Instant) {
        self.published = true;
        self.times.answered = Some(now - self.started);
        if self.outcome.is_none() {
            self.longest_deadline = self.longest.map(|longest| now + longest);
        }
        match self.phase {
            Phase::Answering if self.active => self.talk(now),
            Phase::Closing if self.active => self.open_playout(now),
            Phase::Answering | Phase::Closing => self.active_deadline = Some(now + ACTIVE_WAIT),
            Phase::Preparing | Phase::Talking | Phase::Parting | Phase::Over => {}
        }
    }

    fn talk(&mut self, now: Instant) {
        self.phase = Phase::Talking;
        self.open_playout(now);
        let greets = self
            .config
            .as_ref()
            .is_some_and(|config| !config.start_message.is_empty());
        if self.sounding {
            self.expect_more(now);
        } else if greets {
            self.reply_deadline = Some(now + GREETING_WAIT);
        }
    }

    fn open_playout(&mut self, now: Instant) {
        self.active_deadline = None;
        self.times.active.get_or_insert(now - self.started);
        self.effects.push_back(Effect::OpenPlayout);
    }

    /// Ends the call after the sentence that is being said.
    fn end_on_purpose(&mut self, now: Instant, outcome: CallOutcome) {
        self.longest_deadline = None;
        if self.outcome.is_some() {
            return;
        }
        self.set_outcome(outcome);
        if self.phase == Phase::Talking && self.sounding {
            self.phase = Phase::Closing;
            self.end_deadline = Some(now + LAST_WORDS);
            self.reply_deadline = None;
        } else {
            self.part(now);
        }
    }

    fn on_tick(&mut self, now: Instant) {
        let due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if due(self.end_deadline) {
            match self.phase {
                Phase::Parting => self.leave(now),
                _ => self.part(now),
            }
        } else if due(self.caller_deadline) {
            let detail = "no participant of kind SIP came into the room".to_owned();
            self.give_up(now, CallOutcome::NoCaller, detail);
        } else if due(self.missing_deadline) {
            let detail = "the phone side was not found again after a reconnection".to_owned();
            self.give_up(now, CallOutcome::RoomClosed, detail);
        } else if due(self.longest_deadline) {
            self.end_on_purpose(now, CallOutcome::DurationLimit);
        } else if due(self.active_deadline) {
            // Better heard by nobody than silent to somebody.
            self.active_deadline = None;
            self.on_status(now, CallStatus::Active);
        } else if due(self.reply_deadline) {
            self.detail
                .get_or_insert_with(|| "the model did not speak when it was its turn".to_owned());
            self.lose_model(now);
        } else if due(self.answer_deadline) {
            if self.model == Model::Ready {
                self.answer(now);
            } else {
                self.detail
                    .get_or_insert_with(|| "the model was not ready in time".to_owned());
                self.lose_model(now);
            }
        }
    }

    fn set_outcome(&mut self, outcome: CallOutcome) {
        self.outcome.get_or_insert(outcome);
    }

    fn give_up(&mut self, now: Instant, outcome: CallOutcome, detail: String) {
        self.set_outcome(outcome);
        self.detail.get_or_insert(detail);
        self.part(now);
    }

    /// Reports the job and sends the phone side away.
    fn part(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Parting | Phase::Over) {
            return;
        }
        self.phase = Phase::Parting;
        self.caller_deadline = None;
        self.missing_deadline = None;
        self.answer_deadline = None;
        self.active_deadline = None;
        self.reply_deadline = None;
        self.longest_deadline = None;
        self.end_deadline = Some(now + LEAVE_WAIT);
        let outcome = *self.outcome.get_or_insert(CallOutcome::AgentHungUp);
        let status = if outcome.is_success() {
            JobStatus::Success
        } else {
            JobStatus::Failed(outcome.as_str().to_owned())
        };
        self.effects.push_back(Effect::Report(status));
        self.effects.push_back(Effect::DropModel);
        match &self.caller {
            Some(sip) => {
                self.effects.push_back(Effect::RemoveCaller {
                    identity: sip.identity.clone(),
                });
            }
            None => self.leave(now),
        }
    }

    fn leave(&mut self, now: Instant) {
        self.phase = Phase::Over;
        self.end_deadline = None;
        self.times.ended = Some(now - self.started);
        self.effects.push_back(Effect::Leave);
    }

    /// How far the call is.
    pub(crate) fn progress(&self) -> Progress {
        let step = match self.phase {
            Phase::Preparing if self.times.joined.is_none() => CallStep::Joining,
            Phase::Preparing => CallStep::Ringing,
            Phase::Answering => CallStep::Answering,
            Phase::Talking => CallStep::Talking,
            Phase::Closing => CallStep::Closing,
            Phase::Parting => CallStep::Parting,
            Phase::Over => CallStep::Over,
        };
        Progress {
            step,
            times: self.times,
            replies: self.replies,
        }
    }

    /// What the record says of the course of the call.
    pub(crate) fn summary(self) -> Summary {
        let model = self
            .config
            .map_or(self.default_model, |config| config.model);
        Summary {
            config_source: self.config_source,
            fallback_reason: self.fallback_reason,
            model,
            outcome: self.outcome.unwrap_or(CallOutcome::Crashed),
            detail: self.detail,
            times: self.times,
        }
    }
}

/// See [`CallMachine::summary`].
pub(crate) struct Summary {
    pub(crate) config_source: Option<ConfigSource>,
    pub(crate) fallback_reason: Option<String>,
    pub(crate) model: String,
    pub(crate) outcome: CallOutcome,
    pub(crate) detail: Option<String>,
    pub(crate) times: CallTimes,
}

#[cfg(test)]
mod tests;
