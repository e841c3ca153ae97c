//! `bench call`: how soon callers hear something, and what a call costs, with so many calls at the
//! same time through a real livekit-server; beside it livekit-agents, with the same callers, model,
//! backend and server.
//!
//! Callers, model and backend are in this process; the product, livekit-server and livekit-agents
//! are processes of their own, measured from outside. They all share the machine's cores.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;
use trunkline_testbed::backend::Reply;
use trunkline_testbed::bed::{Bed, answer_of};
use trunkline_testbed::caller::{Caller, CallerOptions};
use trunkline_testbed::model::Behaviour;

use crate::call_script::{self, GREETING, Measured, Pace, Stages};
use crate::deployment::{self, Deployment};
use crate::engine::round;
use crate::report::{Table, quantile, say};
use crate::usage::Usage;

const SLUG: &str = "bench";

/// The agent name of livekit-agents: the callers' dispatch rule says which of the two they get.
const THEIR_NAME: &str = "livekit-agents";

/// How long the model thinks: what the vendor's takes for a first sound, roughly.
const THINK_TIME: Duration = Duration::from_millis(300);

/// How long a caller has to be silent for the model to answer, which both sides ask it for.
const END_OF_TURN: Duration = Duration::from_millis(500);

/// After the first call, until what was needed for it alone is given back.
const SETTLE: Duration = Duration::from_secs(5);

/// Until livekit-agents has registered and has its idle processes ready.
const READY_LIMIT: Duration = Duration::from_secs(120);

/// Between attempts to be answered by livekit-agents.
const ATTEMPT: Duration = Duration::from_secs(15);

/// Until all rooms are empty again.
const EMPTY_LIMIT: Duration = Duration::from_secs(60);

#[derive(Args)]
pub(crate) struct CallArguments {
    /// How many calls at the same time, a measurement each
    #[arg(long, value_delimiter = ',', default_value = "1,10,50,100")]
    calls: Vec<usize>,
    /// The same for livekit-agents
    #[arg(long, value_delimiter = ',', default_value = "1,10")]
    agents: Vec<usize>,
    /// Phones that begin to ring, a second
    #[arg(long, default_value_t = 5.0)]
    rings_per_second: f64,
    /// Questions that each caller asks before the last one
    #[arg(long, default_value_t = 4)]
    questions: usize,
    /// The Python that has the packages of crates/testbed/python/agents-requirements.txt; without
    /// it only the product is measured
    #[arg(long)]
    python: Option<PathBuf>,
}

/// Of some measured times.
#[derive(Debug, Serialize)]
struct Quantiles {
    p50: f64,
    p95: f64,
    p99: f64,
}

impl Quantiles {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.collect();
        let at = |share| round(quantile(&values, share), 1);
        Self {
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
        }
    }

    fn text(&self) -> String {
        format!("{:.0}/{:.0}/{:.0}", self.p50, self.p95, self.p99)
    }
}

/// So many calls of one side.
#[derive(Debug, Serialize)]
struct Row {
    calls: usize,
    /// Calls that were picked up.
    answered: usize,
    /// Questions without an answer.
    unanswered_questions: usize,
    /// From ringing.
    answered_ms: Quantiles,
    /// From ringing.
    first_sound_ms: Quantiles,
    active_to_greeting_ms: Quantiles,
    /// From the end of the caller's speech to the agent's first sound, less what the model waits
    /// and thinks.
    turn_overhead_ms: Quantiles,
    /// From the beginning of the caller's speech until nothing is heard any more.
    barge_in_ms: Quantiles,
    /// Of the processes that answer, beyond what they take with no call.
    cores_per_call: f64,
    mb_per_call: f64,
    /// What takes the machine's cores besides, all calls together.
    callers_cores: f64,
    livekit_server_cores: f64,
    machine_busy: f64,
}

/// Who answers.
enum Side<'a> {
    Ours,
    Agents(&'a [Deployment]),
}

impl Side<'_> {
    fn agent_name(&self) -> Option<&'static str> {
        match self {
            Self::Ours => None,
            Self::Agents(_) => Some(THEIR_NAME),
        }
    }

    fn usages(&self, bed: &Bed) -> anyhow::Result<Vec<(i32, Usage)>> {
        match self {
            Self::Ours => {
                let pid = bed.product.pid()?;
                Ok(vec![(pid, Usage::of(pid)?)])
            }
            Self::Agents(deployments) => deployment::usages(deployments),
        }
    }
}

pub(crate) async fn run(arguments: CallArguments) -> anyhow::Result<()> {
    say("How soon callers hear something, and what a call costs. Milliseconds: p50/p95/p99.")?;
    say("")?;
    let table = Table::new(&[
        ("", 14),
        ("calls", 5),
        ("answered", 8),
        ("picked up", 15),
        ("first sound", 15),
        ("greeting", 12),
        ("turn", 12),
        ("barge-in", 12),
        ("core/call", 9),
        ("MB/call", 7),
        ("callers", 7),
        ("server", 6),
        ("busy", 5),
    ])?;
    let mut ours = Vec::new();
    let mut agents = Vec::new();
    let mut counts = [arguments.calls.clone(), arguments.agents.clone()].concat();
    counts.sort_unstable();
    counts.dedup();
    for calls in counts.into_iter().filter(|&calls| calls > 0) {
        // A fresh process: what an earlier measurement left in it is not this one's.
        let bed = open(calls).await?;
        if arguments.calls.contains(&calls) {
            let row = measure(&arguments, &bed, &Side::Ours, calls)
                .await
                .with_context(|| format!("{calls} calls"))?;
            tell(&table, "trunkline", &row)?;
            ours.push(row);
        }
        if let Some(python) = &arguments.python
            && arguments.agents.contains(&calls)
        {
            let deployment = [deploy(python, &bed)?];
            let side = Side::Agents(&deployment);
            let row = measure(&arguments, &bed, &side, calls)
                .await
                .with_context(|| format!("{calls} calls of livekit-agents"))?;
            tell(&table, THEIR_NAME, &row)?;
            agents.push(row);
            for deployment in deployment {
                deployment.end().await?;
            }
        }
    }
    say("")?;
    say("picked up, first sound: from the first ring. greeting: from where both sides hear each")?;
    say(
        "  other to the first sound. turn: from the end of the caller's speech to the answer's first",
    )?;
    say("  sound, less the model's own time (500 ms until the turn is over, 300 ms of thought).")?;
    say("  barge-in: from the beginning of the caller's speech until nothing is heard any more.")?;
    say("core/call, MB/call: of the processes that answer, beyond what they take with no call.")?;
    say(
        "callers, server: cores that all callers with model and backend took, and livekit-server.",
    )?;
    say(
        "busy: the share of the machine that everybody together kept busy; near 1, nothing that is",
    )?;
    say("  measured here had the time that it wanted.")?;
    say(&json!({ "ours": ours, "livekit_agents": agents }).to_string())
}

fn tell(table: &Table, side: &str, row: &Row) -> anyhow::Result<()> {
    table.row(&[
        side.to_owned(),
        row.calls.to_string(),
        row.answered.to_string(),
        row.answered_ms.text(),
        row.first_sound_ms.text(),
        row.active_to_greeting_ms.text(),
        row.turn_overhead_ms.text(),
        row.barge_in_ms.text(),
        format!("{:.4}", row.cores_per_call),
        format!("{:.2}", row.mb_per_call),
        format!("{:.2}", row.callers_cores),
        format!("{:.2}", row.livekit_server_cores),
        format!("{:.2}", row.machine_busy),
    ])
}

/// Everything that calls need, with the product running.
async fn open(calls: usize) -> anyhow::Result<Bed> {
    // Twice as many: what a tenant may take of a process that is nearly full is bounded.
    let max_calls = (2 * calls + 10).to_string();
    let bed = Bed::start_with(&[SLUG], &[("TRUNKLINE_WORKER__MAX_CALLS", &max_calls)]).await?;
    bed.model.behave(Behaviour {
        think_time: THINK_TIME,
        script: call_script::answers(),
        ..Behaviour::default()
    });
    let mut answer = answer_of(SLUG);
    answer["startMessage"] = json!(GREETING);
    bed.project(SLUG).backend.reply(Reply::Json(answer));
    Ok(bed)
}

/// livekit-agents, in the same project.
fn deploy(python: &Path, bed: &Bed) -> anyhow::Result<Deployment> {
    let project = bed.project(SLUG);
    Deployment::start(
        python,
        "call_agent",
        &[
            ("LIVEKIT_URL", &project.livekit.url()),
            ("LIVEKIT_API_KEY", project.livekit.api_key()),
            (
                "LIVEKIT_API_SECRET",
                project.livekit.api_secret().expose_secret(),
            ),
            ("CALL_CONFIG_URL", &project.backend.url()),
            ("OPENAI_BASE_URL", &bed.model.base_url()),
            ("OPENAI_API_KEY", bed.model_key.expose_secret()),
        ],
    )
}

async fn measure(
    arguments: &CallArguments,
    bed: &Bed,
    side: &Side<'_>,
    calls: usize,
) -> anyhow::Result<Row> {
    let options = || {
        let project = bed.project(SLUG);
        let mut options = CallerOptions::to(&project.livekit, &project.number);
        if let Some(name) = side.agent_name() {
            options.agent_name = Some(name.to_owned());
        }
        options
    };
    // What the first call of a process brings with it is not a call's.
    first_call(options).await?;
    empty(bed).await?;
    tokio::time::sleep(SETTLE).await;
    let idle_before = side.usages(bed)?;
    tokio::time::sleep(SETTLE).await;
    let idle = side.usages(bed)?;

    let stages = Stages::of(calls);
    let pace = Pace {
        questions: arguments.questions,
        model: END_OF_TURN + THINK_TIME,
    };
    let mut callers = JoinSet::new();
    for call in 0..calls {
        let wait = Duration::from_secs_f64(call as f64 / arguments.rings_per_second);
        callers.spawn(call_script::call(options(), wait, pace, stages.clone()));
    }
    stages.greeted.wait().await;
    let own_pid = i32::try_from(std::process::id())?;
    let before = side.usages(bed)?;
    let others_before = [
        Usage::of(own_pid)?,
        Usage::of(bed.project(SLUG).livekit.pid()?)?,
    ];
    stages.begun.wait().await;
    stages.asked.wait().await;
    let after = side.usages(bed)?;
    let others = [
        Usage::of(own_pid)?.since(&others_before[0]),
        Usage::of(bed.project(SLUG).livekit.pid()?)?.since(&others_before[1]),
    ];
    stages.measured.wait().await;
    let measured: Vec<Measured> = callers.join_all().await;
    empty(bed).await?;

    let kb = |usages: &[(i32, Usage)]| usages.iter().map(|(_, it)| it.pss_kb).sum::<f64>();
    let cores = deployment::cores(&before, &after) - deployment::cores(&idle_before, &idle);
    let each = |pick: fn(&Measured) -> Option<f64>| Quantiles::of(measured.iter().filter_map(pick));
    Ok(Row {
        calls,
        answered: measured.iter().filter(|it| it.pickup.is_some()).count(),
        unanswered_questions: measured.iter().map(|it| it.unanswered).sum(),
        answered_ms: each(|it| it.pickup),
        first_sound_ms: each(|it| it.first_sound),
        active_to_greeting_ms: each(|it| it.active_to_greeting),
        turn_overhead_ms: Quantiles::of(
            measured
                .iter()
                .flat_map(|it| it.turn_overheads.iter().copied()),
        ),
        barge_in_ms: each(|it| it.barge_in),
        cores_per_call: round(cores / calls as f64, 4),
        mb_per_call: round((kb(&after) - kb(&idle)) / 1_000.0 / calls as f64, 2),
        callers_cores: round(others[0].cores, 3),
        livekit_server_cores: round(others[1].cores, 3),
        machine_busy: round(others[0].machine_busy, 3),
    })
}

/// A call that is not measured; it is tried until somebody answers.
async fn first_call(options: impl Fn() -> CallerOptions) -> anyhow::Result<()> {
    let trying = async {
        loop {
            let caller = Caller::ring(options()).await?;
            let answered = caller.wait_answered(ATTEMPT).await;
            let heard = caller.heard_until(ATTEMPT, |pcm| !pcm.is_empty());
            if answered.is_ok() {
                // Nothing is measured: that it was answered is enough.
                let _ = heard.await;
            }
            caller.hang_up().await?;
            if answered.is_ok() {
                return Ok(());
            }
        }
    };
    let tried = tokio::time::timeout(READY_LIMIT, trying).await;
    tried.context("nobody answers the first call")?
}

/// Waits until nobody is in any room: the last calls are over for the agents, too.
async fn empty(bed: &Bed) -> anyhow::Result<()> {
    let project = bed.project(SLUG);
    let probe = project.livekit.probe();
    for room in probe.rooms().await? {
        probe
            .participants_until(&room.name, EMPTY_LIMIT, <[_]>::is_empty)
            .await?;
    }
    Ok(())
}
