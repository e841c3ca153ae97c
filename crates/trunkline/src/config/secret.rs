//! Secrets in the configuration: never shown, and readable from files.

use std::path::Path;

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use serde::Serializer;

use super::{Config, Problem};
use crate::files::{self, FileError};

/// The keys whose values are never shown, not even in an error.
pub(super) const SECRET_KEYS: [&str; 3] = ["database.url", "sealing.keys", "provider.api_key"];

/// What stands for a secret where the configuration is shown.
pub(super) const REDACTED: &str = "[set]";

/// The longest text that is read as a secret, in bytes. Eight sealing keys have
/// less than 1 kB.
pub(crate) const MAX_SECRET_BYTES: u64 = 64 * 1024;

pub(super) fn redact<S: Serializer>(
    secret: &Option<SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match secret {
        None => serializer.serialize_none(),
        Some(_) => serializer.serialize_str(REDACTED),
    }
}

/// Puts the content of each `*_file` into its secret.
pub(super) fn read_files(config: &mut Config, problems: &mut Vec<Problem>) {
    for (key, secret, file) in [
        (
            "database.url",
            &mut config.database.url,
            &config.database.url_file,
        ),
        (
            "sealing.keys",
            &mut config.sealing.keys,
            &config.sealing.keys_file,
        ),
        (
            "provider.api_key",
            &mut config.provider.api_key,
            &config.provider.api_key_file,
        ),
    ] {
        let Some(file) = file else { continue };
        if secret.is_some() {
            problems.push(Problem::new(
                key,
                format!("is set, and {key}_file as well; keep one of them"),
            ));
            continue;
        }
        match read_secret_file(file) {
            Ok(text) => *secret = Some(text),
            Err(problem) => problems.push(Problem::new(
                &format!("{key}_file"),
                format!("{}: {problem}", file.display()),
            )),
        }
    }
}

/// Reads a secret from a file, without the white space around it.
///
/// # Errors
/// A text for people when it cannot be read, is empty or too large.
pub(crate) fn read_secret_file(path: &Path) -> Result<SecretString, String> {
    let bytes = files::read_bounded(path, MAX_SECRET_BYTES).map_err(|error| match error {
        FileError::Io(error) => format!("cannot be read: {error}"),
        FileError::Irregular => "is no regular file".to_owned(),
        FileError::TooLarge { .. } => too_large(),
    })?;
    let bytes = Zeroizing::new(bytes);
    let text = std::str::from_utf8(&bytes).map_err(|_| "is no text".to_owned())?;
    secret_of_text(text)
}

/// A secret out of what a file or standard input held.
///
/// # Errors
/// A text for people when it is empty or too large.
pub(crate) fn secret_of_text(text: &str) -> Result<SecretString, String> {
    if text.len() as u64 > MAX_SECRET_BYTES {
        return Err(too_large());
    }
    match text.trim() {
        "" => Err("is empty".to_owned()),
        text => Ok(text.into()),
    }
}

fn too_large() -> String {
    format!("has more than {MAX_SECRET_BYTES} bytes, which no secret here has")
}
