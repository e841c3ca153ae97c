//! Reads fields out of a JSON object, with errors that name the field as its sender wrote it.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::InvalidConfig;

/// The fields of an object that were not taken yet. A field is named by its path from the
/// outermost object, `turnDetection.threshold` for instance.
pub(super) struct Fields {
    fields: Map<String, Value>,
    rest: Map<String, Value>,
}

impl Fields {
    pub(super) fn new(fields: Map<String, Value>) -> Self {
        Self {
            fields,
            rest: Map::new(),
        }
    }

    /// The object at `path`, if there is one. Give it back with [`Fields::done`].
    pub(super) fn object(&mut self, path: &'static str) -> Result<Option<Self>, InvalidConfig> {
        match self.take(path) {
            None => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(Self::new(fields))),
            Some(other) => Err(wrong_kind(path, "an object", &other)),
        }
    }

    /// Keeps what was not taken of the object at `path`.
    pub(super) fn done(&mut self, path: &'static str, inner: Self) {
        for (name, value) in inner.rest() {
            self.rest.insert(format!("{path}.{name}"), value);
        }
    }

    /// What was not taken.
    pub(super) fn rest(self) -> Map<String, Value> {
        let mut rest = self.fields;
        rest.extend(self.rest);
        rest
    }

    /// The value, without its check. `null` is as if it were left out.
    pub(super) fn take(&mut self, path: &'static str) -> Option<Value> {
        self.fields
            .remove(key(path))
            .filter(|value| !value.is_null())
    }

    /// A text without the blanks around it.
    pub(super) fn text(
        &mut self,
        path: &'static str,
        chars: RangeInclusive<usize>,
    ) -> Result<Option<String>, InvalidConfig> {
        match self.take(path) {
            None => Ok(None),
            Some(Value::String(text)) => {
                let text = text.trim();
                let count = text.chars().count();
                if count < *chars.start() {
                    Err(wrong(
                        path,
                        "must not be empty; leave it out to use the tenant's default",
                    ))
                } else if count > *chars.end() {
                    let most = chars.end();
                    Err(wrong(
                        path,
                        format!("has {count} characters; at most {most} are taken"),
                    ))
                } else if text.contains('\0') {
                    Err(wrong(path, "contains a NUL character"))
                } else {
                    Ok(Some(text.to_owned()))
                }
            }
            Some(other) => Err(wrong_kind(path, "a string", &other)),
        }
    }

    /// A number within `range`.
    pub(super) fn number(
        &mut self,
        path: &'static str,
        range: RangeInclusive<f64>,
    ) -> Result<Option<f64>, InvalidConfig> {
        match self.take(path) {
            None => Ok(None),
            Some(Value::Number(number)) => {
                let within = number.as_f64().filter(|value| range.contains(value));
                let (least, most) = (range.start(), range.end());
                within.map(Some).ok_or_else(|| {
                    wrong(
                        path,
                        format!("must be from {least} to {most}, not {number}"),
                    )
                })
            }
            Some(other) => Err(wrong_kind(path, "a number", &other)),
        }
    }

    /// A whole number within `range`. `500.0` is one, as JSON Schema has it.
    pub(super) fn integer(
        &mut self,
        path: &'static str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>, InvalidConfig> {
        match self.take(path) {
            None => Ok(None),
            Some(Value::Number(number)) => {
                let whole = number.as_f64().filter(|value| value.fract() == 0.0);
                // Beyond the type is beyond every range, and stays so.
                let whole = whole.filter(|value| (0.0..=f64::from(u32::MAX)).contains(value));
                let whole = whole.map(|value| value as u32);
                let (least, most) = (range.start(), range.end());
                whole
                    .filter(|value| range.contains(value))
                    .map(Some)
                    .ok_or_else(|| {
                        let problem =
                            format!("must be a whole number from {least} to {most}, not {number}");
                        wrong(path, problem)
                    })
            }
            Some(other) => Err(wrong_kind(path, "a number", &other)),
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, path: &'static str) -> Result<Option<bool>, InvalidConfig> {
        match self.take(path) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(wrong_kind(path, "true or false", &other)),
        }
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        path: &'static str,
        named: &[(&'static str, T)],
    ) -> Result<Option<T>, InvalidConfig> {
        let text = match self.take(path) {
            None => return Ok(None),
            Some(Value::String(text)) => text,
            Some(other) => return Err(wrong_kind(path, "a string", &other)),
        };
        match named.iter().find(|(name, _)| *name == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                let names: Vec<_> = named
                    .iter()
                    .map(|(name, _)| format!("\"{name}\""))
                    .collect();
                Err(wrong(path, format!("must be one of {}", names.join(", "))))
            }
        }
    }

    /// An object of any content, of at most so many bytes as JSON.
    pub(super) fn map(
        &mut self,
        path: &'static str,
        max_bytes: usize,
    ) -> Result<Option<Map<String, Value>>, InvalidConfig> {
        let map = match self.take(path) {
            None => return Ok(None),
            Some(Value::Object(map)) => map,
            Some(other) => return Err(wrong_kind(path, "an object", &other)),
        };
        let bytes = Value::Object(map.clone()).to_string().len();
        if bytes > max_bytes {
            return Err(wrong(
                path,
                format!("has {bytes} bytes as JSON; at most {max_bytes} are taken"),
            ));
        }
        Ok(Some(map))
    }
}

/// What is wrong with a field.
pub(super) fn wrong(field: &'static str, problem: impl Into<String>) -> InvalidConfig {
    InvalidConfig::Field {
        field,
        problem: problem.into(),
    }
}

/// The field has a value of another kind than it must have.
pub(super) fn wrong_kind(field: &'static str, expected: &str, found: &Value) -> InvalidConfig {
    wrong(field, format!("must be {expected}, not {}", kind(found)))
}

/// What kind of value it is, for people.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The last part of a path.
fn key(path: &'static str) -> &'static str {
    path.rsplit('.').next().unwrap_or(path)
}
