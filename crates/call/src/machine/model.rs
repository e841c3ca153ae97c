//! The model's side of a call: getting it, and listening to it.

use std::time::{Duration, Instant};

use trunkline_domain::chain;
use trunkline_realtime::{
    Command, Event, ItemId, Purpose, Recovery, ResponseId, ResponseStatus, SessionConfig,
    VendorError,
};

use super::timers::Timer;
use super::{
    CallMachine, Effect, MODEL_ATTEMPTS, MODEL_RETRY_PAUSE, Model, Phase, Plan, Provider,
    REPLY_WAIT, Retry, STALL_WAIT,
};
use crate::playout;

/// How often the model is asked again after an answer that failed, and how long after the
/// first time; after the second, twice as long.
const MAX_FAILED_RESPONSES: u32 = 2;
const FAILED_RESPONSE_PAUSE: Duration = Duration::from_millis(300);

impl CallMachine {
    /// Whether the call has an agent, or may yet have one.
    pub(super) fn has_agent(&self) -> bool {
        matches!(
            self.phase,
            Phase::Preparing | Phase::Answering | Phase::Talking
        )
    }

    /// Whether caller and model are in conversation.
    pub(super) fn is_conversing(&self) -> bool {
        self.phase == Phase::Talking && self.model == Model::Ready
    }

    pub(super) fn tell(&mut self, command: Command) {
        self.effects.push_back(Effect::ToModel(command));
    }

    /// Tells the model something that it answers aloud.
    pub(super) fn ask(&mut self, now: Instant, command: Command) {
        self.tell(command);
        self.timers.set(Timer::Reply, now + REPLY_WAIT);
    }

    /// Has the model say what it owes: its greeting, or an answer.
    pub(super) fn have_it_speak(&mut self, now: Instant) {
        if self.greeted {
            self.tell(Command::Respond);
        } else {
            self.greet();
        }
        if self.phase == Phase::Talking {
            self.timers.set(Timer::Reply, now + REPLY_WAIT);
        }
    }

    pub(super) fn connect_model(&mut self, model: String, pause: Duration) {
        self.model_attempts += 1;
        self.model = Model::Connecting(model.clone());
        self.effects.push_back(Effect::ConnectModel {
            provider: self.provider,
            model,
            pause,
        });
    }

    /// The configuration names the model: the early socket is to this one, or for nothing.
    pub(super) fn want_model(&mut self, wanted: String) {
        match &self.model {
            Model::Connected(model) if *model == wanted => self.configure_model(),
            Model::Connecting(model) if *model == wanted => {}
            _ => {
                self.model_attempts = 0;
                self.connect_model(wanted, Duration::ZERO);
            }
        }
    }

    /// This call has no agent, or none any more.
    pub(super) fn want_no_model(&mut self) {
        self.model = Model::Failed;
        self.effects.push_back(Effect::DropModel);
    }

    pub(super) fn on_model_connected(&mut self) {
        let Model::Connecting(model) = &self.model else {
            return;
        };
        self.model = Model::Connected(model.clone());
        self.detail = None;
        if self.config.is_some() {
            self.configure_model();
        }
    }

    pub(super) fn configure_model(&mut self) {
        let Some(config) = &self.config else { return };
        let mut session = SessionConfig::for_call(config);
        if let (Provider::Second, Some(second)) = (self.provider, &self.second) {
            session.voice.clone_from(&second.voice);
        }
        self.model = Model::Configuring;
        self.tell(Command::Configure(session));
    }

    pub(super) fn on_unreachable(&mut self, now: Instant, reason: String, retry: Retry) {
        let Model::Connecting(model) = self.model.clone() else {
            return;
        };
        self.detail = Some(reason);
        if self.config.is_none() {
            // The early socket was a head start only: the configuration may name
            // another model, and is followed by attempts of its own.
            self.model = Model::Absent;
        } else if retry == Retry::Useful && self.model_attempts < MODEL_ATTEMPTS {
            self.connect_model(model, MODEL_RETRY_PAUSE);
        } else if !self.take_second_model() {
            self.without_model(now);
        }
    }

    pub(super) fn on_model(&mut self, now: Instant, event: Event) {
        match event {
            Event::Ready { dropped } => self.on_ready(now, &dropped),
            Event::SpeechStarted { at } => self.on_speech_started(now, at),
            Event::SpeechStopped { at } => self.on_speech_stopped(now, at),
            Event::Audio {
                response,
                item,
                pcm,
            } => self.on_audio(now, response, item, pcm),
            Event::AudioDone { item, .. } => {
                self.open_item.take_if(|open| *open == item);
                self.effects.push_back(Effect::ItemComplete(item));
            }
            Event::AgentTranscript { item, text } => self.conversation.agent(&item, &text),
            Event::CallerTranscript { item, text } => self.on_caller_words(now, &item, &text),
            Event::ResponseStarted { id, .. } => {
                if self.is_unwanted(now) {
                    self.muted = Some(id);
                    self.tell(Command::CancelResponse);
                }
            }
            Event::ResponseDone { id, status, .. } => self.on_response_done(now, &id, status),
            Event::Refused(error) => {
                self.detail = Some(error.to_string());
                self.lose_model(now, Recovery::Person);
            }
            Event::NotStarted { purpose, error } => self.on_not_started(now, purpose, &error),
            Event::Closed(reason) => {
                self.detail.get_or_insert_with(|| chain(&reason));
                if self.config.is_none() || self.plan != Plan::Talk {
                    self.model = Model::Absent;
                    self.effects.push_back(Effect::DropModel);
                } else {
                    self.lose_model(now, reason.recovery());
                }
            }
            Event::Warning(_) => {}
        }
    }

    fn on_ready(&mut self, now: Instant, dropped: &[&'static str]) {
        if self.model != Model::Configuring {
            return;
        }
        self.model = Model::Ready;
        self.model_attempts = 0;
        self.ready_at = Some(now);
        self.writes_down &= !dropped.contains(&"transcription");
        self.times.model_ready.get_or_insert(now - self.started);
        self.plan_renewal(now);
        match self.phase {
            Phase::Preparing => self.begin(now),
            Phase::Answering | Phase::Talking => self.on_restored(now),
            _ => {}
        }
    }

    fn on_audio(&mut self, now: Instant, response: ResponseId, item: ItemId, pcm: Vec<i16>) {
        if !self.has_agent() || self.muted.as_ref() == Some(&response) {
            return;
        }
        let length = playout::duration(pcm.len());
        self.conversation.sounded(&item, length);
        self.open_item = Some(item.clone());
        self.responding = Some(response);
        self.asked_again = false;
        self.greeted = true;
        self.sounding = true;
        self.interruption = None;
        self.timers.clear(Timer::Silence);
        self.waiting += length;
        self.expect_more(now);
        self.effects.push_back(Effect::Play { item, pcm });
        self.answer(now);
    }

    /// While a response is under way, the line may not stay silent for long once
    /// what has come of it was heard: a model can stall in mid-sentence.
    pub(super) fn expect_more(&mut self, now: Instant) {
        if self.phase != Phase::Talking {
            return;
        }
        let from = self.heard_by.map_or(now, |heard_by| heard_by.max(now));
        let heard_by = from + std::mem::take(&mut self.waiting);
        self.heard_by = Some(heard_by);
        if self.responding.is_some() {
            self.timers.set(Timer::Reply, heard_by + STALL_WAIT);
        } else {
            self.timers.clear(Timer::Reply);
        }
    }

    fn on_response_done(&mut self, now: Instant, id: &ResponseId, status: ResponseStatus) {
        let mut has_sounded = false;
        for slot in [&mut self.muted, &mut self.responding] {
            if slot.as_ref() == Some(id) {
                *slot = None;
                has_sounded = true;
            }
        }
        match status {
            ResponseStatus::Completed | ResponseStatus::Incomplete { .. } if has_sounded => {
                self.failed_responses = 0;
                self.replies += 1;
                self.timers.clear(Timer::Reply);
                self.rest(now);
            }
            ResponseStatus::Completed | ResponseStatus::Incomplete { .. } => {
                self.on_empty_response(now);
            }
            ResponseStatus::Cancelled => {}
            ResponseStatus::Failed(error) => self.on_failed_response(now, &error),
        }
    }

    /// A response without sound. The caller who waits for one must not wait for ever:
    /// the model is asked once more, and is lost when that brings nothing either.
    fn on_empty_response(&mut self, now: Instant) {
        match self.phase {
            // A greeting without sound: answer, and let the caller speak.
            Phase::Preparing => {
                self.greeted = true;
                self.greeting = false;
                self.answer(now);
            }
            Phase::Talking if self.timers.is_set(Timer::Reply) => {
                if self.asked_again {
                    self.detail = Some("the model answered without a sound".to_owned());
                    self.lose_model(now, Recovery::Later);
                } else {
                    self.asked_again = true;
                    self.tell(Command::Respond);
                }
            }
            _ => {}
        }
    }

    /// An answer failed, and the session goes on: too much at once, as a rule, or a fault of
    /// the vendor's that passes.
    fn on_failed_response(&mut self, now: Instant, error: &VendorError) {
        self.detail = Some(error.to_string());
        self.failed_responses += 1;
        let recovery = error.recovery();
        let passes = recovery != Recovery::Person
            && self.failed_responses <= MAX_FAILED_RESPONSES
            && self.another_model().is_none();
        if passes && !self.caller_speaks {
            self.close_open_item();
            let pause = FAILED_RESPONSE_PAUSE * self.failed_responses;
            self.timers.clear(Timer::Reply);
            self.timers.set(Timer::Again, now + pause);
        } else if !self.caller_speaks {
            self.owes_words = true;
            self.lose_model(now, recovery);
        }
    }

    /// After an answer that failed.
    pub(super) fn ask_once_more(&mut self, now: Instant) {
        if self.model == Model::Ready && !self.caller_speaks {
            self.have_it_speak(now);
        }
    }

    /// An answer will not begin. Another one may, by itself; it is not awaited for long.
    fn on_not_started(&mut self, now: Instant, purpose: Purpose, error: &VendorError) {
        if purpose == Purpose::Greeting {
            self.detail = Some(error.to_string());
            self.lose_model(now, error.recovery());
            return;
        }
        let is_awaited = self.phase == Phase::Talking && self.responding.is_none();
        if let Some(deadline) = self.timers.get(Timer::Reply).filter(|_| is_awaited) {
            self.detail = Some(error.to_string());
            self.timers
                .set(Timer::Reply, deadline.min(now + STALL_WAIT));
        }
    }

    /// The model did not speak when it was its turn, or stopped in mid-sentence.
    pub(super) fn on_reply_due(&mut self, now: Instant) {
        if self.farewell {
            self.set_outcome(trunkline_domain::CallOutcome::CallerSilent);
            self.part(now);
            return;
        }
        self.detail
            .get_or_insert_with(|| "the model did not speak when it was its turn".to_owned());
        self.owes_words = true;
        self.caller_speaks = false;
        self.lose_model(now, Recovery::Later);
    }
}
