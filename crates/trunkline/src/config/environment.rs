//! `TRUNKLINE_SECTION__KEY` variables, and the two plain ones.

use std::ffi::OsString;

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::{ConfigError, Problem};

/// What the variables of ours begin with.
const PREFIX: &str = "TRUNKLINE_";
/// Between section and key, because keys hold single underscores.
const SEPARATOR: &str = "__";

/// Variables of this prefix that are for somebody else: the command line, and
/// the tests and demo.
const NOT_SETTINGS: [&str; 8] = [
    "TRUNKLINE_API_TOKEN",
    "TRUNKLINE_API_URL",
    "TRUNKLINE_CONFIG",
    "TRUNKLINE_BIN",
    "TRUNKLINE_LIVEKIT_SERVER",
    "TRUNKLINE_PEER_BIN",
    "TRUNKLINE_PEER_TOKEN",
    "TRUNKLINE_REQUIRE_NETLAB",
];

/// Plain variables that hosting platforms and people have set anyway. They fill
/// gaps: the file and our own variables are over them.
const COURTESY: [(&str, &str); 2] = [
    ("DATABASE_URL", "database.url"),
    ("OPENAI_API_KEY", "provider.api_key"),
];

/// Numbers that have no default. Every other key without one is text.
const NUMBERS: [&str; 1] = ["worker.max_calls"];

/// The variable that sets a key.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', SEPARATOR).to_uppercase())
}

/// The process's variables that are text. One that is not, and is none of ours,
/// is passed over.
///
/// # Errors
/// When one of ours is not text.
pub(super) fn texts(
    vars: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let mut texts = Vec::new();
    let mut problems = Vec::new();
    for (name, value) in vars {
        let Ok(name) = name.into_string() else {
            continue;
        };
        match value.into_string() {
            Ok(value) => texts.push((name, value)),
            Err(_) => problems.extend(key_of(&name).map(|key| Problem {
                origin: Some(name),
                ..Problem::new(&key, "is not valid UTF-8")
            })),
        }
    }
    if problems.is_empty() {
        Ok(texts)
    } else {
        Err(ConfigError { problems })
    }
}

/// The key that a variable sets; `None` for one that is not a setting.
fn key_of(name: &str) -> Option<String> {
    if let Some((_, key)) = COURTESY.iter().find(|(n, _)| *n == name) {
        return Some((*key).to_owned());
    }
    let rest = name.strip_prefix(PREFIX)?;
    let is_setting = !NOT_SETTINGS.contains(&name) && !is_service_link(rest);
    is_setting.then(|| rest.to_lowercase().replace(SEPARATOR, "."))
}

/// The variables of a process, as figment reads them.
#[derive(Debug, Clone)]
pub(super) struct Variables {
    name: &'static str,
    values: Dict,
    variable_of: fn(&str) -> String,
}

impl Variables {
    /// `TRUNKLINE_*`. `defaults` says which keys are text, which is then taken
    /// as it stands: a password of digits stays what it is.
    pub(super) fn ours(vars: &[(String, String)], defaults: &Value) -> Self {
        let mut values = Dict::new();
        for (name, text) in vars {
            if !name.starts_with(PREFIX) {
                continue;
            }
            let Some(key) = key_of(name) else {
                continue;
            };
            let default = defaults.find_ref(&key);
            // Compose files and shells hand over what is not set as empty.
            if text.is_empty() && matches!(default, Some(Value::Empty(..))) {
                continue;
            }
            let value = match default {
                Some(Value::Num(..) | Value::Bool(..)) => parsed(text),
                _ if NUMBERS.contains(&&*key) => parsed(text),
                _ => Value::from(text.as_str()),
            };
            insert(&mut values, &key, value);
        }
        Self {
            name: "environment",
            values,
            variable_of: variable,
        }
    }

    /// `DATABASE_URL` and `OPENAI_API_KEY`.
    pub(super) fn courtesy(vars: &[(String, String)]) -> Self {
        let mut values = Dict::new();
        for (name, key) in COURTESY {
            let set = vars.iter().find(|(n, text)| n == name && !text.is_empty());
            if let Some((_, text)) = set {
                insert(&mut values, key, text.as_str().into());
            }
        }
        Self {
            name: "environment",
            values,
            variable_of: |key| {
                COURTESY
                    .iter()
                    .find(|(_, k)| *k == key)
                    .map_or_else(|| key.to_owned(), |(name, _)| (*name).to_owned())
            },
        }
    }
}

impl Provider for Variables {
    fn metadata(&self) -> Metadata {
        let variable_of = self.variable_of;
        Metadata::named(self.name).interpolater(move |_, keys| variable_of(&keys.join(".")))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// A number or a boolean that is neither stays text, and the error says what
/// was expected.
fn parsed(text: &str) -> Value {
    text.trim().parse().unwrap_or_else(|_| Value::from(text))
}

fn insert(values: &mut Dict, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            values.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let entry = values
                .entry(section.to_owned())
                .or_insert_with(|| Value::from(Dict::new()));
            if let Value::Dict(_, section) = entry {
                insert(section, rest, value);
            }
        }
    }
}

/// Kubernetes gives every pod variables for the services around it. A service
/// called `trunkline` or `trunkline-…` gives names with our prefix, such as
/// `TRUNKLINE_PORT_8080_TCP_ADDR`.
fn is_service_link(rest: &str) -> bool {
    let rest = format!("_{rest}");
    !rest.contains(SEPARATOR)
        && (rest.ends_with("_SERVICE_HOST")
            || rest.contains("_SERVICE_PORT")
            || rest.ends_with("_PORT")
            || (rest.contains("_PORT_") && (rest.contains("_TCP") || rest.contains("_UDP"))))
}
