//! The workspace's own programs, for tests outside the packages that they belong
//! to: cargo builds a package's programs for its own tests only.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::Command;

/// A build from nothing takes some minutes on two cores.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Finds the program that belongs to the running test, demo or benchmark,
/// building it first; or takes the one that the variable `override_by` names.
pub(crate) async fn built(
    package: &str,
    program: &str,
    override_by: &str,
) -> anyhow::Result<PathBuf> {
    if let Some(program) = std::env::var_os(override_by).filter(|value| !value.is_empty()) {
        return Ok(program.into());
    }
    // target/<profile>/deps/<test> or target/<profile>/<program>
    let own = std::env::current_exe().context("cannot find our own program")?;
    let profile = own
        .ancestors()
        .find(|path| path.join("deps").is_dir())
        .with_context(|| {
            format!("our own program is not in cargo's target directory: set {override_by}")
        })?;
    let profile_name = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = profile
        .parent()
        .context("the target directory has no parent")?;
    let build = Command::new(cargo)
        .args(["build", "--quiet", "--package", package, "--bin", program])
        .args(["--profile", profile_name])
        .arg("--target-dir")
        .arg(target)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(BUILD_LIMIT, build)
        .await
        .with_context(|| format!("building {program} took too long"))?
        .context("cannot run cargo")?;
    anyhow::ensure!(
        output.status.success(),
        "{program} does not build:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(profile.join(program))
}
