//! What is wrong with a configuration: the key, where it came from, the remedy.

use std::fmt;

use figment::error::{Actual, Kind};

use super::environment;
use super::secret::SECRET_KEYS;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `section.key`; empty when no single key is to blame.
    pub key: String,
    /// What is wrong with it and what to do.
    pub text: String,
    /// The file or variable that it came from.
    pub origin: Option<String>,
    /// Another key that it is measured against, which the text ends with.
    pub against: Option<String>,
}

impl Problem {
    pub(crate) fn new(key: &str, text: impl Into<String>) -> Self {
        Self {
            key: key.to_owned(),
            text: text.into(),
            origin: None,
            against: None,
        }
    }

    /// A key that must be set and is not.
    pub(crate) fn missing(key: &str) -> Self {
        Self::new(
            key,
            format!(
                "is not set. Set {} or {}, or {key} in the configuration file",
                environment::variable(key),
                environment::variable(&format!("{key}_file")),
            ),
        )
    }

    pub(super) fn of_figment(error: &figment::Error) -> Self {
        let mut path = error.path.clone();
        let text = match &error.kind {
            Kind::UnknownField(name, known) => {
                if path.last() != Some(name) {
                    path.push(name.clone());
                }
                format!("is not a known key; there are {}", known.join(", "))
            }
            Kind::MissingField(name) => {
                path.push(name.to_string());
                "is missing".to_owned()
            }
            Kind::InvalidType(found, expected) => {
                format!("must be {expected}, not {}", actual(found, &path))
            }
            Kind::InvalidValue(found, expected) => {
                format!("must be {expected}; {} is not", actual(found, &path))
            }
            Kind::UnknownVariant(found, known) => {
                format!("must be one of {}, not {found:?}", known.join(", "))
            }
            Kind::InvalidLength(found, expected) => {
                format!("must have {expected}, not {found} elements")
            }
            _ if is_secret(&path) => "has a value that cannot be used".to_owned(),
            other => without_source_lines(&other.to_string()),
        };
        let origin = error
            .metadata
            .as_ref()
            .and_then(|m| super::load::origin(m, &path));
        Self {
            key: path.join("."),
            text,
            origin,
            against: None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.as_str(), &self.origin) {
            ("", None) => write!(f, "{}", self.text),
            ("", Some(origin)) => write!(f, "{origin}: {}", self.text),
            (key, None) => write!(f, "{key} {}", self.text),
            (key, Some(origin)) => write!(f, "{key} (in {origin}) {}", self.text),
        }
    }
}

/// A configuration that cannot be used, with everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) fn of_figment(error: figment::Error) -> Self {
        Self {
            problems: error.into_iter().map(|e| Problem::of_figment(&e)).collect(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration cannot be used")?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

fn is_secret(path: &[String]) -> bool {
    let key = path.join(".");
    SECRET_KEYS.contains(&key.as_str())
}

/// What was found. Of a secret only its kind: the text could be the secret.
fn actual(found: &Actual, path: &[String]) -> String {
    if !is_secret(path) {
        return found.to_string();
    }
    match found {
        Actual::Bool(_) => "a boolean",
        Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) => "a number (put it in quotes)",
        Actual::Char(_) | Actual::Str(_) => "this text",
        Actual::Seq => "an array",
        Actual::Map => "a table",
        _ => "this value",
    }
    .to_owned()
}

/// TOML's parser shows the line that it could not read, and a secret could be
/// on it. The line's number says enough.
fn without_source_lines(text: &str) -> String {
    let kept: Vec<&str> = text
        .lines()
        .filter(|line| {
            let line = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
            !line.starts_with('|')
        })
        .map(str::trim)
        .collect();
    kept.join(": ")
}
