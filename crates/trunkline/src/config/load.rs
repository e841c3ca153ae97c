//! Reads the configuration from its sources.

use std::path::Path;

use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Value};
use figment::{Figment, Metadata, Profile};
use trunkline_domain::chain;

use super::environment::{self, Variables};
use super::{Config, ConfigError, Problem, check, secret};
use crate::files;

/// The largest configuration that is read, in bytes. One with every key and a comment on each
/// has some 20 kB.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// A configuration, and where its values came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values. What `*_file` keys name has been read.
    pub config: Config,
    pub(super) figment: Figment,
}

impl Loaded {
    /// Reads defaults, file and environment, and checks the values.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration, by key.
    pub fn read(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::from_sources(file, &environment::texts(std::env::vars_os())?)
    }

    /// As [`Loaded::read`], with the environment as an argument.
    ///
    /// # Errors
    /// As [`Loaded::read`].
    pub fn from_sources(
        file: Option<&Path>,
        vars: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let defaults = Value::serialize(Config::default()).map_err(ConfigError::of_figment)?;
        let mut problems = Vec::new();
        let mut figment =
            Figment::from(Serialized::defaults(Config::default())).merge(Variables::courtesy(vars));
        if let Some(path) = file {
            // Read once here, to know that it has an end.
            if let Err(error) = files::read_bounded(path, MAX_FILE_BYTES) {
                let text = format!(
                    "the file {} cannot be used: {}",
                    path.display(),
                    chain(&error)
                );
                return Err(ConfigError {
                    problems: vec![Problem::new("", text)],
                });
            }
            let file = Figment::from(Toml::file_exact(path));
            find_misplaced(&file, &defaults, &mut problems);
            figment = figment.merge(file);
        }
        let ours = Variables::ours(vars, &defaults);
        find_misplaced(&Figment::from(ours.clone()), &defaults, &mut problems);
        let figment = figment.merge(ours);
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }

        let mut config: Config = figment.extract().map_err(ConfigError::of_figment)?;
        secret::read_files(&mut config, &mut problems);
        check::check(&config, &mut problems);
        for problem in &mut problems {
            // A secret can be in a file of its own.
            problem.origin = origin_in(&figment, &problem.key)
                .or_else(|| origin_in(&figment, &format!("{}_file", problem.key)));
            if let Some(other) = problem.against.take() {
                let origin = origin_in(&figment, &other);
                let origin = origin.map(|origin| format!(" (in {origin})"));
                problem.text = format!("{} {other}{}", problem.text, origin.unwrap_or_default());
            }
        }
        if problems.is_empty() {
            Ok(Self { config, figment })
        } else {
            Err(ConfigError { problems })
        }
    }

    /// The file or variable that a key's value came from, or `default`.
    pub(super) fn origin_of(&self, key: &str) -> String {
        origin_in(&self.figment, key).unwrap_or_else(|| "default".to_owned())
    }
}

/// Values that stand where a section belongs. They would hide the section's
/// defaults, and the error would blame a key that is missing then.
fn find_misplaced(source: &Figment, defaults: &Value, problems: &mut Vec<Problem>) {
    // What cannot be read at all is told when everything is read.
    let given: Dict = source.extract().unwrap_or_default();
    for (key, value) in &given {
        let is_section = matches!(defaults.find_ref(key), Some(Value::Dict(..)));
        if is_section && !matches!(value, Value::Dict(..)) {
            let mut problem = Problem::new(
                key,
                format!(
                    "is a section and cannot have a value itself; set one of its keys, {key}.…"
                ),
            );
            problem.origin = origin_in(source, key);
            problems.push(problem);
        }
    }
}

fn origin_in(figment: &Figment, key: &str) -> Option<String> {
    let path: Vec<String> = key.split('.').map(str::to_owned).collect();
    origin(figment.find_metadata(key)?, &path)
}

/// The file or variable behind a value; `None` for a default.
pub(super) fn origin(metadata: &Metadata, path: &[String]) -> Option<String> {
    if metadata.name == "environment" {
        return Some(metadata.interpolate(&Profile::Default, path));
    }
    let source = metadata.source.as_ref()?;
    source.file_path().map(|file| file.display().to_string())
}
