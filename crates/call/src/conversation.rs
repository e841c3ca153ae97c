//! What was said in a call so far, in writing. Pure.
//!
//! A model's session that is lost takes its memory along; the next one is told what stands
//! here. An agent's line holds what was heard of it, not what was meant to be said.

use std::collections::VecDeque;
use std::time::Duration;

use trunkline_realtime::{ItemId, Line, Role, Transcript};

/// Lines that are kept: half an hour of lively talk.
const MAX_LINES: usize = 256;
/// Characters that are kept in all: about 8,000 tokens, a quarter of what a session holds.
const MAX_CHARS: usize = 32 * 1024;
/// The longest line, in characters.
const MAX_LINE_CHARS: usize = 4 * 1024;
/// Of the caller's turns, how many are compared with a new one.
const COMPARED: usize = 8;
/// Shorter texts are often said twice: "yes", "no, thank you".
const TELLING_CHARS: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    entries: VecDeque<Entry>,
    chars: usize,
}

#[derive(Debug)]
struct Entry {
    role: Role,
    /// `None`: a turn of the caller's of which nothing was written down yet.
    item: Option<ItemId>,
    text: String,
    /// How much sound there is of it.
    sound: Duration,
    /// How much of it was heard, where not all of it was.
    heard: Option<Duration>,
}

impl Conversation {
    /// The caller's turn ended. What it was is written later, while the answer is
    /// already under way.
    pub(crate) fn turn_ended(&mut self) {
        self.add(Role::Caller, None);
    }

    /// Something that the caller said, or pressed.
    pub(crate) fn caller(&mut self, item: &ItemId, text: &Transcript) {
        let entry = match self.find(item) {
            Some(entry) => entry,
            None => match self.entries.iter_mut().position(is_unwritten) {
                Some(at) => {
                    let entry = &mut self.entries[at];
                    entry.item = Some(item.clone());
                    entry
                }
                None => self.add(Role::Caller, Some(item.clone())),
            },
        };
        let before = entry.text.len();
        write(entry, text);
        let after = entry.text.len();
        self.chars = (self.chars + after).saturating_sub(before);
        self.shrink();
    }

    /// Keys that the caller pressed.
    pub(crate) fn keys(&mut self, text: &str) {
        // Not an item of the vendor's: nothing more comes of it.
        let entry = self.add(Role::Caller, Some(ItemId::from("keys")));
        entry.text = text.to_owned();
        self.chars += text.len();
        self.shrink();
    }

    /// Something that the agent says.
    pub(crate) fn agent(&mut self, item: &ItemId, text: &Transcript) {
        let entry = self.agents(item);
        let before = entry.text.len();
        write(entry, text);
        let after = entry.text.len();
        self.chars = (self.chars + after).saturating_sub(before);
        self.shrink();
    }

    /// Sound of an item of the agent's came.
    pub(crate) fn sounded(&mut self, item: &ItemId, length: Duration) {
        self.agents(item).sound += length;
    }

    /// Only this much of an item was heard.
    pub(crate) fn heard(&mut self, item: &ItemId, heard: Duration) {
        if let Some(entry) = self.find(item) {
            entry.heard = Some(heard);
        }
    }

    /// An item that was cut off goes on, and is heard after all. Its words, if they were
    /// written down.
    pub(crate) fn heard_after_all(&mut self, item: &ItemId) -> Option<String> {
        let entry = self.find(item)?;
        entry.heard = None;
        (!entry.text.is_empty()).then(|| entry.text.clone())
    }

    /// How often the caller has said just this of late: a recording repeats itself.
    pub(crate) fn repetitions(&self, text: &str) -> usize {
        let text = plain(text);
        if text.chars().count() < TELLING_CHARS {
            return 0;
        }
        let turns = self.entries.iter().rev();
        turns
            .filter(|entry| entry.role == Role::Caller && !entry.text.is_empty())
            .take(COMPARED)
            .filter(|entry| plain(&entry.text) == text)
            .count()
    }

    /// The conversation for a new session.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let spoken = self.entries.iter().filter_map(|entry| {
            let text = entry.as_heard();
            (!text.is_empty()).then(|| Line {
                role: entry.role,
                text: text.to_owned(),
            })
        });
        spoken.collect()
    }

    fn agents(&mut self, item: &ItemId) -> &mut Entry {
        // Twice, since a borrow that is returned lives on in the other branch as well.
        if self.find(item).is_none() {
            self.add(Role::Agent, Some(item.clone()));
        }
        let at = self.position(item).unwrap_or(self.entries.len() - 1);
        &mut self.entries[at]
    }

    fn position(&self, item: &ItemId) -> Option<usize> {
        let items = self.entries.iter();
        items
            .rev()
            .position(|entry| entry.item.as_ref() == Some(item))
            .map(|from_the_end| self.entries.len() - 1 - from_the_end)
    }

    fn find(&mut self, item: &ItemId) -> Option<&mut Entry> {
        let at = self.position(item)?;
        self.entries.get_mut(at)
    }

    fn add(&mut self, role: Role, item: Option<ItemId>) -> &mut Entry {
        if self.entries.len() == MAX_LINES {
            self.forget_first();
        }
        self.entries.push_back(Entry {
            role,
            item,
            text: String::new(),
            sound: Duration::ZERO,
            heard: None,
        });
        let last = self.entries.len() - 1;
        &mut self.entries[last]
    }

    fn shrink(&mut self) {
        while self.chars > MAX_CHARS && self.entries.len() > 1 {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.chars = self.chars.saturating_sub(entry.text.len());
        }
    }
}

impl Entry {
    /// As much of the text as there was of the sound. Speech is even enough for that: within
    /// a word or two.
    fn as_heard(&self) -> &str {
        let Some(heard) = self.heard.filter(|heard| *heard < self.sound) else {
            return &self.text;
        };
        let share = heard.as_secs_f64() / self.sound.as_secs_f64();
        let chars = (self.text.chars().count() as f64 * share) as usize;
        let end = self
            .text
            .char_indices()
            .nth(chars)
            .map_or(self.text.len(), |(at, _)| at);
        // No half words.
        let end = self.text[..end].rfind(char::is_whitespace).unwrap_or(0);
        self.text[..end].trim_end()
    }
}

fn is_unwritten(entry: &mut Entry) -> bool {
    entry.role == Role::Caller && entry.item.is_none()
}

fn write(entry: &mut Entry, text: &Transcript) {
    match text {
        Transcript::Delta(text) => entry.text.push_str(text),
        Transcript::Final(text) => entry.text.clone_from(text),
    }
    if let Some((at, _)) = entry.text.char_indices().nth(MAX_LINE_CHARS) {
        entry.text.truncate(at);
    }
}

/// Without what differs between two hearings of the same words.
fn plain(text: &str) -> String {
    let words = text.split(|c: char| !c.is_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str) -> ItemId {
        ItemId::from(name)
    }

    fn text(text: &str) -> Transcript {
        Transcript::Final(text.to_owned())
    }

    fn told(conversation: &Conversation) -> Vec<(Role, String)> {
        let lines = conversation.lines().into_iter();
        lines.map(|line| (line.role, line.text)).collect()
    }

    #[test]
    fn a_turn_that_is_written_late_stands_before_its_answer() {
        let mut conversation = Conversation::default();
        conversation.turn_ended();
        conversation.agent(&item("b"), &Transcript::Delta("From ".into()));
        conversation.caller(&item("a"), &text("When are you open?"));
        conversation.agent(&item("b"), &Transcript::Delta("ten.".into()));
        assert_eq!(
            told(&conversation),
            [
                (Role::Caller, "When are you open?".to_owned()),
                (Role::Agent, "From ten.".to_owned()),
            ]
        );
    }

    #[test]
    fn what_was_cut_off_was_not_said() {
        let mut conversation = Conversation::default();
        conversation.agent(&item("a"), &text("We are open from ten to six."));
        conversation.sounded(&item("a"), Duration::from_secs(2));
        conversation.heard(&item("a"), Duration::from_secs(1));
        assert_eq!(
            told(&conversation),
            [(Role::Agent, "We are open".to_owned())]
        );
        conversation.heard(&item("a"), Duration::ZERO);
        assert_eq!(told(&conversation), []);
        let whole = conversation.heard_after_all(&item("a"));
        assert_eq!(whole.as_deref(), Some("We are open from ten to six."));
        assert_eq!(conversation.lines()[0].text, "We are open from ten to six.");
    }

    #[test]
    fn a_recording_repeats_itself_and_a_caller_who_says_yes_twice_is_none() {
        let mut conversation = Conversation::default();
        for n in 0..3 {
            conversation.caller(
                &item(&n.to_string()),
                &text("Your call is important to us."),
            );
        }
        assert_eq!(conversation.repetitions("your call is important to us"), 3);
        for n in 3..6 {
            conversation.caller(&item(&n.to_string()), &text("Yes."));
        }
        assert_eq!(conversation.repetitions("Yes."), 0);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut conversation = Conversation::default();
        for n in 0..2_000 {
            conversation.turn_ended();
            conversation.agent(&item(&n.to_string()), &text(&"word ".repeat(n)));
        }
        let lines = conversation.lines();
        assert!(lines.len() <= MAX_LINES);
        let chars: usize = lines.iter().map(|line| line.text.len()).sum();
        assert!(chars <= MAX_CHARS, "{chars}");
    }
}
