//! The official SDK's crate, as this workspace depends on it: where its sources
//! are, and how a workspace of its own is built around them or around ours.
//!
//! Such a workspace lives under `target/` and shares the compiled dependencies
//! of this one: the same versions (the lock files), the same features (a package
//! that asks for what our crates ask for) and the same profiles.

mod files;
mod lock;
mod manifest;
mod swap;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use cargo_metadata::{Metadata, MetadataCommand};

pub use self::files::{link, mirror, write_if_changed};
pub use self::manifest::{profiles, same_features};
pub use self::swap::SwappedWorkspace;

/// The crate's name.
const SDK: &str = "livekit";

/// The crate that the engine stands for, and whose name it has.
pub const ENGINE: &str = "libwebrtc";

/// The workspace in the current directory, and the SDK in it.
pub struct Sdk {
    metadata: Metadata,
    sources: PathBuf,
    version: String,
    engine_version: String,
}

impl Sdk {
    /// Asks cargo, within the lock file.
    ///
    /// # Errors
    /// When the current directory is in no workspace, or it has no SDK, or cargo
    /// cannot fetch what the lock file names.
    pub fn find() -> anyhow::Result<Self> {
        let metadata = MetadataCommand::new()
            .other_options([
                "--locked".to_owned(),
                // Or the crates of all other platforms would be fetched.
                format!("--filter-platform={}", host()?),
            ])
            .exec()
            .context("cargo does not know the workspace")?;
        let package = |name: &str| {
            metadata
                .packages
                .iter()
                .find(|package| package.name == name)
                .with_context(|| format!("{name} is not in the workspace's graph"))
        };
        let sdk = package(SDK)?;
        let sources = sdk
            .manifest_path
            .parent()
            .context("a manifest is in a directory")?
            .into();
        let version = sdk.version.to_string();
        let engine_version = package(ENGINE)?.version.to_string();
        Ok(Self {
            sources,
            version,
            engine_version,
            metadata,
        })
    }

    /// Where the SDK's sources are: in cargo's registry, not to be written to.
    #[must_use]
    pub fn sources(&self) -> &Path {
        &self.sources
    }

    /// The SDK's version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The version of the engine and of the crate that it replaces.
    #[must_use]
    pub fn engine_version(&self) -> &str {
        &self.engine_version
    }

    /// The workspace's root.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// Where cargo builds.
    #[must_use]
    pub fn target(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// What cargo knows of the workspace.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Our lock file, with what the SDK's own tests or the C++ engine need
    /// beside it from the lock file that the SDK was published with.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn locks(&self) -> anyhow::Result<Locks> {
        let read = |path: PathBuf| {
            std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))
        };
        Ok(Locks {
            ours: read(self.root().join("Cargo.lock"))?,
            theirs: read(self.sources.join("Cargo.lock"))?,
        })
    }
}

/// See [`Sdk::locks`].
pub struct Locks {
    ours: String,
    theirs: String,
}

impl Locks {
    /// The merged lock file, as cargo is to start from.
    #[must_use]
    pub fn merged(&self) -> String {
        lock::merge(&self.ours, &self.theirs)
    }

    /// The same with the C++ engine in the place of ours.
    #[must_use]
    pub fn merged_for_swap(&self) -> String {
        lock::merge(&lock::without_local(&self.ours, ENGINE), &self.theirs)
    }

    /// Holds cargo to it: the lock file that it made has nothing from a
    /// registry in a version that neither of the two names.
    ///
    /// # Errors
    /// When it has.
    pub fn check(&self, made: &str) -> anyhow::Result<()> {
        let strangers = lock::strangers(made, &[&self.ours, &self.theirs]);
        anyhow::ensure!(
            strangers.is_empty(),
            "cargo took versions that no lock file names: {}",
            strangers.join(", ")
        );
        Ok(())
    }
}

/// The cargo to run: the one that runs us, else the one on `PATH`.
#[must_use]
pub fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The platform that we are compiled for.
fn host() -> anyhow::Result<String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("rustc does not start")?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
        .context("rustc does not say what it compiles for")
}
