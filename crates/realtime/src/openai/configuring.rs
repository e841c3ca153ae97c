//! The configuration of the session: what was asked for, what was taken, and
//! what goes without.
//!
//! A field that the model does not take must not cost the caller the whole
//! configuration. Known ones are left out from the start; when the vendor
//! refuses a field that the session can do without, the rest is sent again
//! without it, once for each such field.

use std::collections::VecDeque;

use crate::SessionConfig;

use super::client::{Before, ClientEvent, Optional, Session};
use super::codec::Ids;
use super::error::WireError;

/// Updates whose answer is awaited. A call configures once or twice.
const MAX_IN_FLIGHT: usize = 8;

/// Whether the model takes a sampling temperature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TakesTemperature {
    Yes,
    No,
}

/// What an error means for the configuration.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is about something else.
    NotAboutThis,
    /// It is about an update that another one has overtaken.
    Overtaken,
    /// Send this instead.
    SendAgain(String),
    /// Nothing more can be left out.
    Final,
}

#[derive(Debug)]
struct Update {
    event_id: String,
    config: SessionConfig,
    left_out: Vec<Optional>,
    /// The part of `left_out` that was wanted.
    dropped: Vec<Optional>,
}

#[derive(Debug)]
pub(super) struct Configuring {
    takes_temperature: TakesTemperature,
    /// The latest update, until it is answered.
    latest: Option<Update>,
    /// The ids of all updates that are not answered, in the order in which they
    /// were sent, which is the order of the answers.
    in_flight: VecDeque<String>,
    /// What holds now.
    accepted: Option<SessionConfig>,
}

impl Configuring {
    pub(super) fn new(takes_temperature: TakesTemperature) -> Self {
        Self {
            takes_temperature,
            latest: None,
            in_flight: VecDeque::new(),
            accepted: None,
        }
    }

    /// Asks for `config`. `audio_came`: the voice is fixed.
    pub(super) fn begin(
        &mut self,
        config: SessionConfig,
        audio_came: AudioCame,
        ids: &mut Ids,
    ) -> String {
        let mut left_out = Vec::new();
        let mut dropped = Vec::new();
        if self.takes_temperature == TakesTemperature::No && config.temperature.is_some() {
            left_out.push(Optional::Temperature);
            dropped.push(Optional::Temperature);
        }
        if audio_came == AudioCame::Yes {
            left_out.push(Optional::Voice);
            if self
                .accepted
                .as_ref()
                .is_none_or(|a| a.voice != config.voice)
            {
                dropped.push(Optional::Voice);
            }
        }
        self.send(
            Update {
                event_id: String::new(),
                config,
                left_out,
                dropped,
            },
            ids,
        )
    }

    /// The vendor took an update. The names of what it went without, when it
    /// was the latest.
    pub(super) fn updated(&mut self) -> Option<Vec<&'static str>> {
        let answered = self.in_flight.pop_front()?;
        let update = self.latest.take_if(|u| u.event_id == answered)?;
        self.accepted = Some(update.config);
        Some(update.dropped.iter().map(|f| f.public_name()).collect())
    }

    /// The vendor complained.
    pub(super) fn refused(&mut self, error: &WireError, ids: &mut Ids) -> Refusal {
        let about = match &error.event_id {
            Some(id) => self.in_flight.iter().position(|sent| sent == id),
            // A server that does not say which event it is about.
            None => (!self.in_flight.is_empty() && names_the_session(error)).then_some(0),
        };
        let Some(refused) = about.and_then(|at| self.in_flight.remove(at)) else {
            return Refusal::NotAboutThis;
        };
        let Some(mut update) = self.latest.take_if(|u| u.event_id == refused) else {
            return Refusal::Overtaken;
        };
        match culprit(error).filter(|field| !update.left_out.contains(field)) {
            Some(field) => {
                update.left_out.push(field);
                update.dropped.push(field);
                Refusal::SendAgain(self.send(update, ids))
            }
            None => Refusal::Final,
        }
    }

    fn send(&mut self, mut update: Update, ids: &mut Ids) -> String {
        update.event_id = ids.next();
        if self.in_flight.len() == MAX_IN_FLIGHT {
            self.in_flight.pop_front();
        }
        self.in_flight.push_back(update.event_id.clone());
        let before = match &self.accepted {
            Some(config) if config.transcription.is_some() => Before::Transcribing,
            _ => Before::Silent,
        };
        let text = ClientEvent::SessionUpdate {
            event_id: &update.event_id,
            session: Session::new(&update.config, &update.left_out, before),
        }
        .to_text();
        self.latest = Some(update);
        text
    }
}

/// Whether the session has spoken yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AudioCame {
    Yes,
    No,
}

fn names_the_session(error: &WireError) -> bool {
    error
        .param
        .as_deref()
        .is_some_and(|p| p == "session" || p.starts_with("session."))
}

/// The field that the vendor complains of, where the session can do without it.
fn culprit(error: &WireError) -> Option<Optional> {
    let named = |text: &str| {
        Optional::ALL
            .into_iter()
            .find(|field| text.contains(field.wire_name()))
    };
    match error.param.as_deref() {
        Some(param) if !param.is_empty() => named(param),
        _ => named(error.message.as_deref().unwrap_or_default()),
    }
}
