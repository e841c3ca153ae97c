//! A caller who says nothing, and a machine that says nothing to the point: nobody talks
//! for minutes to a voicemail or to the music of a queue.

use std::time::{Duration, Instant};

use trunkline_domain::FirstSpeaker;
use trunkline_realtime::{Command, ItemId, Transcript};

use super::timers::Timer;
use super::{CallMachine, REPLY_WAIT};

/// How long the caller may take for a first word when the agent has a sentence to say and is
/// to wait with it. Who has dialled says "hello?" within two.
const FIRST_WORD_WAIT: Duration = Duration::from_secs(4);
/// Turns without a word that are borne one after the other: noise has them now and then,
/// music all the time.
const MAX_WORDLESS_TURNS: u32 = 6;
/// How often the same sentence may come, until it is a recording's.
const MAX_REPETITIONS: usize = 3;

const ASK: &str = "The caller has said nothing for a while. In the language of the conversation, \
                   ask in one short sentence whether they are still there.";
const GOODBYE: &str = "Nobody seems to be on the line any more. In the language of the \
                       conversation, say goodbye in one short sentence. Ask nothing.";

impl CallMachine {
    /// Whether neither side speaks nor is about to.
    pub(super) fn is_idle(&self) -> bool {
        !self.sounding
            && !self.caller_speaks
            && self.responding.is_none()
            && !self.timers.is_set(Timer::Reply)
            && !self.timers.is_set(Timer::Again)
    }

    /// The line is quiet, as far as it is: from now on the caller's voice is awaited.
    pub(super) fn rest(&mut self, now: Instant) {
        if !self.is_conversing() || !self.is_idle() {
            return;
        }
        if std::mem::take(&mut self.owes_words) {
            self.ask(now, Command::Respond);
            return;
        }
        if self.timers.is_set(Timer::Silence) {
            return;
        }
        let Some(config) = &self.config else { return };
        let waits_to_greet = !self.greeted && config.first_speaker() == FirstSpeaker::Caller;
        let silence = if waits_to_greet {
            FIRST_WORD_WAIT
        } else {
            config.limits.silence
        };
        self.timers.set(Timer::Silence, now + silence);
    }

    /// The caller has said nothing for long enough.
    pub(super) fn on_silence(&mut self, now: Instant) {
        if !self.is_conversing() || !self.is_idle() {
            return;
        }
        let Some(config) = &self.config else { return };
        let prompts = config.limits.silence_prompts;
        if !self.greeted {
            self.greeted = true;
            self.greet();
            self.timers.set(Timer::Reply, now + REPLY_WAIT);
        } else if self.silence_prompts < prompts {
            self.silence_prompts += 1;
            self.prompt(now, ASK);
        } else {
            self.say_goodbye(now);
        }
    }

    /// Has the model say something of its own accord.
    pub(super) fn prompt(&mut self, now: Instant, instructions: &str) {
        let instructions = instructions.to_owned();
        self.ask(now, Command::Prompt { instructions });
    }

    /// The caller's words, in writing.
    pub(super) fn on_caller_words(&mut self, now: Instant, item: &ItemId, text: &Transcript) {
        self.conversation.caller(item, text);
        let Transcript::Final(text) = text else {
            return;
        };
        if text.trim().is_empty() {
            return;
        }
        self.wordless_turns = 0;
        if self.conversation.repetitions(text) >= MAX_REPETITIONS {
            self.detail
                .get_or_insert_with(|| "the phone side repeats itself as a recording does".into());
            self.say_goodbye(now);
        } else {
            self.silence_prompts = 0;
        }
    }

    /// A turn of the caller's ended. Whether there were words in it is known later.
    pub(super) fn count_wordless_turn(&mut self, now: Instant) {
        if !self.writes_down {
            self.silence_prompts = 0;
            return;
        }
        self.wordless_turns += 1;
        if self.wordless_turns > MAX_WORDLESS_TURNS {
            self.detail
                .get_or_insert_with(|| "noise without a word came from the phone side".into());
            self.say_goodbye(now);
        }
    }

    /// Ends the call with a word, unless the caller speaks after all.
    pub(super) fn say_goodbye(&mut self, now: Instant) {
        if self.farewell || !self.is_conversing() {
            return;
        }
        self.farewell = true;
        self.wordless_turns = 0;
        self.break_off();
        self.timers.clear(Timer::Silence);
        self.prompt(now, GOODBYE);
    }
}
