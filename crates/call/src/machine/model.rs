//! The model's side of a call: getting it, listening to it, losing it.

use std::time::{Duration, Instant};

use trunkline_domain::{CallOutcome, chain};
use trunkline_realtime::{
    Command, Event, ItemId, Purpose, ResponseId, ResponseStatus, SessionConfig, VendorError,
};

use super::{
    ACTIVE_WAIT, APOLOGY_LIMIT, CallMachine, Effect, MODEL_ATTEMPTS, MODEL_RETRY_PAUSE, Model,
    Phase, REPLY_WAIT, Retry, STALL_WAIT, TURN_WAIT,
};
use crate::playout::{self, Cut};

impl CallMachine {
    pub(super) fn connect_model(&mut self, model: String, pause: Duration) {
        self.model_attempts += 1;
        self.model = Model::Connecting(model.clone());
        self.effects
            .push_back(Effect::ConnectModel { model, pause });
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
        self.model = Model::Configuring;
        self.effects.push_back(Effect::ToModel(Command::Configure(
            SessionConfig::for_call(config),
        )));
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
        } else {
            self.lose_model(now);
        }
    }

    pub(super) fn on_model(&mut self, now: Instant, event: Event) {
        match event {
            Event::Ready { .. } => self.on_ready(now),
            Event::SpeechStarted { .. } => {
                self.reply_deadline = None;
                if self.phase == Phase::Talking {
                    self.reply_deadline = Some(now + TURN_WAIT);
                    self.asked_again = false;
                    self.muted = self.responding.take();
                    self.heard_by = None;
                    self.sounding = false;
                    self.effects.push_back(Effect::Interrupt);
                }
            }
            Event::SpeechStopped { .. } => {
                if self.phase == Phase::Talking {
                    self.reply_deadline = Some(now + REPLY_WAIT);
                }
            }
            Event::Audio {
                response,
                item,
                pcm,
            } => self.on_audio(now, response, item, pcm),
            Event::Refused(error) => {
                self.detail = Some(error.to_string());
                self.lose_model(now);
            }
            Event::AudioDone { item, .. } => self.effects.push_back(Effect::ItemComplete(item)),
            Event::ResponseDone { id, status, .. } => self.on_response_done(now, &id, status),
            Event::Closed(reason) => {
                self.detail.get_or_insert_with(|| chain(&reason));
                if self.config.is_none() {
                    self.model = Model::Absent;
                    self.effects.push_back(Effect::DropModel);
                } else {
                    self.lose_model(now);
                }
            }
            Event::NotStarted {
                purpose: Purpose::Greeting,
                error,
            } => {
                self.detail = Some(error.to_string());
                self.lose_model(now);
            }
            Event::NotStarted {
                purpose: Purpose::Turn,
                error,
            } => self.on_refused_answer(now, &error),
            Event::ResponseStarted { .. }
            | Event::AgentTranscript { .. }
            | Event::CallerTranscript { .. }
            | Event::Warning(_) => {}
        }
    }

    pub(super) fn on_ready(&mut self, now: Instant) {
        if self.model != Model::Configuring {
            return;
        }
        self.model = Model::Ready;
        self.times.model_ready = Some(now - self.started);
        let text = self
            .config
            .as_ref()
            .map_or("", |config| &config.start_message);
        if text.is_empty() {
            self.answer(now);
        } else {
            let text = text.to_owned();
            self.effects
                .push_back(Effect::ToModel(Command::Greet { text }));
        }
    }

    pub(super) fn on_audio(
        &mut self,
        now: Instant,
        response: ResponseId,
        item: ItemId,
        pcm: Vec<i16>,
    ) {
        let over = matches!(self.phase, Phase::Closing | Phase::Parting | Phase::Over);
        if over || self.muted.as_ref() == Some(&response) {
            return;
        }
        self.responding = Some(response);
        self.asked_again = false;
        self.sounding = true;
        self.waiting += playout::duration(pcm.len());
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
        self.reply_deadline = self.responding.is_some().then_some(heard_by + STALL_WAIT);
    }

    pub(super) fn on_response_done(
        &mut self,
        now: Instant,
        id: &ResponseId,
        status: ResponseStatus,
    ) {
        let mut has_sounded = false;
        for slot in [&mut self.muted, &mut self.responding] {
            if slot.as_ref() == Some(id) {
                *slot = None;
                has_sounded = true;
            }
        }
        match status {
            ResponseStatus::Completed | ResponseStatus::Incomplete { .. } if has_sounded => {
                self.replies += 1;
                self.reply_deadline = None;
            }
            ResponseStatus::Completed | ResponseStatus::Incomplete { .. } => {
                self.on_empty_response(now);
            }
            ResponseStatus::Cancelled => {}
            ResponseStatus::Failed(error) => {
                self.detail = Some(error.to_string());
                self.lose_model(now);
            }
        }
    }

    /// A response without sound. The caller who waits for one must not wait for ever:
    /// the model is asked once more, and is lost when that brings nothing either.
    fn on_empty_response(&mut self, now: Instant) {
        match self.phase {
            // A greeting without sound: answer, and let the caller speak.
            Phase::Preparing => self.answer(now),
            Phase::Talking if self.reply_deadline.is_some() => {
                if self.asked_again {
                    self.detail = Some("the model answered without a sound".to_owned());
                    self.lose_model(now);
                } else {
                    self.asked_again = true;
                    self.effects.push_back(Effect::ToModel(Command::Respond));
                }
            }
            _ => {}
        }
    }

    /// An answer will not begin. Another one may, by itself; it is not awaited for long.
    fn on_refused_answer(&mut self, now: Instant, error: &VendorError) {
        let is_awaited = self.phase == Phase::Talking && self.responding.is_none();
        if let Some(deadline) = self.reply_deadline.filter(|_| is_awaited) {
            self.detail = Some(error.to_string());
            self.reply_deadline = Some(deadline.min(now + STALL_WAIT));
        }
    }

    pub(super) fn on_cut(&mut self, cuts: Vec<Cut>) {
        for Cut { item, heard } in cuts {
            self.effects
                .push_back(Effect::ToModel(Command::Truncate { item, heard }));
        }
    }

    /// There is no model, or none any more: the apology, then the end.
    pub(super) fn lose_model(&mut self, now: Instant) {
        self.model = Model::Failed;
        self.reply_deadline = None;
        self.answer_deadline = None;
        self.effects.push_back(Effect::DropModel);
        if matches!(self.phase, Phase::Closing | Phase::Parting | Phase::Over) {
            return;
        }
        self.set_outcome(CallOutcome::ModelFailed);
        self.effects.push_back(Effect::Interrupt);
        self.effects.push_back(Effect::PlayApology);
        if self.phase == Phase::Preparing {
            self.effects.push_back(Effect::Publish);
            self.active_deadline = Some(now + ACTIVE_WAIT);
        }
        self.phase = Phase::Closing;
        self.end_deadline = Some(now + APOLOGY_LIMIT);
    }
}
