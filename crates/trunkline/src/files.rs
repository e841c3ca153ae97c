//! Reads files that somebody names: regular ones, up to a size. A device has no end, and a
//! named pipe none before somebody writes to it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Why a file was not read. The path is for whoever tells it: it may be a secret, given by mistake.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// The system refuses.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    /// A device, a pipe, a directory.
    #[error("it is no regular file")]
    Irregular,
    /// Nobody wants to read it to its end.
    #[error("it has more than {limit} bytes")]
    TooLarge {
        /// As many are read.
        limit: u64,
    },
}

/// The file's content, of at most `limit` bytes.
///
/// # Errors
/// When it is no regular file, larger, or cannot be read.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    // Before it is opened: that waits for the other end of a pipe.
    if !std::fs::metadata(path)?.is_file() {
        return Err(FileError::Irregular);
    }
    bounded(File::open(path)?, limit)
}

/// What there is to read, of at most `limit` bytes.
///
/// # Errors
/// When there is more, or it cannot be read.
pub(crate) fn bounded(from: impl Read, limit: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    from.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(FileError::TooLarge { limit });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_nothing_else_is_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap(), b"12345");
        let told = |path: &Path| read_bounded(path, 4).unwrap_err().to_string();
        assert_eq!(told(&path), "it has more than 4 bytes");
        let pipe = directory.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        for path in [&pipe, Path::new("/dev/zero"), directory.path()] {
            assert_eq!(told(path), "it is no regular file");
        }
        assert!(told(&directory.path().join("none")).contains("cannot be read"));
    }
}
