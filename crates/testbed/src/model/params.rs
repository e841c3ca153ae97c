//! Reading a client's JSON strictly, so that each refusal names its parameter.

use serde_json::{Map, Value};

use super::error::WireError;

/// A value and where it is: `session.audio.output.voice`.
#[derive(Debug, Clone)]
pub(super) struct Param<'a> {
    pub(super) path: String,
    pub(super) value: &'a Value,
}

impl<'a> Param<'a> {
    pub(super) fn new(path: &str, value: &'a Value) -> Self {
        Self {
            path: path.to_owned(),
            value,
        }
    }

    pub(super) fn object(&self) -> Result<&'a Map<String, Value>, WireError> {
        self.value
            .as_object()
            .ok_or_else(|| WireError::wrong_type(&self.path, "an object", self.value))
    }

    /// The fields of an object that has no others than `known`.
    pub(super) fn fields(&self, known: &[&str]) -> Result<Vec<(&'a str, Param<'a>)>, WireError> {
        let fields = self.object()?.iter().map(|(name, value)| {
            let path = format!("{}.{name}", self.path);
            if known.contains(&name.as_str()) {
                Ok((name.as_str(), Param { path, value }))
            } else {
                Err(WireError::unknown(&path))
            }
        });
        fields.collect()
    }

    pub(super) fn get(&self, name: &str) -> Result<Option<Param<'a>>, WireError> {
        let found = self.object()?.get(name);
        Ok(found.map(|value| Param {
            path: format!("{}.{name}", self.path),
            value,
        }))
    }

    pub(super) fn require(&self, name: &str) -> Result<Param<'a>, WireError> {
        self.get(name)?
            .ok_or_else(|| WireError::missing(&format!("{}.{name}", self.path)))
    }

    pub(super) fn string(&self) -> Result<&'a str, WireError> {
        self.value
            .as_str()
            .ok_or_else(|| WireError::wrong_type(&self.path, "a string", self.value))
    }

    pub(super) fn boolean(&self) -> Result<bool, WireError> {
        self.value
            .as_bool()
            .ok_or_else(|| WireError::wrong_type(&self.path, "a boolean", self.value))
    }

    pub(super) fn array(&self) -> Result<Vec<Param<'a>>, WireError> {
        let values = self
            .value
            .as_array()
            .ok_or_else(|| WireError::wrong_type(&self.path, "an array", self.value))?;
        let element = |(index, value)| Param {
            path: format!("{}[{index}]", self.path),
            value,
        };
        Ok(values.iter().enumerate().map(element).collect())
    }

    pub(super) fn one_of(&self, allowed: &[&str]) -> Result<&'a str, WireError> {
        let value = self.string()?;
        if allowed.contains(&value) {
            return Ok(value);
        }
        let list: Vec<String> = allowed.iter().map(|value| format!("'{value}'")).collect();
        let message = format!(
            "Invalid value: '{value}'. Supported values are: {}.",
            list.join(", ")
        );
        Err(WireError::wrong_value(&self.path, message))
    }

    pub(super) fn number(&self, range: std::ops::RangeInclusive<f64>) -> Result<f64, WireError> {
        let number = self
            .value
            .as_f64()
            .ok_or_else(|| WireError::wrong_type(&self.path, "a decimal", self.value))?;
        if range.contains(&number) {
            return Ok(number);
        }
        let message = format!(
            "Invalid '{}': must be between {} and {}, but got {number}.",
            self.path,
            range.start(),
            range.end()
        );
        Err(WireError::wrong_value(&self.path, message))
    }

    pub(super) fn integer(&self, range: std::ops::RangeInclusive<u64>) -> Result<u64, WireError> {
        let number = self
            .value
            .as_u64()
            .ok_or_else(|| WireError::wrong_type(&self.path, "an integer", self.value))?;
        if range.contains(&number) {
            return Ok(number);
        }
        let message = format!(
            "Invalid '{}': integer out of range. Expected {} to {}, but got {number}.",
            self.path,
            range.start(),
            range.end()
        );
        Err(WireError::wrong_value(&self.path, message))
    }
}
