//! `./dev swap-check`: type-checks everything of ours, tests included, with the
//! patch line taken out, so on the C++ engine that `livekit` was published with.
//!
//! Nothing is downloaded but crates: the C++ engine's bindings have a mode for
//! documentation in which they are checked and not linked.

use std::io::Write as _;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context as _;
use trunkline_testbed::sdk::{self, ENGINE, Sdk, SwappedWorkspace};

/// Has the bindings' build script leave the C++ library alone …
const DOCUMENTATION_MODE: (&str, &str) = ("DOCS_RS", "1");

/// … and the testbed's `tun-rs` ask for what only nightly compilers have, which this one allows it.
const NIGHTLY_FOR_TUN: (&str, &str) = ("RUSTC_BOOTSTRAP", "tun_rs");

fn main() -> anyhow::Result<ExitCode> {
    let sdk = Sdk::find()?;
    let workspace = SwappedWorkspace::write(&sdk, &sdk.target().join("swap-check"))?;
    let status = Command::new(sdk::cargo())
        .args(["check", "--workspace", "--all-targets", "--manifest-path"])
        .arg(workspace.manifest())
        .arg("--target-dir")
        .arg(sdk.target())
        .envs([DOCUMENTATION_MODE, NIGHTLY_FOR_TUN])
        .stdin(Stdio::null())
        .status()
        .context("cargo does not start")?;
    workspace.check_lock(sdk.engine_version())?;
    anyhow::ensure!(
        status.success(),
        "something of ours does not type-check on the C++ engine"
    );
    writeln!(
        std::io::stdout(),
        "livekit {} on {ENGINE} {} of the registry: everything of ours type-checks",
        sdk.version(),
        sdk.engine_version()
    )?;
    Ok(ExitCode::SUCCESS)
}
