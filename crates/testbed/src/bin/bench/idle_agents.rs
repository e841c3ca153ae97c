//! What idle projects cost with livekit-agents: a deployment each, as its users run them.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use procfs::process::{Stat, all_processes};
use serde::Serialize;
use tokio::process::{Child, Command};
use trunkline_testbed::worker_endpoint::WorkerEndpoint;

use crate::child::script_path;
use crate::engine::round;
use crate::report::median;
use crate::usage::Usage;

/// A deployment takes seconds to register; on a busy machine many.
const REGISTER_LIMIT: Duration = Duration::from_secs(120);

/// Until the processes that it keeps ready have started.
const SETTLE: Duration = Duration::from_secs(20);

/// Over which their processor time is measured.
const IDLE: Duration = Duration::from_secs(10);

/// A deployment drains at `SIGTERM`; an idle one has nothing to wait for.
const END_LIMIT: Duration = Duration::from_secs(20);

/// What an idle project costs.
#[derive(Debug, Serialize)]
pub(crate) struct IdleAgents {
    projects: usize,
    mb_per_project: f64,
    processes_per_project: f64,
    idle_cores_per_project: f64,
    /// From the start of the process until it is registered, in the mean of the middle.
    registered_s: f64,
}

impl IdleAgents {
    pub(crate) fn text(&self) -> String {
        format!(
            "livekit-agents, {} idle projects: {:.0} MB, {:.1} processes and {:.3} of a core each; {:.1} s to be registered.",
            self.projects,
            self.mb_per_project,
            self.processes_per_project,
            self.idle_cores_per_project,
            self.registered_s,
        )
    }
}

/// A deployment: its processes are a group, and end with it.
struct Deployment(Child);

impl Drop for Deployment {
    fn drop(&mut self) {
        if let Some(group) = self.0.id().and_then(|id| i32::try_from(id).ok()) {
            // An error means that they have all ended.
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
    }
}

pub(crate) async fn measure(python: &Path, projects: usize) -> anyhow::Result<IdleAgents> {
    let mut endpoint = WorkerEndpoint::start().await?;
    let mut deployments = Vec::new();
    let mut registered = Vec::new();
    for project in 0..projects {
        let began = Instant::now();
        let mut command = Command::new(python);
        command
            .arg(script_path("idle_agent"))
            .arg("start")
            .env("LIVEKIT_URL", endpoint.url())
            .env("LIVEKIT_API_KEY", format!("key-{project}"))
            .env("LIVEKIT_API_SECRET", format!("secret-of-project-{project}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn().context("livekit-agents does not start")?;
        deployments.push(Deployment(child));
        let registration = tokio::time::timeout(REGISTER_LIMIT, endpoint.registration())
            .await
            .context("livekit-agents does not register")?;
        registered.push(registration.at.duration_since(began).as_secs_f64());
    }
    tokio::time::sleep(SETTLE).await;
    let before = usages(&deployments)?;
    tokio::time::sleep(IDLE).await;
    let after = usages(&deployments)?;
    let cores: f64 = before
        .iter()
        .filter_map(|(pid, earlier)| {
            let (_, later) = after.iter().find(|(other, _)| other == pid)?;
            Some(later.since(earlier).cores)
        })
        .sum();
    let kb: f64 = after.iter().map(|(_, usage)| usage.pss_kb).sum();
    let count = projects.max(1) as f64;
    let result = IdleAgents {
        projects,
        mb_per_project: round(kb / 1_000.0 / count, 1),
        processes_per_project: round(after.len() as f64 / count, 1),
        idle_cores_per_project: round(cores / count, 4),
        registered_s: round(median(&registered), 2),
    };
    for deployment in &mut deployments {
        if let Some(id) = deployment.0.id() {
            let _ = killpg(Pid::from_raw(i32::try_from(id)?), Signal::SIGTERM);
        }
    }
    for deployment in &mut deployments {
        if tokio::time::timeout(END_LIMIT, deployment.0.wait())
            .await
            .is_err()
        {
            tracing::warn!("a deployment of livekit-agents does not end by itself");
        }
    }
    Ok(result)
}

/// Every process of the deployments, children of children included.
fn usages(deployments: &[Deployment]) -> anyhow::Result<Vec<(i32, Usage)>> {
    let all: Vec<Stat> = all_processes()
        .context("cannot list processes")?
        // One may end while it is looked at.
        .filter_map(|process| process.and_then(|process| process.stat()).ok())
        .collect();
    let mut members: Vec<i32> = deployments
        .iter()
        .filter_map(|deployment| i32::try_from(deployment.0.id()?).ok())
        .collect();
    let mut next = 0;
    while let Some(&parent) = members.get(next) {
        members.extend(
            all.iter()
                .filter(|stat| stat.ppid == parent)
                .map(|stat| stat.pid),
        );
        next += 1;
    }
    Ok(members
        .into_iter()
        .filter_map(|pid| Some((pid, Usage::of(pid).ok()?)))
        .collect())
}
