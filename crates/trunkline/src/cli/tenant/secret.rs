//! Where a command takes a secret from. Never from its arguments: every user of
//! the machine can read those, and shells keep them in their history.

use std::io::Read;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use secrecy::SecretString;

use crate::config::{read_secret_file, secret_of_text};

/// The largest secret that is read from standard input, in bytes, and one more.
const MAX_STDIN_BYTES: u64 = 64 * 1024 + 1;

/// `-`, `env:NAME` or a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SecretSource {
    Stdin,
    Variable(String),
    File(PathBuf),
}

impl FromStr for SecretSource {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.split_once(':') {
            _ if text == "-" => Self::Stdin,
            Some(("env", name)) => Self::Variable(name.to_owned()),
            Some(("file", path)) => Self::File(path.into()),
            _ => Self::File(text.into()),
        })
    }
}

impl SecretSource {
    /// Reads the secret. `option` is the option that asks for it.
    pub(super) fn read(&self, option: &str) -> anyhow::Result<SecretString> {
        match self {
            Self::Stdin => {
                let mut text = String::new();
                std::io::stdin()
                    .lock()
                    .take(MAX_STDIN_BYTES)
                    .read_to_string(&mut text)
                    .with_context(|| format!("{option}: standard input cannot be read"))?;
                secret_of_text(&text)
                    .map_err(|problem| anyhow::anyhow!("{option}: standard input {problem}"))
            }
            Self::Variable(name) => {
                let text = std::env::var(name).map_err(|_| {
                    anyhow::anyhow!("{option}: the variable {name} is not set, or is no text")
                })?;
                secret_of_text(&text)
                    .map_err(|problem| anyhow::anyhow!("{option}: the variable {name} {problem}"))
            }
            Self::File(path) => read_secret_file(path).map_err(|problem| {
                // The text after the option can be the secret itself, given by mistake.
                anyhow::anyhow!(
                    "{option}: the file that it names {problem}. It takes a file's path, - for \
                     standard input, or env:NAME; never the secret itself"
                )
                .context(if path.exists() {
                    format!("{} cannot be used", path.display())
                } else {
                    "a secret cannot be read".to_owned()
                })
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_standard_input_a_variable_or_a_file() {
        for (text, source) in [
            ("-", SecretSource::Stdin),
            ("env:KEY", SecretSource::Variable("KEY".into())),
            ("file:env:x", SecretSource::File("env:x".into())),
            ("/run/secret", SecretSource::File("/run/secret".into())),
        ] {
            assert_eq!(text.parse::<SecretSource>().unwrap(), source);
        }
    }

    #[test]
    fn a_secret_given_by_mistake_in_place_of_a_path_is_not_repeated() {
        let source: SecretSource = "hunter2".parse().unwrap();
        let error = source.read("--livekit-api-secret-from").unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("--livekit-api-secret-from"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}
