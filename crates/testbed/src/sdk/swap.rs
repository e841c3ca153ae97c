//! The workspace with the patch taken out: the same crates on the C++ engine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::manifest::swapped;
use super::{ENGINE, Locks, Sdk, link, write_if_changed};

/// Where our crates are in it.
const PLACE: &str = "ours";

/// Our crates, linked into a workspace whose `livekit` has the engine that it
/// was published with.
pub struct SwappedWorkspace {
    directory: PathBuf,
    locks: Locks,
}

impl SwappedWorkspace {
    /// Writes it to `directory`.
    ///
    /// # Errors
    /// When something cannot be read or written.
    pub fn write(sdk: &Sdk, directory: &Path) -> anyhow::Result<Self> {
        let locks = sdk.locks()?;
        let manifest = fs::read_to_string(sdk.root().join("Cargo.toml"))
            .context("cannot read the workspace's manifest")?;
        // Links to crates that are no more would be members.
        let place = directory.join(PLACE);
        if place.exists() {
            fs::remove_dir_all(&place).context("cannot remove the last check's links")?;
        }
        fs::create_dir_all(&place).context("cannot make a directory for links")?;
        let crates = sdk.root().join("crates");
        for entry in fs::read_dir(&crates).context("cannot read the crates")? {
            let name = entry?.file_name();
            if name != ENGINE {
                link(&crates.join(&name), &place.join(&name))?;
            }
        }
        link(&sdk.root().join("tests"), &directory.join("tests"))?;
        write_if_changed(
            &directory.join("Cargo.toml"),
            swapped(&manifest, PLACE).as_bytes(),
        )?;
        fs::write(directory.join("Cargo.lock"), locks.merged_for_swap())
            .context("cannot write the lock file")?;
        Ok(Self {
            directory: directory.to_owned(),
            locks,
        })
    }

    /// Its manifest.
    #[must_use]
    pub fn manifest(&self) -> PathBuf {
        self.directory.join("Cargo.toml")
    }

    /// Makes sure, after cargo has resolved, that this is what was meant: the
    /// engine comes from the registry, and everything in the versions that the
    /// lock files name.
    ///
    /// # Errors
    /// When it does not.
    pub fn check_lock(&self, engine_version: &str) -> anyhow::Result<()> {
        let made = fs::read_to_string(self.directory.join("Cargo.lock"))
            .context("cannot read the lock file")?;
        let engine =
            format!("name = {ENGINE:?}\nversion = {engine_version:?}\nsource = \"registry+");
        anyhow::ensure!(
            made.contains(&engine),
            "cargo did not take {ENGINE} {engine_version} from the registry"
        );
        self.locks.check(&made)
    }
}
