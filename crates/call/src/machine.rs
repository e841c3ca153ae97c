//! The course of one call, without I/O: inputs and the time go in, effects come
//! out. The policy:
//!
//! - The lookup and the model's socket start as soon as they can; the phone is
//!   answered (our track published) when the greeting has begun to arrive, or at
//!   the answer deadline with the best that is ready.
//! - Sound goes out from `active` on; before, the bridge would drop it.
//! - Whatever fails, the caller hears something: the tenant's default
//!   configuration instead of the backend's, a new session or a second model instead
//!   of one that is lost, the recorded apology instead of any. Every wait for a peer
//!   has a deadline that leads there.
//! - A caller who says nothing is asked, then said goodbye to; so is a machine.
//! - A call can be limited in length. Such a call ends as one that is told to: the
//!   sentence that is being said is finished.
//! - The end has one order: what is being said is said, the job is reported, the
//!   phone side is removed (BYE), its leaving is awaited, then we leave.

mod answering;
mod ending;
mod interruption;
mod io;
mod keys;
mod model;
mod recovery;
mod silence;
mod timers;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use domain::{
    CallConfig, CallOutcome, CallTimes, ConfigSource, SecondModel, SipParticipant, Tenant,
    TransferTarget,
};
use trunkline_domain as domain;
use trunkline_realtime::{ItemId, ResponseId};

use crate::conversation::Conversation;
use crate::live::{CallStep, Progress};
use crate::recording::MAX_APOLOGY_SECONDS;

pub(crate) use io::{Ear, Effect, Input, Provider, Retry};

use interruption::Interruption;
use timers::{Timer, Timers};

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
/// longest recording of ours has 10 s, and `active` may still be awaited.
const APOLOGY_LIMIT: Duration = Duration::from_secs(20);
/// The same with a recording of the tenant's own.
const OWN_APOLOGY_LIMIT: Duration = Duration::from_secs(MAX_APOLOGY_SECONDS as u64 + 10);
/// How long the phone side may take to leave after BYE (10 to 20 ms are usual).
const LEAVE_WAIT: Duration = Duration::from_secs(2);

/// How long a call that is passed on may ring at the other end.
const TRANSFER_WAIT: Duration = Duration::from_secs(45);
/// The longest recording that is played in an agent's place.
const RECORDING_LIMIT: Duration = Duration::from_secs(5 * 60);

/// Of the answer deadline, what is kept for the model and the greeting when the
/// lookup takes all the time it may.
const MODEL_SHARE: Duration = Duration::from_millis(1500);
/// What the lookup has at least.
const LEAST_LOOKUP: Duration = Duration::from_millis(500);

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
    /// The call is being passed on.
    Transferring,
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

/// What becomes of the call once it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Plan {
    /// The agent talks with the caller.
    Talk,
    /// It is passed on.
    Transfer(TransferTarget),
    /// A recording is played.
    Play,
}

/// See the module.
pub(crate) struct CallMachine {
    started: Instant,
    phase: Phase,
    caller: Option<SipParticipant>,
    published: bool,
    room_lost: bool,
    active: bool,
    plan: Plan,
    config: Option<CallConfig>,
    config_source: Option<ConfigSource>,
    fallback_reason: Option<String>,
    model: Model,
    provider: Provider,
    second: Option<SecondModel>,
    /// Attempts to connect to the present provider since its last session.
    model_attempts: u32,
    default_model: String,
    /// When the present session was ready.
    ready_at: Option<Instant>,
    /// Sessions that were lost in mid-call, of late.
    losses: u32,
    /// Whether the model is to speak as soon as there is one again.
    owes_words: bool,
    /// The response that the model is giving, until it is done.
    responding: Option<ResponseId>,
    /// The response that the caller broke off: what still comes of it is dropped.
    muted: Option<ResponseId>,
    /// The item whose sound has not all come.
    open_item: Option<ItemId>,
    /// Whether something is being heard, or waits to be.
    sounding: bool,
    /// Whether sound of a greeting has come, or no greeting is wanted.
    greeted: bool,
    /// Whether the greeting is still being heard.
    greeting: bool,
    /// Whether the model was told to answer after an answer without sound.
    asked_again: bool,
    /// Responses that failed one after the other.
    failed_responses: u32,
    interruption: Option<Interruption>,
    /// Until then, an answer to no words at all is refused as it begins.
    unwanted_until: Option<Instant>,
    caller_speaks: bool,
    conversation: Conversation,
    /// Whether what the caller says is written down.
    writes_down: bool,
    /// How often the caller was asked whether anybody is there.
    silence_prompts: u32,
    /// Turns of the caller's without a word, one after the other.
    wordless_turns: u32,
    /// Whether the agent is saying goodbye of its own accord.
    farewell: bool,
    /// Keys that were pressed and not yet told.
    keys: String,
    /// Sound that came before it could be let out.
    waiting: Duration,
    /// When the sound that has come will have been heard.
    heard_by: Option<Instant>,
    apology_limit: Duration,
    /// To whom the call goes after the apology.
    transfer_to: Option<TransferTarget>,
    outcome: Option<CallOutcome>,
    detail: Option<String>,
    times: CallTimes,
    /// Responses that were given to their end.
    replies: u32,
    answer_within: Duration,
    /// From the answer; `None`: as long as it takes.
    longest: Option<Duration>,
    timers: Timers,
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
            plan: Plan::Talk,
            config: None,
            config_source: None,
            fallback_reason: None,
            model: Model::Absent,
            provider: Provider::First,
            second: tenant.fallback.second_model.clone(),
            model_attempts: 0,
            default_model: default_model.clone(),
            ready_at: None,
            losses: 0,
            owes_words: false,
            responding: None,
            muted: None,
            open_item: None,
            sounding: false,
            greeted: false,
            greeting: false,
            asked_again: false,
            failed_responses: 0,
            interruption: None,
            unwanted_until: None,
            caller_speaks: false,
            conversation: Conversation::default(),
            writes_down: false,
            silence_prompts: 0,
            wordless_turns: 0,
            farewell: false,
            keys: String::new(),
            waiting: Duration::ZERO,
            heard_by: None,
            apology_limit: match tenant.fallback.apology {
                Some(_) => OWN_APOLOGY_LIMIT,
                None => APOLOGY_LIMIT,
            },
            transfer_to: tenant.fallback.transfer_to.clone(),
            outcome: None,
            detail: None,
            times: CallTimes::default(),
            replies: 0,
            answer_within: tenant.answer_deadline,
            longest: tenant.limits.max_call_duration,
            timers: Timers::default(),
            effects: VecDeque::new(),
        };
        machine.report_running();
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
        self.timers.next()
    }

    /// What becomes of the caller's audio.
    pub(crate) fn ear(&self) -> Ear {
        let protected = self.greeting
            && self
                .config
                .as_ref()
                .is_some_and(|config| !config.greeting_interruptible);
        match (self.phase, &self.model) {
            (Phase::Talking, _) if protected => Ear::Closed,
            (Phase::Talking, Model::Ready) => Ear::Open,
            (Phase::Talking, _) => Ear::Holding,
            _ => Ear::Closed,
        }
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
                    self.timers.set(Timer::Caller, now + CALLER_WAIT);
                }
            }
            Input::JoinFailed(reason) => self.give_up(now, CallOutcome::JoinFailed, reason),
            Input::Caller(sip) => self.on_caller(now, *sip),
            Input::Status(status) => self.on_status(now, status),
            Input::CallerMissing => self.timers.set(Timer::Missing, now + MISSING_WAIT),
            Input::CallerLeft => self.on_caller_left(now),
            Input::Key(key) => self.on_key(now, key),
            Input::RoomLost(reason) => self.on_room_lost(now, reason),
            Input::CallerRemoved => {
                if self.room_lost && self.phase == Phase::Parting {
                    self.leave(now);
                }
            }
            Input::Configured(resolved) => self.on_configured(now, *resolved),
            Input::Recording(recording) => self.on_recording(now, recording),
            Input::ModelConnected => self.on_model_connected(),
            Input::ModelUnreachable { reason, retry } => self.on_unreachable(now, reason, retry),
            Input::Model(event) => self.on_model(now, event),
            Input::Published => self.on_published(now),
            Input::PublishFailed(reason) => self.give_up(now, CallOutcome::RoomClosed, reason),
            Input::FirstSound => {
                self.times.first_sound.get_or_insert(now - self.started);
            }
            Input::PlayoutDrained => self.on_drained(now),
            Input::Cut(cuts) => self.on_cut(cuts),
            Input::Transferred(result) => self.on_transferred(now, result),
            Input::Stop => self.end_on_purpose(now, CallOutcome::Cut),
            Input::HangUp => self.end_on_purpose(now, CallOutcome::EndedByOperator),
            Input::Tick => {
                if let Some(timer) = self.timers.take_due(now) {
                    self.on_timer(now, timer);
                }
            }
        }
    }

    fn on_timer(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::End => self.on_end_due(now),
            Timer::Caller => {
                let detail = "no participant of kind SIP came into the room".to_owned();
                self.give_up(now, CallOutcome::NoCaller, detail);
            }
            Timer::Missing => {
                let detail = "the phone side was not found again after a reconnection".to_owned();
                self.give_up(now, CallOutcome::RoomClosed, detail);
            }
            Timer::Longest => self.end_on_purpose(now, CallOutcome::DurationLimit),
            Timer::Warning => self.warn_of_the_end(now),
            // Better heard by nobody than silent to somebody.
            Timer::Active => self.on_status(now, domain::CallStatus::Active),
            Timer::Reply => self.on_reply_due(now),
            Timer::Again => self.ask_once_more(now),
            Timer::Recovery => self.on_recovery_due(now),
            Timer::Answer => self.on_answer_due(now),
            Timer::Silence => self.on_silence(now),
            Timer::Keys => self.tell_keys(now),
            Timer::Renewal => self.renew(now),
        }
    }

    /// How far the call is.
    pub(crate) fn progress(&self) -> Progress {
        let step = match self.phase {
            Phase::Preparing if self.times.joined.is_none() => CallStep::Joining,
            Phase::Preparing => CallStep::Ringing,
            Phase::Answering => CallStep::Answering,
            Phase::Talking => CallStep::Talking,
            Phase::Closing => CallStep::Closing,
            Phase::Transferring => CallStep::Transferring,
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
        let second = self.second.filter(|_| self.provider == Provider::Second);
        let model = match second {
            Some(second) => second.model,
            None => self
                .config
                .map_or(self.default_model, |config| config.model),
        };
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
