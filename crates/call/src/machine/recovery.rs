//! A model that is lost in mid-call: a new session takes over and is told in writing what
//! was said, at the same place or at the tenant's second one; without any, the caller
//! hears the apology. A session that is as old as it may get is renewed in the same way,
//! between turns.

use std::time::{Duration, Instant};

use trunkline_domain::{CallOutcome, SecondModel};
use trunkline_realtime::{Command, Line, Recovery, Role};

use super::timers::Timer;
use super::{CallMachine, Effect, MODEL_ATTEMPTS, MODEL_RETRY_PAUSE, Model, Phase, Provider};

/// How long a new session may take from its predecessor's loss; as long again is given to
/// the second model. A healthy vendor takes 300 to 800 ms.
const RECOVERY_WAIT: Duration = Duration::from_secs(2);
/// Sessions that may be lost in one call, of which each was well for less than
/// [`HEALTHY`] after the one before.
const MAX_LOSSES: u32 = 4;
/// A session that was well for so long is none that is lost again and again.
const HEALTHY: Duration = Duration::from_secs(60);
/// The age at which a session is renewed. The vendors end one at 60 minutes.
const SESSION_AGE: Duration = Duration::from_secs(55 * 60);
/// How soon it is looked again whether both sides are quiet.
const RENEWAL_PAUSE: Duration = Duration::from_millis(500);

const GO_ON: &str = "Your connection to the caller broke off and is there again. If you had not \
                     finished speaking, go on where you stopped; do not greet again, and do not \
                     mention it.";

impl CallMachine {
    /// There is no model for now.
    pub(super) fn lose_model(&mut self, now: Instant, recovery: Recovery) {
        let was_waited_for = self.timers.is_set(Timer::Reply) && !self.caller_speaks;
        self.timers.clear(Timer::Reply);
        self.timers.clear(Timer::Again);
        self.timers.clear(Timer::Silence);
        self.timers.clear(Timer::Renewal);
        self.effects.push_back(Effect::DropModel);
        self.model = Model::Failed;
        self.owes_words |= was_waited_for || self.responding.is_some();
        self.responding = None;
        self.muted = None;
        self.interruption = None;
        self.unwanted_until = None;
        self.close_open_item();
        match self.phase {
            Phase::Closing | Phase::Transferring | Phase::Parting | Phase::Over => {}
            Phase::Talking if self.farewell => {
                self.set_outcome(CallOutcome::CallerSilent);
                self.part(now);
            }
            Phase::Preparing => {
                if !self.connect_again(recovery) {
                    self.without_model(now);
                }
            }
            Phase::Answering | Phase::Talking => {
                let lived = self.ready_at.take().map(|ready| now - ready);
                if lived.is_some_and(|lived| lived >= HEALTHY) {
                    self.losses = 0;
                }
                self.losses += 1;
                if self.losses <= MAX_LOSSES && self.connect_again(recovery) {
                    self.timers.set(Timer::Recovery, now + RECOVERY_WAIT);
                } else {
                    self.without_model(now);
                }
            }
        }
    }

    /// Tries the place that is likelier to help. `false`: there is none.
    fn connect_again(&mut self, recovery: Recovery) -> bool {
        let same_helps = recovery != Recovery::Person && self.model_attempts < MODEL_ATTEMPTS;
        if recovery != Recovery::Reconnect && self.take_second_model() {
            return true;
        }
        if !same_helps {
            return self.take_second_model();
        }
        let pause = if self.model_attempts == 0 {
            Duration::ZERO
        } else {
            MODEL_RETRY_PAUSE
        };
        let Some(model) = self.present_model() else {
            return false;
        };
        self.connect_model(model, pause);
        true
    }

    /// Goes over to the tenant's second model, once.
    pub(super) fn take_second_model(&mut self) -> bool {
        let Some(model) = self.another_model().map(|second| second.model.clone()) else {
            return false;
        };
        self.provider = Provider::Second;
        self.model_attempts = 0;
        self.connect_model(model, Duration::ZERO);
        true
    }

    /// The one that was not gone over to yet.
    pub(super) fn another_model(&self) -> Option<&SecondModel> {
        let second = self.second.as_ref();
        second.filter(|_| self.provider == Provider::First)
    }

    fn present_model(&self) -> Option<String> {
        match (self.provider, &self.second) {
            (Provider::Second, Some(second)) => Some(second.model.clone()),
            _ => self.config.as_ref().map(|config| config.model.clone()),
        }
    }

    /// No model can be had.
    pub(super) fn without_model(&mut self, now: Instant) {
        if self.has_agent() {
            self.apologise(now, CallOutcome::ModelFailed);
        }
    }

    pub(super) fn on_recovery_due(&mut self, now: Instant) {
        if self.model == Model::Ready {
            return;
        }
        self.detail
            .get_or_insert_with(|| "no new session in time".to_owned());
        if self.take_second_model() {
            self.timers.set(Timer::Recovery, now + RECOVERY_WAIT);
        } else {
            self.without_model(now);
        }
    }

    /// A new session is there in mid-call.
    pub(super) fn on_restored(&mut self, now: Instant) {
        self.timers.clear(Timer::Recovery);
        // What was wrong is over.
        self.detail = None;
        let mut lines = self.conversation.lines();
        let owes_words = std::mem::take(&mut self.owes_words);
        if owes_words && self.greeted {
            lines.push(Line {
                role: Role::System,
                text: GO_ON.to_owned(),
            });
        }
        if !lines.is_empty() {
            self.tell(Command::Remember(lines));
        }
        if owes_words || (self.greeting && !self.greeted) {
            self.have_it_speak(now);
        } else {
            self.rest(now);
        }
    }

    pub(super) fn plan_renewal(&mut self, now: Instant) {
        self.timers.set(Timer::Renewal, now + SESSION_AGE);
    }

    /// The session is old: a new one, while neither side speaks.
    pub(super) fn renew(&mut self, now: Instant) {
        if !self.is_conversing() {
            return;
        }
        if !self.is_idle() {
            self.timers.set(Timer::Renewal, now + RENEWAL_PAUSE);
            return;
        }
        let Some(model) = self.present_model() else {
            return;
        };
        self.timers.clear(Timer::Silence);
        self.model_attempts = 0;
        self.connect_model(model, Duration::ZERO);
        self.timers.set(Timer::Recovery, now + RECOVERY_WAIT);
    }
}
