//! Where binaries that were fetched or built are kept between runs.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// How often a lock that another process holds is tried again: often enough
/// that nobody notices, seldom enough to cost nothing over minutes.
const LOCK_POLL: Duration = Duration::from_millis(200);

/// `$XDG_CACHE_HOME/trunkline`, else `~/.cache/trunkline`; created if missing.
///
/// # Errors
/// When there is no home directory, or it cannot be written to.
pub(crate) fn directory() -> anyhow::Result<PathBuf> {
    // The XDG rules: a relative path is to be ignored.
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .context("there is no home directory; set XDG_CACHE_HOME to a writable directory")?;
    let directory = base.join("trunkline");
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create the cache directory {}", directory.display()))?;
    Ok(directory)
}

/// An exclusive lock between processes. The kernel lets it go when its holder
/// ends, however it ends, so no stale lock is ever left behind.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until nobody else holds the lock at `path`.
    ///
    /// # Errors
    /// When `limit` has passed, or the file cannot be made.
    pub(crate) async fn acquire(path: &Path, limit: Duration) -> anyhow::Result<Self> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .with_context(|| format!("cannot open the lock file {}", path.display()))?;
        let until = Instant::now() + limit;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) => {
                    anyhow::ensure!(
                        Instant::now() < until,
                        "another process has held {} for {} s",
                        path.display(),
                        limit.as_secs()
                    );
                    tokio::time::sleep(LOCK_POLL).await;
                }
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                    // A file system without locks: a second builder wastes
                    // time and harms nothing, as results are moved into place.
                    return Ok(Self { _file: file });
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("cannot lock {}", path.display()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lock_is_held_by_one_and_free_after_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lock");
        let first = Lock::acquire(&path, Duration::ZERO).await.expect("free");
        let refused = Lock::acquire(&path, Duration::ZERO).await;
        assert!(refused.is_err());
        drop(first);
        Lock::acquire(&path, Duration::ZERO)
            .await
            .expect("free again");
    }
}
