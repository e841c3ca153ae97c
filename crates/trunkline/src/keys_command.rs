//! Sealing keys from a command: a vault, a KMS, whatever prints them.

use std::process::Stdio;
use std::time::Duration;

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::config::{MAX_SECRET_BYTES, secret_of_text};

/// A vault answers in a second. One that is away must not hold up a start for ever.
const LIMIT: Duration = Duration::from_secs(30);

/// The command did not print keys. What it printed is not repeated.
#[derive(Debug, thiserror::Error)]
pub enum KeysCommandError {
    /// There is no such program, or it may not be run.
    #[error("{program} cannot be run")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// It took too long, and was ended.
    #[error("{program} did not end within {} s", LIMIT.as_secs())]
    TimedOut {
        /// The program.
        program: String,
    },
    /// It says itself that it failed; what it wrote to standard error stands above.
    #[error("{program} ended with {status}; what it said is on standard error")]
    Failed {
        /// The program.
        program: String,
        /// Its exit code or signal.
        status: std::process::ExitStatus,
    },
    /// It printed nothing, too much, or what is no text.
    #[error("the output of {program} {problem}")]
    Output {
        /// The program.
        program: String,
        /// What is wrong.
        problem: String,
    },
}

/// Runs a program with its arguments, without a shell, and reads what it prints.
/// Its standard error is ours.
pub(crate) async fn run(command: &str) -> Result<SecretString, KeysCommandError> {
    // The configuration was checked: the quotes are in pairs.
    let words = shlex::split(command).unwrap_or_default();
    let program = words.first().cloned().unwrap_or_default();
    let start = |source| KeysCommandError::Start {
        program: program.clone(),
        source,
    };
    let wrong = |problem: String| KeysCommandError::Output {
        program: program.clone(),
        problem,
    };
    let mut child = Command::new(&program)
        .args(words.iter().skip(1))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(start)?;
    let mut printed = Zeroizing::new(Vec::new());
    let mut excess = false;
    let work = async {
        if let Some(mut stdout) = child.stdout.take() {
            (&mut stdout)
                .take(MAX_SECRET_BYTES)
                .read_to_end(&mut printed)
                .await?;
            // Read to its end: a program whose output is not taken fails for that.
            excess = tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await? > 0;
        }
        child.wait().await
    };
    let status = tokio::time::timeout(LIMIT, work)
        .await
        .map_err(|_| KeysCommandError::TimedOut {
            program: program.clone(),
        })?
        .map_err(start)?;
    if !status.success() {
        return Err(KeysCommandError::Failed {
            program: program.clone(),
            status,
        });
    }
    if excess {
        return Err(wrong(format!("has more than {MAX_SECRET_BYTES} bytes")));
    }
    let text = std::str::from_utf8(&printed).map_err(|_| wrong("is not text".to_owned()))?;
    secret_of_text(text).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    async fn shell(script: &str) -> Result<SecretString, KeysCommandError> {
        run(&format!("sh -c \"{script}\"")).await
    }

    #[tokio::test]
    async fn what_a_command_prints_is_the_secret() {
        let keys = shell("echo ' a:key1'; echo b:key2").await.unwrap();
        assert_eq!(keys.expose_secret(), "a:key1\nb:key2");
    }

    #[tokio::test]
    async fn a_command_that_fails_is_named_and_its_output_is_not_shown() {
        for (script, text) in [
            ("echo s3cret; exit 3", "sh ended with exit status: 3"),
            ("true", "the output of sh is empty"),
            ("printf 's3cret\\377'", "is not text"),
            ("head -c 70000 /dev/zero", "has more than 65536 bytes"),
        ] {
            let error = shell(script).await.unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(text), "{script}: {shown}");
            assert!(!shown.contains("s3cret"), "{shown}");
        }
        let error = run("/no/such/vault").await.unwrap_err();
        assert_eq!(error.to_string(), "/no/such/vault cannot be run");
    }
}
