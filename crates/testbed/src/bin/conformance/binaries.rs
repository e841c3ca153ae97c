//! The SDK's test programs: built by cargo, asked for their tests.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use cargo_metadata::{Message, TargetKind};
use tokio::process::Command;
use trunkline_testbed::sdk;

use crate::limits;
use crate::workspace::{SAME_FEATURES, SdkWorkspace};

/// A program with tests in it.
pub(crate) struct Binary {
    /// The SDK's test target.
    pub(crate) target: String,
    /// Where the program is.
    pub(crate) program: PathBuf,
    /// Its tests' names.
    pub(crate) tests: Vec<String>,
}

/// Builds the test programs of these targets, patterns included, in `target`.
pub(crate) async fn build(
    workspace: &SdkWorkspace,
    target: &Path,
    targets: &[&str],
) -> anyhow::Result<Vec<Binary>> {
    let mut command = Command::new(sdk::cargo());
    command
        .args([
            "test",
            "--no-run",
            "--message-format=json-render-diagnostics",
        ])
        .arg("--manifest-path")
        .arg(workspace.manifest())
        .arg("--target-dir")
        .arg(target)
        .args(["-p", "livekit", "-p", SAME_FEATURES])
        .args(["--features", "livekit/__lk-e2e-test"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    for target in targets {
        command.args(["--test", target]);
    }
    let output = tokio::time::timeout(limits::BUILD, command.output())
        .await
        .context("cargo has not built the SDK's tests in time")?
        .context("cargo does not start")?;
    anyhow::ensure!(
        output.status.success(),
        "cargo could not build the SDK's tests ({})",
        output.status
    );
    workspace.check_lock()?;
    let mut binaries = Vec::new();
    for message in Message::parse_stream(output.stdout.as_slice()) {
        let Message::CompilerArtifact(artifact) = message? else {
            continue;
        };
        let Some(program) = artifact.executable else {
            continue;
        };
        if artifact.target.kind.contains(&TargetKind::Test) {
            let program = program.into_std_path_buf();
            binaries.push(Binary {
                tests: list(&program).await?,
                target: artifact.target.name,
                program,
            });
        }
    }
    binaries.sort_by(|one, other| one.target.cmp(&other.target));
    Ok(binaries)
}

/// The names of a program's tests.
async fn list(program: &Path) -> anyhow::Result<Vec<String>> {
    let output = Command::new(program)
        .args(["--list", "--format", "terse", "--include-ignored"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(limits::LIST, output)
        .await
        .with_context(|| format!("{} does not list its tests", program.display()))?
        .with_context(|| format!("{} does not start", program.display()))?;
    anyhow::ensure!(
        output.status.success(),
        "{} cannot list its tests",
        program.display()
    );
    Ok(listed(&String::from_utf8_lossy(&output.stdout)))
}

/// From lines such as `test_data_track::single_packet: test`.
fn listed(output: &str) -> Vec<String> {
    output
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_listed_and_benchmarks_are_not() {
        let output = "test_room: test\ngenerated::case: test\nfast: benchmark\n";
        assert_eq!(listed(output), ["test_room", "generated::case"]);
    }
}
