//! The caller breaks in, or seems to.
//!
//! The sound stops at once, whatever it was that was heard on the line, and the model is
//! told how much of its words came through. Where it turns out to have been a cough, the
//! agent goes on where it stopped.

use std::time::{Duration, Instant};

use trunkline_domain::TurnDetection;
use trunkline_realtime::{Command, Line, Role};

use super::timers::Timer;
use super::{CallMachine, Effect, Phase, REPLY_WAIT, TURN_WAIT};
use crate::playout::Cut;

/// Shorter sounds are no words: a cough, a door, a click on the line. "Yes" and "no" take
/// 250 ms and more.
const SHORTEST_WORD: Duration = Duration::from_millis(180);
/// How long the model's answer to no words may take to begin.
const UNWANTED_WAIT: Duration = Duration::from_secs(2);

/// The agent was broken off.
#[derive(Debug)]
pub(super) struct Interruption {
    /// Position in the caller's audio where its speech begins.
    began: Duration,
    /// What was broken off.
    cuts: Vec<Cut>,
    /// Whether more of it was to come.
    incomplete: bool,
}

impl CallMachine {
    pub(super) fn on_speech_started(&mut self, now: Instant, at: Duration) {
        self.timers.clear(Timer::Reply);
        self.timers.clear(Timer::Silence);
        self.timers.clear(Timer::Again);
        if self.phase != Phase::Talking {
            return;
        }
        self.caller_speaks = true;
        self.farewell = false;
        self.unwanted_until = None;
        self.timers.set(Timer::Reply, now + TURN_WAIT);
        self.asked_again = false;
        self.interruption = self.sounding.then(|| Interruption {
            began: at,
            cuts: Vec::new(),
            incomplete: self.open_item.is_some(),
        });
        self.fall_silent();
    }

    /// What the agent says is not heard any more, nor what still comes of it.
    fn fall_silent(&mut self) {
        self.muted = self.responding.take();
        self.open_item = None;
        self.heard_by = None;
        self.sounding = false;
        self.greeting = false;
        self.effects.push_back(Effect::Interrupt);
    }

    /// Stops what the agent says, of which the vendor knows nothing yet.
    pub(super) fn break_off(&mut self) {
        if self.responding.is_some() || self.sounding {
            self.tell(Command::CancelResponse);
            self.fall_silent();
        }
    }

    pub(super) fn on_cut(&mut self, cuts: Vec<Cut>) {
        for Cut { item, heard } in &cuts {
            self.conversation.heard(item, *heard);
            self.tell(Command::Truncate {
                item: item.clone(),
                heard: *heard,
            });
        }
        if let Some(interruption) = &mut self.interruption {
            interruption.cuts = cuts;
        }
    }

    pub(super) fn on_speech_stopped(&mut self, now: Instant, at: Duration) {
        self.caller_speaks = false;
        if self.phase != Phase::Talking {
            return;
        }
        let interruption = self.interruption.take();
        match interruption.filter(|interruption| self.was_no_word(interruption, at)) {
            Some(interruption) => self.go_on(now, interruption),
            None => {
                self.conversation.turn_ended();
                self.timers.set(Timer::Reply, now + REPLY_WAIT);
                self.count_wordless_turn(now);
            }
        }
    }

    /// The vendor's positions hold what it adds before the beginning and waits for at the
    /// end. One that goes by meaning adds nothing that is known, and is believed.
    fn was_no_word(&self, interruption: &Interruption, stopped: Duration) -> bool {
        let detection = self.config.as_ref().map(|config| config.turn_detection);
        let Some(TurnDetection::Server {
            prefix_padding,
            silence_duration,
            ..
        }) = detection
        else {
            return false;
        };
        let added = prefix_padding + silence_duration;
        let length = stopped.saturating_sub(interruption.began);
        !interruption.cuts.is_empty()
            && length > Duration::ZERO
            && length.saturating_sub(added) < SHORTEST_WORD
    }

    /// The agent goes on where it was broken off, and the answer to nothing is refused.
    fn go_on(&mut self, now: Instant, interruption: Interruption) {
        self.unwanted_until = Some(now + UNWANTED_WAIT);
        self.timers.clear(Timer::Reply);
        let whole = interruption
            .cuts
            .iter()
            .filter_map(|cut| self.conversation.heard_after_all(&cut.item));
        let lines: Vec<_> = whole
            .map(|text| Line {
                role: Role::Agent,
                text,
            })
            .collect();
        if !lines.is_empty() {
            self.tell(Command::Remember(lines));
        }
        self.sounding = true;
        self.owes_words = interruption.incomplete;
        self.effects.push_back(Effect::Resume);
    }

    /// Whether a response that begins is the answer to no words.
    pub(super) fn is_unwanted(&mut self, now: Instant) -> bool {
        self.unwanted_until.take().is_some_and(|until| now <= until)
    }

    /// What was not said to its end is not awaited any more.
    pub(super) fn close_open_item(&mut self) {
        if let Some(item) = self.open_item.take() {
            self.effects.push_back(Effect::ItemComplete(item));
        }
    }
}
