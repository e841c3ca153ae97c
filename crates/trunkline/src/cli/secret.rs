//! Where a command takes a secret from. Never from its arguments: every user of
//! the machine can read those, and shells keep them in their history.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use secrecy::{ExposeSecret, SecretString};

use super::hidden_input::HiddenInput;
use crate::config::{read_secret_file, secret_of_text};

/// The largest secret that is read from standard input, in bytes, and one more.
const MAX_STDIN_BYTES: u64 = 64 * 1024 + 1;

/// `prompt`, `-`, `env:NAME` or a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum SecretSource {
    /// Whoever sits at the terminal is asked.
    Prompt,
    Stdin,
    Variable(String),
    File(PathBuf),
}

impl FromStr for SecretSource {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.split_once(':') {
            _ if text == "-" => Self::Stdin,
            _ if text == "prompt" => Self::Prompt,
            Some(("env", name)) => Self::Variable(name.to_owned()),
            Some(("file", path)) => Self::File(path.into()),
            _ => Self::File(text.into()),
        })
    }
}

impl SecretSource {
    /// Reads the secret. `option` is the option that asks for it.
    pub(in crate::cli) fn read(&self, option: &str) -> anyhow::Result<SecretString> {
        match self {
            Self::Prompt => ask(option),
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
                     standard input, env:NAME, or prompt to be asked; never the secret itself"
                )
                .context(if path.exists() {
                    format!("{} cannot be used", path.display())
                } else {
                    "a secret cannot be read".to_owned()
                })
            }),
        }
    }

    /// Reads a secret that is proved at once: who is asked types it a single time.
    pub(in crate::cli) fn read_to_use(&self, option: &str) -> anyhow::Result<SecretString> {
        match self {
            Self::Prompt => ask_by_name(&terminal(option)?, option),
            other => other.read(option),
        }
    }
}

/// The source that was given, or else the terminal, where there is one.
///
/// # Errors
/// When nothing was given, and there is nobody to ask.
pub(in crate::cli) fn given_or_asked(
    source: Option<SecretSource>,
    option: &str,
) -> anyhow::Result<SecretSource> {
    match source {
        Some(source) => Ok(source),
        None if std::io::stdin().is_terminal() => Ok(SecretSource::Prompt),
        None => bail!(
            "{option} is missing, and there is no terminal to ask at. It takes a file's path, - \
             for standard input, or env:NAME"
        ),
    }
}

/// At most one source can have standard input.
///
/// # Errors
/// When there are several.
pub(in crate::cli) fn at_most_one_from_stdin<const N: usize>(
    sources: [Option<&SecretSource>; N],
) -> anyhow::Result<()> {
    let given = sources.into_iter().flatten();
    let from_stdin = given.filter(|source| **source == SecretSource::Stdin);
    ensure!(
        from_stdin.count() <= 1,
        "only one secret can come from standard input; put the others into files"
    );
    Ok(())
}

/// Asks twice, without an echo: what was typed cannot be seen now, nor read later,
/// and a wrong secret is noticed by callers.
fn ask(option: &str) -> anyhow::Result<SecretString> {
    let terminal = terminal(option)?;
    let secret = ask_by_name(&terminal, option)?;
    let again = ask_once(&terminal, option, "once more: ")?;
    ensure!(
        secret.expose_secret() == again.expose_secret(),
        "{option}: the two are not the same; try again"
    );
    Ok(secret)
}

fn terminal(option: &str) -> anyhow::Result<HiddenInput> {
    ensure!(
        std::io::stdin().is_terminal(),
        "{option}: there is no terminal to ask at. It takes a file's path, - for standard input, \
         or env:NAME as well"
    );
    HiddenInput::begin().context("the terminal's echo cannot be switched off")
}

fn ask_by_name(terminal: &HiddenInput, option: &str) -> anyhow::Result<SecretString> {
    let prompt = format!("{} (not shown): ", name_of(option));
    ask_once(terminal, option, &prompt)
}

fn ask_once(terminal: &HiddenInput, option: &str, prompt: &str) -> anyhow::Result<SecretString> {
    let typed = terminal
        .ask(prompt)
        .with_context(|| format!("{option}: nothing was typed"))?;
    secret_of_text(typed.expose_secret())
        .map_err(|problem| anyhow::anyhow!("{option}: what was typed {problem}"))
}

/// `--livekit-api-secret-from` asks for the `livekit api secret`.
fn name_of(option: &str) -> String {
    let name = option.trim_start_matches('-');
    name.strip_suffix("-from").unwrap_or(name).replace('-', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_person_standard_input_a_variable_or_a_file() {
        for (text, source) in [
            ("-", SecretSource::Stdin),
            ("prompt", SecretSource::Prompt),
            ("./prompt", SecretSource::File("./prompt".into())),
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
