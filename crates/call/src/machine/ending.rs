//! How a call ends: by the caller, by us, by what fails, by being passed on.

use std::time::{Duration, Instant};

use trunkline_domain::{CallOutcome, TransferTarget};
use trunkline_realtime::{Command, Line, Role};

use super::timers::Timer;
use super::{ACTIVE_WAIT, CallMachine, Effect, LAST_WORDS, LEAVE_WAIT, Phase, TRANSFER_WAIT};
use crate::assignment::JobStatus;

/// How long before its longest a call is told that the end is near.
const WARNING: Duration = Duration::from_secs(30);
/// Calls that may not be longer than this are not warned: it would be most of what is said.
const WORTH_A_WARNING: Duration = Duration::from_secs(90);
/// How long the phone side may take to leave once another has taken the call: the bridge
/// drops it a second later.
const PASSED_ON_WAIT: Duration = Duration::from_secs(5);

const NEAR_THE_END: &str = "The call ends in 30 seconds. Tell the caller so in one short sentence, \
                            in the language of the conversation, and come to an end.";

impl CallMachine {
    pub(super) fn on_caller_left(&mut self, now: Instant) {
        self.caller = None;
        self.finish_by_caller(now);
    }

    /// The phone side hung up, or is gone.
    pub(super) fn finish_by_caller(&mut self, now: Instant) {
        match self.phase {
            Phase::Preparing | Phase::Answering if self.times.active.is_none() => {
                self.set_outcome(CallOutcome::CallerGaveUp);
            }
            Phase::Preparing | Phase::Answering | Phase::Talking | Phase::Transferring => {
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
    pub(super) fn on_room_lost(&mut self, now: Instant, reason: String) {
        self.room_lost = true;
        if self.phase == Phase::Parting {
            self.leave(now);
        } else {
            self.give_up(now, CallOutcome::RoomClosed, reason);
        }
    }

    /// The call was answered: it may be so long from now on.
    pub(super) fn limit(&mut self, now: Instant) {
        let Some(longest) = self.longest else { return };
        self.timers.set(Timer::Longest, now + longest);
        if longest >= WORTH_A_WARNING {
            self.timers.set(Timer::Warning, now + longest - WARNING);
        }
    }

    pub(super) fn warn_of_the_end(&mut self, now: Instant) {
        if !self.is_conversing() {
            return;
        }
        if self.is_idle() {
            self.prompt(now, NEAR_THE_END);
        } else {
            self.tell(Command::Remember(vec![Line {
                role: Role::System,
                text: NEAR_THE_END.to_owned(),
            }]));
        }
    }

    /// Ends the call after the sentence that is being said.
    pub(super) fn end_on_purpose(&mut self, now: Instant, outcome: CallOutcome) {
        self.timers.clear(Timer::Longest);
        if self.outcome.is_some() {
            return;
        }
        self.set_outcome(outcome);
        if self.phase == Phase::Talking && self.sounding {
            self.phase = Phase::Closing;
            self.timers.clear_all();
            self.timers.set(Timer::End, now + LAST_WORDS);
            self.close_open_item();
        } else {
            self.part(now);
        }
    }

    /// What is said last was said, or took too long.
    pub(super) fn on_end_due(&mut self, now: Instant) {
        match self.phase {
            Phase::Parting => self.leave(now),
            Phase::Transferring if self.outcome.is_none() => {
                let problem = "nobody took the call".to_owned();
                self.on_transferred(now, Err(problem));
            }
            _ => self.part(now),
        }
    }

    pub(super) fn on_drained(&mut self, now: Instant) {
        self.sounding = false;
        self.greeting = false;
        match self.phase {
            Phase::Closing => self.after_the_last_word(now),
            Phase::Talking if self.farewell && self.responding.is_none() => {
                self.set_outcome(CallOutcome::CallerSilent);
                self.part(now);
            }
            Phase::Talking => self.rest(now),
            _ => {}
        }
    }

    fn after_the_last_word(&mut self, now: Instant) {
        let failed = self.outcome == Some(CallOutcome::ModelFailed);
        match self.transfer_to.take().filter(|_| failed) {
            Some(to) => self.transfer(now, to),
            None => self.part(now),
        }
    }

    /// There is no agent, or none any more: the recorded apology, then the end.
    pub(super) fn apologise(&mut self, now: Instant, outcome: CallOutcome) {
        self.timers.clear_all();
        self.want_no_model();
        self.set_outcome(outcome);
        let language = self
            .config
            .as_ref()
            .and_then(|config| config.language.as_ref());
        let language = language.map(trunkline_domain::Language::primary);
        self.effects.push_back(Effect::Interrupt);
        self.effects.push_back(Effect::PlayApology { language });
        if self.phase == Phase::Preparing {
            self.effects.push_back(Effect::Publish);
        }
        if self.times.active.is_none() {
            self.timers.set(Timer::Active, now + ACTIVE_WAIT);
        }
        self.phase = Phase::Closing;
        self.timers.set(Timer::End, now + self.apology_limit);
    }

    /// Passes the phone side on to somebody else.
    pub(super) fn transfer(&mut self, now: Instant, to: TransferTarget) {
        let Some(sip) = &self.caller else {
            self.part(now);
            return;
        };
        let identity = sip.identity.clone();
        self.phase = Phase::Transferring;
        self.timers.clear_all();
        self.timers.set(Timer::End, now + TRANSFER_WAIT);
        self.effects.push_back(Effect::Transfer { identity, to });
    }

    pub(super) fn on_transferred(&mut self, now: Instant, result: Result<(), String>) {
        if self.phase != Phase::Transferring {
            return;
        }
        match result {
            Ok(()) => {
                self.set_outcome(CallOutcome::Transferred);
                self.timers.set(Timer::End, now + PASSED_ON_WAIT);
            }
            Err(problem) => {
                let problem = format!("the call was not passed on: {problem}");
                if self.outcome.is_some() {
                    // The apology was heard already.
                    let before = self.detail.take().map(|detail| format!("{detail}; "));
                    self.detail = Some(before.unwrap_or_default() + &problem);
                    self.part(now);
                } else {
                    self.detail = Some(problem);
                    self.apologise(now, CallOutcome::TransferFailed);
                }
            }
        }
    }

    pub(super) fn set_outcome(&mut self, outcome: CallOutcome) {
        self.outcome.get_or_insert(outcome);
    }

    pub(super) fn give_up(&mut self, now: Instant, outcome: CallOutcome, detail: String) {
        self.set_outcome(outcome);
        self.detail.get_or_insert(detail);
        self.part(now);
    }

    /// Reports the job and sends the phone side away.
    pub(super) fn part(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Parting | Phase::Over) {
            return;
        }
        self.phase = Phase::Parting;
        self.timers.clear_all();
        self.timers.set(Timer::End, now + LEAVE_WAIT);
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

    pub(super) fn leave(&mut self, now: Instant) {
        self.phase = Phase::Over;
        self.timers.clear_all();
        self.times.ended = Some(now - self.started);
        self.effects.push_back(Effect::Leave);
    }
}
