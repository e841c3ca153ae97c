//! `bench tenants`: what very many projects cost, and how soon a change is in effect.
//!
//! The product is a process of its own, measured from outside. Its projects are at a simulated
//! worker endpoint (registration and pings, as the real server does them), then fewer at real
//! servers; one more is at a real server, where callers listen to a long greeting while rows are
//! changed. Beside it, in the same run, the idle workers of livekit-agents.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::Args;
use futures_util::future;
use rand::Rng as _;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::Row as _;
use trunkline_testbed::backend::Reply;
use trunkline_testbed::bed::{Bed, answer_of};
use trunkline_testbed::caller::{Caller, SAMPLE_RATE};
use trunkline_testbed::voice;

use crate::engine::round;
use crate::idle_agents;
use crate::report::{Table, median, quantile, say};
use crate::sites::{CHANGE_LIMIT, Site};
use crate::usage::Usage;

/// The tenant whose calls go on meanwhile.
const LIVE: &str = "live";

/// After everything has registered, until what was needed for it is given back.
const SETTLE: Duration = Duration::from_secs(5);

/// Until callers are answered, and until they have hung up.
const CALL_LIMIT: Duration = Duration::from_secs(60);

/// How often the log is looked at for a change that is awaited. What is measured is the time that
/// stands in it.
const POLL: Duration = Duration::from_millis(3);

#[derive(Args)]
pub(crate) struct TenantsArguments {
    /// How many tenants, a measurement each
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000,10000")]
    tenants: Vec<usize>,
    /// How many tenants at a real livekit-server each, measured at last; 0 for none
    #[arg(long, default_value_t = 20)]
    servers: usize,
    /// How long the idle process is measured
    #[arg(long, default_value_t = 20)]
    idle_seconds: u64,
    /// Changes of a row, of each kind
    #[arg(long, default_value_t = 100)]
    changes: usize,
    /// Calls that go on while rows are changed
    #[arg(long, default_value_t = 100)]
    calls: usize,
    /// The Python that has the packages of crates/testbed/python/agents-requirements.txt; without
    /// it only the product is measured
    #[arg(long)]
    python: Option<PathBuf>,
    /// Projects of livekit-agents, a deployment each
    #[arg(long, default_value_t = 3)]
    agents: usize,
}

#[derive(Debug, Serialize)]
struct Row {
    count: usize,
    /// `simulated`: one worker endpoint; `real`: a server for each.
    servers: &'static str,
    /// From the start of the process until the last has registered.
    registered_s: f64,
    /// From the `INSERT` of all of them into a running process until then.
    inserted_s: f64,
    kb_per_tenant: f64,
    fds_per_tenant: f64,
    /// Cores of the whole process with nothing to do, and the same without these tenants.
    idle_cores: f64,
    idle_cores_without: f64,
    /// From `UPDATE` until the supervisor has carried it out.
    reload_ms_p50: f64,
    reload_ms_p99: f64,
    /// From `UPDATE` of a key until the server has the new registration.
    reregistered_ms_p50: f64,
    reregistered_ms_p99: f64,
    calls: usize,
    /// Calls whose greeting was not heard whole.
    audio_gaps: usize,
    machine_busy: f64,
}

pub(crate) async fn run(arguments: TenantsArguments) -> anyhow::Result<()> {
    say("What projects cost that wait for calls, and how soon a change of a row is in effect.")?;
    say("")?;
    let table = Table::new(&[
        ("tenants", 7),
        ("servers", 9),
        ("started s", 9),
        ("inserted s", 10),
        ("kB/tenant", 9),
        ("fds/tenant", 10),
        ("idle core", 9),
        ("without", 7),
        ("reload p50", 10),
        ("p99 ms", 6),
        ("new key p50", 11),
        ("p99 ms", 6),
        ("calls", 5),
        ("gaps", 4),
    ])?;
    let mut rows = Vec::new();
    let simulated = arguments.tenants.iter().map(|&count| (count, false));
    let real = (arguments.servers > 0).then_some((arguments.servers, true));
    for (count, is_real) in simulated.chain(real) {
        let site = match is_real {
            true => Site::real(count).await?,
            false => Site::simulated().await?,
        };
        let row = measure(&arguments, site, count)
            .await
            .with_context(|| format!("{count} tenants"))?;
        table.row(&[
            row.count.to_string(),
            row.servers.to_owned(),
            format!("{:.1}", row.registered_s),
            format!("{:.1}", row.inserted_s),
            format!("{:.1}", row.kb_per_tenant),
            format!("{:.2}", row.fds_per_tenant),
            format!("{:.4}", row.idle_cores),
            format!("{:.4}", row.idle_cores_without),
            format!("{:.1}", row.reload_ms_p50),
            format!("{:.1}", row.reload_ms_p99),
            format!("{:.0}", row.reregistered_ms_p50),
            format!("{:.0}", row.reregistered_ms_p99),
            row.calls.to_string(),
            row.audio_gaps.to_string(),
        ])?;
        rows.push(row);
    }
    let agents = match &arguments.python {
        Some(python) => Some(idle_agents::measure(python, arguments.agents).await?),
        None => None,
    };
    say("")?;
    if let Some(agents) = &agents {
        say(&agents.text())?;
    }
    say(
        "started: from the start of the process until the last tenant is registered. inserted: from one",
    )?;
    say(
        "  INSERT of all of them, secrets in clear. kB: proportional set size. reload: from an UPDATE",
    )?;
    say(
        "  until it is carried out. new key: from an UPDATE of the API key until the server has the new",
    )?;
    say("  registration. gaps: calls whose greeting was not heard whole while rows were changed.")?;
    say(&json!({ "tenants": rows, "livekit_agents": agents }).to_string())
}

async fn measure(
    arguments: &TenantsArguments,
    mut site: Site,
    count: usize,
) -> anyhow::Result<Row> {
    let idle = Duration::from_secs(arguments.idle_seconds);
    // Twice as many: what a tenant may take of a process that is nearly full is bounded.
    let max_calls = (2 * arguments.calls + 10).to_string();
    let environment = [("TRUNKLINE_WORKER__MAX_CALLS", max_calls.as_str())];
    let mut bed = Bed::start_with(&[LIVE], &environment).await?;

    tokio::time::sleep(SETTLE).await;
    let before = Usage::of(bed.product.pid()?)?;
    tokio::time::sleep(idle).await;
    let idle_without = Usage::of(bed.product.pid()?)?.since(&before);

    let inserting = Instant::now();
    site.insert(&bed, count).await?;
    site.all_registered(&bed, count).await?;
    let inserted = inserting.elapsed();

    // As after a deploy: everything at once.
    bed.product.terminate();
    bed.product.ended(CALL_LIMIT).await?;
    site.forgotten().await?;
    let starting = Instant::now();
    bed.product.start_again().await?;
    site.all_registered(&bed, count).await?;
    let started = starting.elapsed();

    bed.registered(LIVE).await?;
    tokio::time::sleep(SETTLE).await;
    let after = Usage::of(bed.product.pid()?)?;
    tokio::time::sleep(idle).await;
    let span = Usage::of(bed.product.pid()?)?.since(&after);

    let callers = ring(&bed, arguments.calls).await?;
    let mut log = Log {
        bed: &bed,
        read: bed.product.log_length()?,
    };
    let mut reloads = Vec::new();
    let mut registrations = Vec::new();
    for change in 0..arguments.changes {
        reloads.push(reload(&bed, &mut log, count, change).await?);
        let number = rand::rng().random_range(1..=count);
        registrations.push(site.reregister(&bed, number, change).await?);
    }
    let busy = Usage::of(bed.product.pid()?)?.since(&after).machine_busy;
    let audio_gaps = hang_up(callers).await?;
    Ok(Row {
        count,
        servers: site.name(),
        registered_s: round(started.as_secs_f64(), 2),
        inserted_s: round(inserted.as_secs_f64(), 2),
        kb_per_tenant: round((after.pss_kb - before.pss_kb) / count as f64, 1),
        fds_per_tenant: round(
            (after.descriptors as f64 - before.descriptors as f64) / count as f64,
            2,
        ),
        idle_cores: round(span.cores, 4),
        idle_cores_without: round(idle_without.cores, 4),
        reload_ms_p50: round(median(&reloads), 1),
        reload_ms_p99: round(quantile(&reloads, 0.99), 1),
        reregistered_ms_p50: round(median(&registrations), 1),
        reregistered_ms_p99: round(quantile(&registrations, 0.99), 1),
        calls: arguments.calls,
        audio_gaps,
        machine_busy: round(busy, 3),
    })
}

/// An `UPDATE` that applies in place: milliseconds until the supervisor has carried it out.
async fn reload(bed: &Bed, log: &mut Log<'_>, count: usize, change: usize) -> anyhow::Result<f64> {
    let slug = format!("t{}", rand::rng().random_range(1..=count));
    let began = Utc::now();
    let row = sqlx::query("UPDATE tenants SET max_calls = $2 WHERE slug = $1 RETURNING version")
        .bind(&slug)
        .bind(i32::try_from(change + 1)?)
        .fetch_one(&bed.sql)
        .await
        .context("changing a tenant")?;
    let version: i64 = row.try_get("version")?;
    let seen = log
        .time_of(&format!("apply {slug}@{version}"))
        .await
        .with_context(|| format!("waiting for the change of {slug}"))?;
    Ok((seen - began).as_seconds_f64() * 1_000.0)
}

/// What the product logs from now on.
struct Log<'a> {
    bed: &'a Bed,
    read: u64,
}

impl Log<'_> {
    /// The time of the first new line that holds this text.
    async fn time_of(&mut self, text: &str) -> anyhow::Result<DateTime<Utc>> {
        let until = Instant::now() + CHANGE_LIMIT;
        loop {
            let new = self.bed.product.log_from(self.read)?;
            // The last line may not be whole yet.
            let whole = new.rfind('\n').map_or(0, |end| end + 1);
            if let Some(line) = new[..whole].lines().find(|line| line.contains(text)) {
                let line: Value = serde_json::from_str(line).context("a line of the log")?;
                let time = line["timestamp"]
                    .as_str()
                    .context("a line without a time")?;
                self.read += whole as u64;
                return Ok(time.parse()?);
            }
            anyhow::ensure!(
                Instant::now() < until,
                "{text:?} is not in the log; it ends with\n{}",
                self.bed.product.log_tail()
            );
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Callers who listen to a greeting that does not end before all changes are made.
async fn ring(bed: &Bed, calls: usize) -> anyhow::Result<Vec<Caller>> {
    let project = bed.project(LIVE);
    let mut answer = answer_of(LIVE);
    answer["startMessage"] = json!(greeting());
    project.backend.reply(Reply::Json(answer));
    let mut callers = Vec::new();
    for _ in 0..calls {
        callers.push(project.ring().await?);
    }
    let active = callers.iter().map(|caller| caller.wait_active(CALL_LIMIT));
    future::try_join_all(active).await?;
    Ok(callers)
}

/// Words that take some minutes to say.
fn greeting() -> String {
    (0..300)
        .map(|n| format!("w{n}"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Ends the calls. Answers how many had gaps.
async fn hang_up(callers: Vec<Caller>) -> anyhow::Result<usize> {
    let mut gaps = 0;
    for caller in &callers {
        let heard = voice::decode(&caller.heard(), SAMPLE_RATE);
        let text = heard
            .iter()
            .map(|part| part.text.as_str())
            .collect::<Vec<_>>();
        // Cut off at its end, and at nothing else.
        let is_whole = heard.len() == 1 && !text[0].is_empty() && greeting().starts_with(text[0]);
        gaps += usize::from(!is_whole);
    }
    let ending = callers.iter().map(Caller::hang_up);
    tokio::time::timeout(CALL_LIMIT, future::try_join_all(ending))
        .await
        .context("callers do not come to an end")??;
    Ok(gaps)
}
