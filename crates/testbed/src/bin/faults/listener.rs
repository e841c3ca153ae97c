//! Listening to the agent until its turn is over.

use std::time::{Duration, Instant};

use trunkline_testbed::caller::{Caller, Mark, SAMPLE_RATE};
use trunkline_testbed::voice::{self, Decoder, Heard};

use crate::silence::{self, Span};
use crate::site::{ANSWER, GOING_ON, sentences};

/// How long a caller hears nothing before it is certain that nobody is there. Callers hang up from
/// about then.
pub(crate) const NOBODY_THERE: Duration = Duration::from_secs(10);

/// No turn of an agent's takes longer here, whatever is heard.
const LONGEST_TURN: Duration = Duration::from_secs(45);

/// How much shorter a sentence may be that a busy line has brought: some packets.
const TOLERANCE: Duration = Duration::from_millis(100);

/// How often it is looked at what was heard.
const POLL: Duration = Duration::from_millis(100);

/// How the agent's turn ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TurnEnd {
    /// With this sentence, by what it is.
    Said(&'static str),
    /// With the call.
    Over,
    /// Not at all: nothing was heard for too long.
    Silent,
}

/// See the module.
pub(crate) struct Listener<'a> {
    caller: &'a Caller,
    question: &'a str,
    active: Instant,
    start: Mark,
    read: usize,
    decoder: Decoder,
}

impl<'a> Listener<'a> {
    /// Listens from the call's first sample on.
    pub(crate) fn new(caller: &'a Caller, question: &'a str, start: Mark, active: Instant) -> Self {
        Self {
            caller,
            question,
            active,
            start,
            read: 0,
            decoder: Decoder::new(SAMPLE_RATE),
        }
    }

    /// This moment, counted from where both sides hear each other.
    pub(crate) fn now(&self) -> Duration {
        self.active.elapsed()
    }

    /// Waits until something is heard that began after `from`, or the turn cannot begin any more.
    pub(crate) async fn first_sound(&self, from: Duration) -> bool {
        let until = Instant::now() + NOBODY_THERE;
        while Instant::now() < until && self.caller.timeline().ended.is_none() {
            let heard = silence::sounds(&self.caller.heard(), SAMPLE_RATE);
            if heard.last().is_some_and(|sound| sound.to > from) {
                return true;
            }
            tokio::time::sleep(POLL).await;
        }
        false
    }

    /// Waits until the agent's turn that began at `from` is over, and says when it was.
    pub(crate) async fn turn(&mut self, from: Duration) -> (TurnEnd, Span) {
        let began = Instant::now();
        loop {
            let ended = self.caller.timeline().ended;
            let heard = self.heard();
            let sounds = silence::sounds(&self.caller.heard(), SAMPLE_RATE);
            let said = heard
                .iter()
                .rev()
                .find_map(|sentence| self.whole(sentence, &sounds))
                .filter(|(_, until)| *until > from);
            let over = |to| Span { from, to };
            if let Some((what, until)) = said {
                return (TurnEnd::Said(what), over(until));
            }
            if let Some(ended) = ended {
                let at = ended.at.saturating_duration_since(self.active);
                return (TurnEnd::Over, over(at));
            }
            let last = sounds.last().map_or(from, |sound| sound.to.max(from));
            let silent_for = self.now().saturating_sub(last);
            if silent_for > NOBODY_THERE || began.elapsed() > LONGEST_TURN {
                tracing::debug!(?heard, "nothing more is heard");
                return (TurnEnd::Silent, over(self.now()));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The sentences so far.
    fn heard(&mut self) -> Vec<Heard> {
        let all = self.caller.heard_since(self.start);
        self.decoder.push(all.get(self.read..).unwrap_or_default());
        self.read = all.len().max(self.read);
        self.decoder.heard()
    }

    /// What the sentence is and when it was over, if it was heard to its end. Words may be lost on
    /// the way; then its length tells.
    fn whole(&self, heard: &Heard, sounds: &[Span]) -> Option<(&'static str, Duration)> {
        let known = sentences(self.question);
        let whole = known.iter().find(|(sentence, _)| {
            let last = sentence.rsplit(' ').next().unwrap_or_default();
            // Two sentences of which one broke off may be taken for one.
            let is_its_own = is_part(&heard.text, sentence) || sentence == GOING_ON;
            let has_its_end = heard.text.ends_with(last) && is_its_own;
            has_its_end || (heard.complete && voice::is_sentence(&heard.text, sentence))
        });
        if let Some((_, what)) = whole {
            return Some((what, heard.until));
        }
        if heard.complete {
            // The model may have misheard the question.
            let is_answer = heard.text.starts_with(ANSWER);
            let what = if is_answer { "answer" } else { "other words" };
            return Some((what, heard.until));
        }
        let run = silence::run(sounds, heard.at)?;
        let long_enough = |sentence: &str| {
            let samples = voice::encode(sentence, SAMPLE_RATE).len();
            let length = Duration::from_secs(samples as u64) / SAMPLE_RATE;
            run.length() + TOLERANCE >= length
        };
        let (_, what) = known
            .iter()
            .find(|(sentence, _)| is_part(&heard.text, sentence) && long_enough(sentence))?;
        Some((what, run.to))
    }
}

/// Whether all of these words are in the sentence, in their order.
fn is_part(words: &str, sentence: &str) -> bool {
    let mut rest = sentence.split(' ');
    words.split(' ').all(|word| rest.any(|next| next == word))
}
