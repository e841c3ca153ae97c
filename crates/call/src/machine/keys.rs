//! Keys that the caller presses, told to the model in writing.

use std::time::{Duration, Instant};

use trunkline_realtime::{Command, Line, Role};

use super::CallMachine;
use super::timers::Timer;

/// How long after a key another one still belongs to the same entry.
const NEXT_KEY_WAIT: Duration = Duration::from_millis(1500);
/// The longest entry: a card's number and more.
const MAX_KEYS: usize = 32;
/// Ends an entry at once, as on every phone menu.
const END_OF_ENTRY: char = '#';

impl CallMachine {
    pub(super) fn on_key(&mut self, now: Instant, key: char) {
        if !self.has_agent() || self.keys.len() >= MAX_KEYS {
            return;
        }
        self.keys.push(key);
        self.timers.clear(Timer::Silence);
        self.silence_prompts = 0;
        if key == END_OF_ENTRY {
            self.tell_keys(now);
        } else {
            self.timers.set(Timer::Keys, now + NEXT_KEY_WAIT);
        }
    }

    /// The entry is complete. It breaks into what the agent says, as a word would.
    pub(super) fn tell_keys(&mut self, now: Instant) {
        self.timers.clear(Timer::Keys);
        if self.keys.is_empty() {
            return;
        }
        if !self.is_conversing() || self.caller_speaks {
            self.timers.set(Timer::Keys, now + NEXT_KEY_WAIT);
            return;
        }
        let keys = std::mem::take(&mut self.keys);
        let spaced: Vec<_> = keys.chars().map(String::from).collect();
        let text = format!(
            "(The caller pressed these keys of the phone: {})",
            spaced.join(" ")
        );
        self.break_off();
        self.farewell = false;
        self.conversation.keys(&text);
        let line = Line {
            role: Role::Caller,
            text,
        };
        self.tell(Command::Remember(vec![line]));
        self.ask(now, Command::Respond);
    }
}
