//! What idle projects cost with livekit-agents: a deployment each, as its users run them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;
use trunkline_testbed::worker_endpoint::WorkerEndpoint;

use crate::deployment::{self, Deployment, usages};
use crate::engine::round;
use crate::report::median;

/// A deployment takes seconds to register; on a busy machine many.
const REGISTER_LIMIT: Duration = Duration::from_secs(120);

/// Until the processes that it keeps ready have started.
const SETTLE: Duration = Duration::from_secs(20);

/// Over which their processor time is measured.
const IDLE: Duration = Duration::from_secs(10);

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

pub(crate) async fn measure(python: &Path, projects: usize) -> anyhow::Result<IdleAgents> {
    let mut endpoint = WorkerEndpoint::start().await?;
    let mut deployments = Vec::new();
    let mut registered = Vec::new();
    for project in 0..projects {
        let began = Instant::now();
        let url = endpoint.url();
        let (key, secret) = (
            format!("key-{project}"),
            format!("secret-of-project-{project}"),
        );
        let variables = [
            ("LIVEKIT_URL", url.as_str()),
            ("LIVEKIT_API_KEY", key.as_str()),
            ("LIVEKIT_API_SECRET", secret.as_str()),
        ];
        deployments.push(Deployment::start(python, "idle_agent", &variables)?);
        let registration = tokio::time::timeout(REGISTER_LIMIT, endpoint.registration())
            .await
            .context("livekit-agents does not register")?;
        registered.push(registration.at.duration_since(began).as_secs_f64());
    }
    tokio::time::sleep(SETTLE).await;
    let before = usages(&deployments)?;
    tokio::time::sleep(IDLE).await;
    let after = usages(&deployments)?;
    let cores = deployment::cores(&before, &after);
    let kb: f64 = after.iter().map(|(_, usage)| usage.pss_kb).sum();
    let count = projects.max(1) as f64;
    let result = IdleAgents {
        projects,
        mb_per_project: round(kb / 1_000.0 / count, 1),
        processes_per_project: round(after.len() as f64 / count, 1),
        idle_cores_per_project: round(cores / count, 4),
        registered_s: round(median(&registered), 2),
    };
    for deployment in deployments {
        deployment.end().await?;
    }
    Ok(result)
}
