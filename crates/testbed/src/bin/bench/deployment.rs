//! A deployment of livekit-agents, as its users run one: a worker and the processes that it keeps
//! ready and starts for jobs.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use procfs::process::{Stat, all_processes};
use tokio::process::{Child, Command};

use crate::child::script_path;
use crate::usage::Usage;

/// A deployment drains at `SIGTERM`.
const END_LIMIT: Duration = Duration::from_secs(20);

/// See the module. Its processes are a group, and end with it.
pub(crate) struct Deployment(Child);

impl Drop for Deployment {
    fn drop(&mut self) {
        if let Some(group) = self.0.id().and_then(|id| i32::try_from(id).ok()) {
            // An error means that they have all ended.
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
    }
}

impl Deployment {
    /// Starts a script of `crates/testbed/python/` with these variables.
    pub(crate) fn start(
        python: &Path,
        script: &str,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(python);
        command
            .arg(script_path(script))
            .arg("start")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn().context("livekit-agents does not start")?;
        Ok(Self(child))
    }

    /// Ends it as a deploy does.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        if let Some(id) = self.0.id() {
            let _ = killpg(Pid::from_raw(i32::try_from(id)?), Signal::SIGTERM);
        }
        let ended = tokio::time::timeout(END_LIMIT, self.0.wait()).await;
        if ended.is_err() {
            tracing::warn!("a deployment of livekit-agents does not end by itself");
        }
        Ok(())
    }
}

/// Every process of the deployments, children of children included.
pub(crate) fn usages(deployments: &[Deployment]) -> anyhow::Result<Vec<(i32, Usage)>> {
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

/// Cores that these processes kept busy between two looks. Those that were started meanwhile
/// count from their beginning.
pub(crate) fn cores(before: &[(i32, Usage)], after: &[(i32, Usage)]) -> f64 {
    let Some((_, first)) = before.first() else {
        return 0.0;
    };
    after
        .iter()
        .map(|(pid, later)| {
            let earlier = before.iter().find(|(other, _)| other == pid);
            match earlier {
                Some((_, earlier)) => later.since(earlier).cores,
                None => later.cores_since_start(first),
            }
        })
        .sum()
}
