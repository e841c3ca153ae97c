//! Secrets in the configuration: never shown, and readable from files.

use std::path::Path;

use secrecy::SecretString;
use serde::Serializer;

use super::{Config, Problem};

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
    use std::io::Read;

    let file = std::fs::File::open(path).map_err(|e| format!("cannot be read: {e}"))?;
    let mut text = String::new();
    file.take(MAX_SECRET_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|e| format!("cannot be read: {e}"))?;
    secret_of_text(&text)
}

/// A secret out of what a file or standard input held.
///
/// # Errors
/// A text for people when it is empty or too large.
pub(crate) fn secret_of_text(text: &str) -> Result<SecretString, String> {
    if text.len() as u64 > MAX_SECRET_BYTES {
        return Err(format!(
            "has more than {MAX_SECRET_BYTES} bytes, which no secret here has"
        ));
    }
    match text.trim() {
        "" => Err("is empty".to_owned()),
        text => Ok(text.into()),
    }
}
