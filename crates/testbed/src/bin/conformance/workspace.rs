//! The little workspace around the SDK's sources.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use trunkline_testbed::sdk::{self, ENGINE, Locks, Sdk};

/// The package that makes cargo select the workspace's features.
pub(crate) const SAME_FEATURES: &str = "same-features";

/// The SDK's sources, patched to run on our engine.
pub(crate) struct SdkWorkspace {
    directory: PathBuf,
    locks: Locks,
}

impl SdkWorkspace {
    /// Writes it to `directory`; what is there and right stays.
    pub(crate) fn write(sdk: &Sdk, directory: &Path) -> anyhow::Result<Self> {
        let locks = sdk.locks()?;
        sdk::mirror(sdk.sources(), &directory.join("livekit"))?;
        let manifest = std::fs::read_to_string(sdk.root().join("Cargo.toml"))
            .context("cannot read the workspace's manifest")?;
        let engine = sdk.root().join("crates").join(ENGINE);
        let root = format!(
            "# Written by the command `conformance`.\n\
             [workspace]\nresolver = \"3\"\nmembers = [\"livekit\", {SAME_FEATURES:?}]\n\n\
             [patch.crates-io]\n{ENGINE} = {{ path = {engine:?} }}\n\
             livekit = {{ path = \"livekit\" }}\n\n{}",
            sdk::profiles(&manifest)
        );
        let features = directory.join(SAME_FEATURES);
        for (path, content) in [
            (directory.join("Cargo.toml"), root),
            (
                features.join("Cargo.toml"),
                sdk::same_features(SAME_FEATURES, sdk.metadata()),
            ),
            (features.join("src/lib.rs"), String::new()),
        ] {
            sdk::write_if_changed(&path, content.as_bytes())?;
        }
        // From the beginning every time, so that it follows ours.
        std::fs::write(directory.join("Cargo.lock"), locks.merged())
            .context("cannot write the lock file")?;
        Ok(Self {
            directory: directory.to_owned(),
            locks,
        })
    }

    /// Its manifest.
    pub(crate) fn manifest(&self) -> PathBuf {
        self.directory.join("Cargo.toml")
    }

    /// Holds cargo to the versions that the lock files name; asked after it has
    /// resolved.
    pub(crate) fn check_lock(&self) -> anyhow::Result<()> {
        let made = std::fs::read_to_string(self.directory.join("Cargo.lock"))
            .context("cannot read the lock file")?;
        self.locks.check(&made)
    }
}
