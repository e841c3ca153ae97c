//! One caller of `bench call`: rings, listens to the greeting, asks some questions, breaks into a
//! long answer, hangs up. What it measures is what it hears.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng as _;
use tokio::sync::Barrier;
use trunkline_testbed::caller::{Caller, CallerOptions, Mark, SAMPLE_RATE};
use trunkline_testbed::model::{Reply, Script, Turn};
use trunkline_testbed::voice;

/// How long a phone rings at most.
const RING_LIMIT: Duration = Duration::from_secs(60);

/// How long the greeting, or an answer, may be awaited.
const SOUND_LIMIT: Duration = Duration::from_secs(15);

/// A greeting or an answer is over when nothing has been heard for so long: words are 20 ms apart.
const PAUSE: Duration = Duration::from_millis(600);

/// An agent that was broken off is silent when nothing has been heard for so long.
const BROKEN_OFF: Duration = Duration::from_millis(200);

/// No sentence here is longer.
const SENTENCE_LIMIT: Duration = Duration::from_secs(40);

/// How long a caller listens to an answer before it breaks in.
const PATIENCE: Duration = Duration::from_millis(1_200);

/// Callers do not ask in chorus: each waits for up to so long before it asks.
const SPREAD: Duration = Duration::from_millis(1_500);

/// How often what was heard is looked at. What is measured stands in the recording.
const POLL: Duration = Duration::from_millis(40);

const QUESTION: &str = "When do you open?";
const LONG_QUESTION: &str = "Tell me everything";
const INTERRUPTION: &str = "Stop, thank you.";

const LONG_ANSWER: &str = "We are open every day from seven in the morning until eight in the \
                           evening, except on the first Monday of the month, when the crew cleans \
                           the quays and nobody picks up the telephone at all, and on holidays, \
                           when only the ferry office is open, and that from nine until noon.";

/// What the agent says at the beginning of each call.
pub(crate) const GREETING: &str = "Welcome to the harbour office, how can we help?";

/// What the model says.
pub(crate) fn answers() -> Script {
    Script::new(|turn: &Turn| {
        if turn.user == LONG_QUESTION {
            Reply::say(LONG_ANSWER)
        } else {
            Reply::obedient(turn)
        }
    })
}

/// What a call is measured against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Questions before the long one.
    pub(crate) questions: usize,
    /// The model's own share of a turn: until it is certain that the caller has finished, and
    /// until it has thought.
    pub(crate) model: Duration,
}

/// Where all callers, and whoever measures them, wait for each other.
#[derive(Clone, Debug)]
pub(crate) struct Stages {
    pub(crate) greeted: Arc<Barrier>,
    pub(crate) begun: Arc<Barrier>,
    pub(crate) asked: Arc<Barrier>,
    pub(crate) measured: Arc<Barrier>,
}

impl Stages {
    /// For so many callers and one who measures.
    pub(crate) fn of(callers: usize) -> Self {
        let barrier = || Arc::new(Barrier::new(callers + 1));
        Self {
            greeted: barrier(),
            begun: barrier(),
            asked: barrier(),
            measured: barrier(),
        }
    }
}

/// What one call was like, in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) pickup: Option<f64>,
    pub(crate) first_sound: Option<f64>,
    pub(crate) active_to_greeting: Option<f64>,
    pub(crate) turn_overheads: Vec<f64>,
    pub(crate) barge_in: Option<f64>,
    /// Questions that nobody answered.
    pub(crate) unanswered: usize,
}

/// The whole call. Whatever becomes of it, it keeps to the stages.
pub(crate) async fn call(
    options: CallerOptions,
    wait: Duration,
    pace: Pace,
    stages: Stages,
) -> Measured {
    let mut measured = Measured::default();
    tokio::time::sleep(wait).await;
    let caller = match greeted(options, &mut measured).await {
        Ok(caller) => Some(caller),
        Err(error) => {
            tracing::warn!("a call came to nothing: {error:#}");
            None
        }
    };
    stages.greeted.wait().await;
    stages.begun.wait().await;
    if let Some(caller) = &caller {
        talk(caller, pace, &mut measured).await;
    }
    stages.asked.wait().await;
    stages.measured.wait().await;
    if let Some(caller) = caller
        && let Err(error) = caller.hang_up().await
    {
        tracing::warn!("a caller did not hang up: {error:#}");
    }
    measured
}

/// Rings, and listens to the greeting.
async fn greeted(options: CallerOptions, measured: &mut Measured) -> anyhow::Result<Caller> {
    let caller = Caller::ring(options).await?;
    let start = caller.mark();
    caller.wait_active(RING_LIMIT).await?;
    measured.pickup = caller.timeline().pickup().map(millis);
    sound(&caller, start).await?;
    let timeline = caller.timeline();
    let first_sound = timeline.first_sound.map(|at| at - timeline.rang);
    measured.first_sound = first_sound.map(millis);
    measured.active_to_greeting = timeline.active_to_first_sound().map(millis);
    pause(&caller).await;
    Ok(caller)
}

async fn talk(caller: &Caller, pace: Pace, measured: &mut Measured) {
    let question = voice::encode(QUESTION, SAMPLE_RATE);
    for _ in 0..pace.questions {
        let wait = rand::rng().random_range(Duration::ZERO..SPREAD);
        tokio::time::sleep(wait).await;
        match ask(caller, &question).await {
            Some(delay) => measured
                .turn_overheads
                .push(millis(delay) - millis(pace.model)),
            None => measured.unanswered += 1,
        }
        pause(caller).await;
    }
    if ask(caller, &voice::encode(LONG_QUESTION, SAMPLE_RATE))
        .await
        .is_none()
    {
        measured.unanswered += 1;
        return;
    }
    tokio::time::sleep(PATIENCE).await;
    let mark = caller.mark();
    let began = Instant::now();
    caller.start_speaking(&voice::encode(INTERRUPTION, SAMPLE_RATE));
    let until = began + SOUND_LIMIT;
    while Instant::now() < until {
        if let Some(silent) = caller.silence_since(mark, BROKEN_OFF) {
            let took = silent.saturating_duration_since(began);
            measured.barge_in = Some(millis(took));
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    pause(caller).await;
}

/// Says a question, and waits for the first sound of its answer: how long after the last of the
/// question it came.
async fn ask(caller: &Caller, question: &[i16]) -> Option<Duration> {
    caller.speak(question).await;
    let (asked, mark) = (Instant::now(), caller.mark());
    let at = sound(caller, mark).await.ok()?;
    Some(at.saturating_duration_since(asked))
}

/// Waits until something is heard since then.
async fn sound(caller: &Caller, mark: Mark) -> anyhow::Result<Instant> {
    let until = Instant::now() + SOUND_LIMIT;
    loop {
        if let Some(at) = caller.sound_since(mark) {
            return Ok(at);
        }
        anyhow::ensure!(
            Instant::now() < until && caller.timeline().ended.is_none(),
            "nothing was heard; {:?}",
            caller.timeline()
        );
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until the agent has said what it had to say.
async fn pause(caller: &Caller) {
    let until = Instant::now() + SENTENCE_LIMIT;
    let speaks = || {
        let last = caller.last_sound();
        last.is_some_and(|last| last.elapsed() < PAUSE)
    };
    while speaks() && Instant::now() < until {
        tokio::time::sleep(POLL).await;
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
