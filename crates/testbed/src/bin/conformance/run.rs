//! One test, in a process of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use tokio::process::Command;
use trunkline_testbed::livekit::LiveKitServer;
use trunkline_testbed::proxy::Proxy;

use crate::limits;

/// The signalling path of dual mode: a connection for sending, one for receiving.
const DUAL: &str = "/rtc";

/// The signalling path of single mode: one connection for both.
const SINGLE: &str = "/rtc/v1";

/// A test that is to run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Test {
    /// The place of its suite in the table.
    pub(crate) suite: usize,
    /// Its target.
    pub(crate) target: String,
    /// Its name.
    pub(crate) name: String,
    /// Where its program is.
    pub(crate) program: PathBuf,
}

impl Test {
    /// For people, and for files.
    pub(crate) fn title(&self) -> String {
        format!("{}::{}", self.target, self.name)
    }

    /// The mode that the test's name demands; the SDK falls back to dual mode
    /// where a server does not know single mode.
    fn demands(&self) -> Option<&'static str> {
        if self.name.starts_with("test_v0_") {
            Some(DUAL)
        } else if self.name.starts_with("test_v1_") {
            Some(SINGLE)
        } else {
            None
        }
    }
}

/// How often the server was joined, by signalling path, resumes included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Joins {
    /// By the path of dual mode.
    pub(crate) dual: usize,
    /// By the path of single mode.
    pub(crate) single: usize,
}

/// How a test ended.
pub(crate) struct Outcome {
    /// How long it took.
    pub(crate) took: Duration,
    /// What was wrong, and the file with the output.
    pub(crate) failure: Option<(String, PathBuf)>,
    /// The joins of a test that demands a mode.
    pub(crate) joins: Joins,
}

/// Runs a test against the server, with its output in `directory`. The output of
/// a test that passed is removed.
pub(crate) async fn run(
    test: &Test,
    server: &LiveKitServer,
    directory: &Path,
) -> anyhow::Result<Outcome> {
    let path = directory.join(format!("{}.log", test.title().replace("::", "-")));
    let log =
        std::fs::File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    // A test that demands a mode is watched on its way to the server.
    let proxy = match test.demands() {
        Some(_) => Some(Proxy::start(server.address()).await?),
        None => None,
    };
    let url = proxy.as_ref().map_or_else(|| server.url(), Proxy::url);
    let mut command = Command::new(&test.program);
    command
        .args([&test.name, "--exact", "--include-ignored", "--nocapture"])
        .arg("--test-threads=1")
        .env("LIVEKIT_URL", url)
        .env("LIVEKIT_API_KEY", server.api_key())
        .env("LIVEKIT_API_SECRET", server.api_secret().expose_secret())
        // A trace of the SDK's frames says less than what it stands behind.
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("cannot share the output file")?)
        .stderr(log)
        .kill_on_drop(true);
    if std::env::var_os("RUST_LOG").is_none() {
        command.env("RUST_LOG", "info");
    }
    let started = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("{} does not start", test.program.display()))?;
    let status = tokio::time::timeout(limits::TEST, child.wait()).await;
    let took = started.elapsed();
    let joins = proxy.as_ref().map_or_else(Joins::default, |proxy| Joins {
        dual: proxy.connections_to(DUAL),
        single: proxy.connections_to(SINGLE),
    });
    let failure = match status {
        Err(_) => {
            child.kill().await.context("the test cannot be ended")?;
            Some(format!("had not ended after {} s", limits::TEST.as_secs()))
        }
        Ok(status) => {
            let status = status.context("cannot wait for the test")?;
            let output = std::fs::read(&path).context("cannot read the output")?;
            if !status.success() {
                Some(format!("failed ({status})"))
            } else if !ran_once(&String::from_utf8_lossy(&output)) {
                Some("did not run".to_owned())
            } else {
                wrong_mode(test, joins)
            }
        }
    };
    if failure.is_none() {
        std::fs::remove_file(&path).context("cannot remove the output")?;
    }
    Ok(Outcome {
        took,
        failure: failure.map(|what| (what, path)),
        joins,
    })
}

/// A program ends well too when it has no test of the name.
fn ran_once(output: &str) -> bool {
    output.contains("test result: ok. 1 passed; 0 failed; 0 ignored;")
}

fn wrong_mode(test: &Test, joins: Joins) -> Option<String> {
    let right = match test.demands() {
        None => true,
        Some(SINGLE) => joins.single > 0 && joins.dual == 0,
        Some(_) => joins.dual > 0 && joins.single == 0,
    };
    (!right).then(|| {
        format!(
            "passed in the wrong mode: {} joins by {SINGLE}, {} by {DUAL}",
            joins.single, joins.dual
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Test {
        Test {
            suite: 0,
            target: "target".to_owned(),
            name: name.to_owned(),
            program: PathBuf::new(),
        }
    }

    #[test]
    fn a_fallback_to_dual_mode_is_no_pass_of_single_mode() {
        let fell_back = Joins { dual: 1, single: 1 };
        assert!(wrong_mode(&named("test_v1_connect"), fell_back).is_some());
        let single = Joins { dual: 0, single: 2 };
        assert_eq!(wrong_mode(&named("test_v1_connect"), single), None);
        assert!(wrong_mode(&named("test_v0_connect"), single).is_some());
        assert!(wrong_mode(&named("test_v0_connect"), Joins::default()).is_some());
        assert_eq!(wrong_mode(&named("test_connect"), single), None);
    }

    #[test]
    fn a_name_that_matches_nothing_did_not_run() {
        assert!(ran_once(
            "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured"
        ));
        assert!(!ran_once(
            "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured"
        ));
    }
}
