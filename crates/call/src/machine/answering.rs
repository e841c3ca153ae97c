//! From the first ring to the first word.

use std::time::Instant;

use trunkline_callconfig::Resolved;
use trunkline_domain::{CallAction, CallOutcome, CallStatus, FirstSpeaker, SipParticipant};
use trunkline_realtime::Command;

use super::timers::Timer;
use super::{
    ACTIVE_WAIT, CallMachine, Effect, GREETING_WAIT, LEAST_LOOKUP, MODEL_SHARE, Model, Phase, Plan,
    RECORDING_LIMIT,
};
use crate::assignment::JobStatus;

impl CallMachine {
    pub(super) fn report_running(&mut self) {
        self.effects.push_back(Effect::Report(JobStatus::Running));
    }

    pub(super) fn on_caller(&mut self, now: Instant, sip: SipParticipant) {
        if self.outcome.is_some() {
            return;
        }
        if self.caller.is_some() {
            self.timers.clear(Timer::Missing);
            self.on_status(now, sip.status);
            return;
        }
        self.timers.clear(Timer::Caller);
        let status = sip.status;
        self.timers.set(Timer::Answer, now + self.answer_within);
        let lookup = self
            .answer_within
            .saturating_sub(MODEL_SHARE)
            .max(LEAST_LOOKUP);
        self.effects.push_back(Effect::Lookup {
            sip: Box::new(sip.clone()),
            deadline: now + lookup,
        });
        self.caller = Some(sip);
        self.on_status(now, status);
    }

    pub(super) fn on_status(&mut self, now: Instant, status: CallStatus) {
        match status {
            CallStatus::Hangup => self.finish_by_caller(now),
            // A phone side without a status is not LiveKit's bridge: it hears
            // us as soon as there is a track.
            CallStatus::Active | CallStatus::Unknown => {
                self.active = true;
                if self.published {
                    self.on_line(now);
                }
            }
            CallStatus::Dialing | CallStatus::Ringing | CallStatus::Automation => {}
        }
    }

    pub(super) fn on_configured(&mut self, now: Instant, resolved: Resolved) {
        if self.config.is_some() || self.outcome.is_some() {
            return;
        }
        self.times.configured = Some(now - self.started);
        self.config_source = Some(resolved.source);
        self.fallback_reason = resolved.reason.map(|reason| reason.to_string());
        let config = resolved.config;
        let limits = [self.longest, config.limits.max_duration];
        self.longest = limits.into_iter().flatten().min();
        self.writes_down = config.transcription.enabled;
        let action = config.action.clone();
        let wanted = config.model.clone();
        self.config = Some(config);
        match action {
            CallAction::Talk => self.want_model(wanted),
            CallAction::Reject => {
                self.set_outcome(CallOutcome::Rejected);
                self.part(now);
            }
            CallAction::Transfer { to } => {
                self.plan = Plan::Transfer(to);
                self.want_no_model();
                self.answer(now);
            }
            CallAction::Play { url } => {
                self.plan = Plan::Play;
                self.want_no_model();
                let deadline = self.timers.get(Timer::Answer).unwrap_or(now);
                self.effects
                    .push_back(Effect::FetchRecording { url, deadline });
            }
        }
    }

    pub(super) fn on_recording(&mut self, now: Instant, recording: Result<Vec<i16>, String>) {
        if self.phase != Phase::Preparing {
            return;
        }
        match recording {
            Ok(pcm) => {
                self.sounding = true;
                self.effects.push_back(Effect::PlayRecording(pcm));
                self.answer(now);
            }
            Err(problem) => {
                self.detail = Some(format!("no recording to play: {problem}"));
                self.apologise(now, CallOutcome::ModelFailed);
            }
        }
    }

    /// The model's session is configured while the phone rings: it speaks, or the caller does.
    pub(super) fn begin(&mut self, now: Instant) {
        let Some(config) = &self.config else { return };
        match config.first_speaker() {
            FirstSpeaker::Caller => {
                if config.start_message.is_empty() {
                    self.greeted = true;
                }
                self.answer(now);
            }
            FirstSpeaker::Agent => self.greet(),
        }
    }

    /// The agent's first words.
    pub(super) fn greet(&mut self) {
        let Some(config) = &self.config else { return };
        let text = config.start_message.clone();
        let command = if text.is_empty() {
            Command::Respond
        } else {
            Command::Greet { text }
        };
        self.greeting = true;
        self.tell(command);
    }

    /// The phone has rung for as long as it may.
    pub(super) fn on_answer_due(&mut self, now: Instant) {
        if self.model == Model::Ready {
            self.answer(now);
        } else {
            let late = match self.plan {
                Plan::Play => "the recording did not come in time",
                Plan::Talk | Plan::Transfer(_) => "the model was not ready in time",
            };
            self.detail.get_or_insert_with(|| late.to_owned());
            self.apologise(now, CallOutcome::ModelFailed);
        }
    }

    /// Takes the phone off the hook, once.
    pub(super) fn answer(&mut self, now: Instant) {
        if self.phase == Phase::Preparing {
            self.phase = Phase::Answering;
            self.timers.clear(Timer::Answer);
            self.timers.set(Timer::Active, now + ACTIVE_WAIT);
            self.effects.push_back(Effect::Publish);
        }
    }

    pub(super) fn on_published(&mut self, now: Instant) {
        self.published = true;
        self.times.answered = Some(now - self.started);
        if self.outcome.is_none() {
            self.limit(now);
        }
        match self.phase {
            Phase::Answering | Phase::Closing if self.active => self.on_line(now),
            Phase::Answering | Phase::Closing => self.timers.set(Timer::Active, now + ACTIVE_WAIT),
            _ => {}
        }
    }

    /// Our track is there, and the phone side is off the hook: sound gets through.
    fn on_line(&mut self, now: Instant) {
        match self.phase {
            Phase::Answering => match self.plan.clone() {
                Plan::Talk => self.talk(now),
                Plan::Transfer(to) => {
                    self.open_playout(now);
                    self.transfer(now, to);
                }
                Plan::Play => {
                    self.phase = Phase::Closing;
                    self.timers.set(Timer::End, now + RECORDING_LIMIT);
                    self.open_playout(now);
                }
            },
            Phase::Closing => self.open_playout(now),
            _ => {}
        }
    }

    fn talk(&mut self, now: Instant) {
        self.phase = Phase::Talking;
        self.open_playout(now);
        if self.sounding {
            self.expect_more(now);
        } else if self.greeting {
            self.timers.set(Timer::Reply, now + GREETING_WAIT);
        } else {
            self.rest(now);
        }
    }

    fn open_playout(&mut self, now: Instant) {
        self.timers.clear(Timer::Active);
        self.times.active.get_or_insert(now - self.started);
        self.effects.push_back(Effect::OpenPlayout);
    }
}
