//! Where the program livekit-server comes from.
//!
//! `TRUNKLINE_LIVEKIT_SERVER`, then `livekit-server` on `PATH` if it is the
//! right version, then our cache, then built once with the Go toolchain.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::process::Command;

use crate::cache;
use crate::process::log_tail;

/// The version that everything here is tested with.
pub const VERSION: &str = "1.13.5";

/// Names a program to be used instead of looking for one.
const OVERRIDE: &str = "TRUNKLINE_LIVEKIT_SERVER";

/// What is built; its program is called `server`.
const PACKAGE: &str = "github.com/livekit/livekit-server/cmd/server";

/// A build from nothing takes about 5 minutes on two cores, the download of a
/// Go toolchain and the modules included; slow lines take longer.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Nobody holds the lock longer than one build.
const LOCK_LIMIT: Duration = BUILD_LIMIT;

/// How often a build says that it is still going on.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// `livekit-server --version` answers in milliseconds.
const VERSION_LIMIT: Duration = Duration::from_secs(20);

/// Finds livekit-server, or builds it once and keeps it in the cache
/// (`~/.cache/trunkline`), and returns where it is. Building takes minutes and
/// reports through `tracing` at level INFO.
///
/// # Errors
/// When there is none and it cannot be built, with what to do about it.
pub async fn prepare() -> anyhow::Result<PathBuf> {
    if let Some(program) = std::env::var_os(OVERRIDE).filter(|value| !value.is_empty()) {
        let program = PathBuf::from(program);
        let version = version_of(&program)
            .await
            .with_context(|| format!("{OVERRIDE} names a program that does not work"))?;
        if version != VERSION {
            tracing::warn!(%version, tested = VERSION, "{OVERRIDE} names another version");
        }
        return Ok(program);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(program) = on_path(&path, "livekit-server") {
        match version_of(&program).await {
            Ok(version) if version == VERSION => return Ok(program),
            Ok(version) => {
                tracing::info!(%version, wanted = VERSION, "livekit-server on PATH is passed over");
            }
            Err(error) => tracing::info!("livekit-server on PATH is passed over: {error:#}"),
        }
    }
    cached_or_built(&path, &cache::directory()?).await
}

async fn cached_or_built(path: &OsStr, cache: &Path) -> anyhow::Result<PathBuf> {
    let program = cache.join(format!("livekit-server-{VERSION}"));
    // It is moved here whole, so it is there or it is not.
    if program.is_file() {
        return Ok(program);
    }
    let go = on_path(path, "go").with_context(|| {
        format!(
            "livekit-server {VERSION} is needed and was not found. Do one of these:\n\
             - put `livekit-server` {VERSION} on PATH (https://github.com/livekit/livekit/releases);\n\
             - name a program with {OVERRIDE}=/path/to/livekit-server;\n\
             - install Go 1.26 or later (https://go.dev/dl), and it is built here, once."
        )
    })?;
    let _lock = cache::Lock::acquire(&cache.join("livekit-server.lock"), LOCK_LIMIT).await?;
    if program.is_file() {
        return Ok(program);
    }
    build(&go, cache, &program).await?;
    Ok(program)
}

/// Builds the server in a directory beside its place, then moves it there.
async fn build(go: &Path, cache: &Path, program: &Path) -> anyhow::Result<()> {
    let directory = tempfile::Builder::new()
        .prefix("build-")
        .tempdir_in(cache)
        .context("cannot make a directory to build in")?;
    let log_path = directory.path().join("build.log");
    let log = std::fs::File::create(&log_path).context("cannot make a build log")?;
    tracing::info!("building livekit-server {VERSION} with Go (once, about 5 minutes)");
    let started = Instant::now();
    let mut child = Command::new(go)
        .arg("install")
        .arg(format!("{PACKAGE}@v{VERSION}"))
        .env("GOBIN", directory.path())
        // Pure Go needs no C compiler; nothing in the server uses one.
        .env("CGO_ENABLED", "0")
        // Or it would be put into a subdirectory for the other platform.
        .env_remove("GOOS")
        .env_remove("GOARCH")
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("cannot share the build log")?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {}", go.display()))?;

    let mut progress = tokio::time::interval(PROGRESS_EVERY);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.context("cannot wait for the build")?,
            _ = progress.tick() => {
                let seconds = started.elapsed().as_secs();
                anyhow::ensure!(
                    started.elapsed() < BUILD_LIMIT,
                    "livekit-server was not built after {seconds} s; the log ends with\n{}",
                    log_tail(&log_path)
                );
                if seconds > 0 {
                    tracing::info!(seconds, "still building livekit-server");
                }
            }
        }
    };
    anyhow::ensure!(
        status.success(),
        "`go install {PACKAGE}@v{VERSION}` failed ({status}):\n{}\n\
         Building needs Go 1.26 or later and the Go module proxy. \
         A ready program can be named with {OVERRIDE}.",
        log_tail(&log_path)
    );
    let built = directory.path().join("server");
    let version = version_of(&built)
        .await
        .context("the built server does not work")?;
    anyhow::ensure!(version == VERSION, "the built server says it is {version}");
    std::fs::rename(&built, program)
        .with_context(|| format!("cannot move the server to {}", program.display()))?;
    tracing::info!(
        seconds = started.elapsed().as_secs(),
        "built livekit-server {VERSION}"
    );
    Ok(())
}

/// What the program says its version is.
async fn version_of(program: &Path) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(VERSION_LIMIT, command.output())
        .await
        .with_context(|| format!("{} --version hangs", program.display()))?
        .with_context(|| format!("cannot run {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse_version(&text)
        .map(str::to_owned)
        .with_context(|| format!("{} is no livekit-server", program.display()))
}

/// From `livekit-server version 1.13.5`.
fn parse_version(text: &str) -> Option<&str> {
    text.trim().strip_prefix("livekit-server version ")
}

/// The first file of this name on a search path.
fn on_path(path: &OsStr, name: &str) -> Option<PathBuf> {
    std::env::split_paths(path)
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_and_other_programs_are_not() {
        assert_eq!(
            parse_version("livekit-server version 1.13.5\n"),
            Some("1.13.5")
        );
        assert_eq!(parse_version("lk version 2.1.0\n"), None);
    }

    #[tokio::test]
    async fn without_go_the_error_says_what_to_do() {
        let cache = tempfile::tempdir().expect("a directory");
        let error = cached_or_built(OsStr::new("/nonexistent"), cache.path())
            .await
            .expect_err("there is no way to get it")
            .to_string();
        assert!(
            error.contains(OVERRIDE) && error.contains("install Go"),
            "{error}"
        );
    }
}
