//! The configuration as it holds, with the origin of each value. Secrets are
//! shown as set or not.

use std::fmt::Write;

use figment::value::{Dict, Value};

use super::Loaded;
use super::secret::{REDACTED, SECRET_KEYS};

impl Loaded {
    /// TOML, one comment a line saying where the value came from.
    pub fn show(&self) -> String {
        let mut text = String::new();
        for (key, value) in self.leaves() {
            let origin = self.origin_of(&key);
            let line = match &value {
                _ if SECRET_KEYS.contains(&key.as_str()) && !matches!(value, Value::Empty(..)) => {
                    format!("{key} = {REDACTED:?}")
                }
                Value::Empty(..) => format!("# {key} is not set"),
                Value::String(_, text) => format!("{key} = {text:?}"),
                other => match other.to_actual() {
                    figment::error::Actual::Bool(b) => format!("{key} = {b}"),
                    figment::error::Actual::Unsigned(n) => format!("{key} = {n}"),
                    figment::error::Actual::Signed(n) => format!("{key} = {n}"),
                    figment::error::Actual::Float(n) => format!("{key} = {n}"),
                    other => format!("# {key} is {other}"),
                },
            };
            let line = if matches!(value, Value::Empty(..)) || origin == "default" {
                line
            } else {
                format!("{line}  # {origin}")
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{line}");
        }
        text
    }

    /// Every key with its value, in the order of the keys.
    pub(super) fn leaves(&self) -> Vec<(String, Value)> {
        let mut leaves = Vec::new();
        if let Ok(dict) = self.figment.extract::<Dict>() {
            walk(&dict, "", &mut leaves);
        }
        leaves
    }
}

pub(super) fn walk(dict: &Dict, prefix: &str, leaves: &mut Vec<(String, Value)>) {
    for (name, value) in dict {
        let key = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            Value::Dict(_, inner) => walk(inner, &key, leaves),
            leaf => leaves.push((key, leaf.clone())),
        }
    }
}
