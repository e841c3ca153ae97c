//! One call of the demo, as all who took part in it saw it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};
use trunkline_testbed::caller::{Caller, Ending, SAMPLE_RATE, Timeline};
use trunkline_testbed::model::SessionRecord;
use trunkline_testbed::voice::{self, Heard};

use crate::stage::{Stage, sounding};
use crate::story::{millis, say};
use crate::{LIMIT, QUESTION};

/// How often the database is asked for a record that is on its way.
const POLL: Duration = Duration::from_millis(20);

/// See the module.
pub(crate) struct Call {
    slug: &'static str,
    number: u32,
    timeline: Timeline,
    expected: &'static str,
    /// What was heard first; `None` of a model whose words are not decoded.
    greeting: Option<Heard>,
    greeting_at: Option<Instant>,
    interrupted: Option<Instant>,
    config_source: Option<String>,
    sounded: Duration,
    steps: Vec<(Instant, String)>,
    wav: PathBuf,
}

impl Call {
    pub(crate) async fn observe(
        stage: &Stage,
        slug: &'static str,
        number: u32,
        caller: &Caller,
        interrupted: Option<Instant>,
        wav: PathBuf,
    ) -> anyhow::Result<Self> {
        caller.save_wav(&wav)?;
        let pcm = caller.heard();
        let sentences = match stage.is_simulated() {
            true => voice::decode(&pcm, SAMPLE_RATE),
            false => Vec::new(),
        };
        let at = |position: Duration| {
            caller.heard_at((position.as_secs_f64() * f64::from(SAMPLE_RATE)) as usize)
        };
        let timeline = caller.timeline();
        let greeting = sentences.first().cloned();
        let greeting_at = match &greeting {
            Some(greeting) => at(greeting.at),
            None => timeline.first_sound,
        };
        let mut steps = steps_of(&timeline);
        if let Some(asked) = stage.asked(slug, caller.room()) {
            steps.push((
                asked,
                "the tenant's backend is asked for the configuration".to_owned(),
            ));
        }
        if let Some(session) = session_of(stage, slug, &timeline) {
            steps.extend(steps_of_model(&session, &timeline));
        }
        let answer = format!("You said: {QUESTION}");
        for (index, heard) in sentences.iter().enumerate() {
            let (what, whole) = match index {
                0 => ("greeting", stage.expected(slug, number)),
                _ => ("answer", answer.as_str()),
            };
            if let Some(at) = at(heard.at) {
                steps.push((at, format!("caller hears the {what} begin")));
            }
            if let Some(until) = at(heard.until) {
                let how = how_far(
                    heard,
                    whole,
                    Cut {
                        interrupted: index == 0 && interrupted.is_some(),
                        last: index + 1 == sentences.len(),
                        ended: timeline.ended.as_ref().map(|ended| &ended.how),
                    },
                );
                steps.push((until, format!("… {how}: “{}”", heard.text)));
            }
        }
        if let Some(at) = interrupted {
            steps.push((at, "caller breaks in".to_owned()));
        }
        steps.sort_by_key(|(at, _)| *at);
        Ok(Self {
            slug,
            number,
            timeline,
            expected: stage.expected(slug, number),
            greeting,
            greeting_at,
            interrupted,
            config_source: Some(config_source(stage, caller.room()).await?),
            sounded: sounding(&pcm),
            steps,
            wav,
        })
    }

    /// The greeting was the tenant's own: whole, or as far as the caller let it be.
    pub(crate) fn is_right(&self) -> bool {
        let words = match (&self.greeting, self.interrupted) {
            (Some(heard), None) => voice::is_sentence(&heard.text, self.expected),
            (Some(heard), Some(_)) => {
                let count = heard.text.split(' ').count();
                let begun: Vec<&str> = self.expected.split(' ').take(count + 1).collect();
                voice::is_sentence(&heard.text, &begun.join(" "))
            }
            (None, _) => self.sounded >= Duration::from_secs(1),
        };
        words && self.config_source.as_deref() == Some("fresh")
    }

    /// The call for people.
    pub(crate) fn tell(&self) -> std::io::Result<()> {
        say("")?;
        let verdict = if self.is_right() { "✓" } else { "✗" };
        say(&format!("{verdict} {}, call {}", self.slug, self.number))?;
        for (at, what) in &self.steps {
            let at = millis(at.saturating_duration_since(self.timeline.rang));
            say(&format!("  {at:>6} ms  {what}"))?;
        }
        say(&format!("  what the caller heard: {}", self.wav.display()))
    }

    pub(crate) fn json(&self) -> Value {
        let from_active = self.greeting_at.zip(self.timeline.active);
        json!({
            "tenant": self.slug,
            "answered": self.timeline.answered.is_some(),
            "config_source": self.config_source,
            "start_message_expected": self.expected,
            "start_message_heard": self.greeting.as_ref().map(|heard| &heard.text),
            "interrupted": self.interrupted.is_some(),
            "pickup_ms": self.timeline.pickup().map(millis),
            "active_to_greeting_ms": from_active
                .map(|(greeting, active)| millis(greeting.saturating_duration_since(active))),
            "wav": self.wav,
        })
    }
}

/// What can have ended a sentence before its end.
struct Cut<'a> {
    /// The caller broke into it.
    interrupted: bool,
    /// Nothing was heard after it.
    last: bool,
    /// How the call ended.
    ended: Option<&'a Ending>,
}

/// How far a sentence was heard. Only words that were heard whole are known, so
/// this is when the last of them was over, and not yet when the voice fell silent.
fn how_far(heard: &Heard, whole: &str, cut: Cut<'_>) -> &'static str {
    if heard.complete || heard.text == whole {
        return "to its end";
    }
    if whole.ends_with(last_word(&heard.text)) && voice::is_sentence(&heard.text, whole) {
        return "to its end, with words lost on the way";
    }
    match cut.ended {
        _ if cut.interrupted => "the last whole word before the caller's own words stop it",
        Some(Ending::HungUp) if cut.last => "the last whole word before the caller hangs up",
        _ => "the last whole word before it breaks off",
    }
}

fn last_word(text: &str) -> &str {
    text.rsplit(' ').next().unwrap_or_default()
}

fn steps_of(timeline: &Timeline) -> Vec<(Instant, String)> {
    let named = [
        (Some(timeline.rang), "ringing"),
        (timeline.agent_joined, "the caller sees the agent join"),
        (timeline.answered, "answered"),
        (timeline.active, "active: both sides hear each other"),
    ];
    let mut steps: Vec<_> = named
        .into_iter()
        .filter_map(|(at, what)| Some((at?, what.to_owned())))
        .collect();
    if let Some(ended) = &timeline.ended {
        let how = match &ended.how {
            Ending::HungUp => "the caller hangs up".to_owned(),
            other => format!("the call is over ({other:?})"),
        };
        steps.push((ended.at, how));
    }
    steps
}

fn steps_of_model(session: &SessionRecord, timeline: &Timeline) -> Vec<(Instant, String)> {
    let first = |kind: &str| session.events_of(kind).next().map(|event| event.at);
    let mut steps = vec![(
        session.opened_at,
        "a socket to the model is open".to_owned(),
    )];
    steps.extend(first("session.update").map(|at| (at, "the model is configured".to_owned())));
    steps.extend(first("response.create").map(|at| {
        (
            at,
            "the model is ready; the greeting is asked for".to_owned(),
        )
    }));
    steps.extend(session.truncations.iter().map(|truncation| {
        let kept = millis(truncation.audio_end);
        (
            truncation.at,
            format!("barge-in: the model forgets what was not heard, after {kept} ms of speech"),
        )
    }));
    // An early socket was opened before the phone rang: never so here.
    steps.retain(|(at, _)| *at >= timeline.rang);
    steps
}

/// The session of a call: the one with the tenant's prompt whose greeting was
/// asked for while it rang.
fn session_of(stage: &Stage, slug: &str, timeline: &Timeline) -> Option<SessionRecord> {
    let answered = timeline.answered?;
    stage.bed.model.sessions().into_iter().find(|session| {
        let greeted = session.events_of("response.create").next();
        let instructions = session.session["instructions"].as_str().unwrap_or_default();
        greeted.is_some_and(|event| event.at >= timeline.rang && event.at <= answered)
            && instructions.contains(slug)
    })
}

/// The rung that gave the configuration, from the call's record.
async fn config_source(stage: &Stage, room: &str) -> anyhow::Result<String> {
    let until = Instant::now() + LIMIT;
    loop {
        let source: Option<Option<String>> =
            sqlx::query_scalar("SELECT config_source FROM calls WHERE room = $1")
                .bind(room)
                .fetch_optional(&stage.bed.sql)
                .await?;
        if let Some(source) = source {
            return source.context("the call ended before it was configured");
        }
        anyhow::ensure!(Instant::now() < until, "there is no record of the call");
        tokio::time::sleep(POLL).await;
    }
}
