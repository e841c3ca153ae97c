//! Reads the configuration from its sources.

use std::path::Path;

use figment::providers::{Format, Serialized, Toml};
use figment::value::Value;
use figment::{Figment, Metadata, Profile};

use super::environment::Variables;
use super::{Config, ConfigError, Problem, check, secret};

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
        // A variable that is not Unicode is none of ours.
        let vars: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self::from_sources(file, &vars)
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
        let mut figment =
            Figment::from(Serialized::defaults(Config::default())).merge(Variables::courtesy(vars));
        if let Some(path) = file {
            if let Err(error) = std::fs::File::open(path) {
                let text = format!("the file {} cannot be read: {error}", path.display());
                return Err(ConfigError {
                    problems: vec![Problem::new("", text)],
                });
            }
            figment = figment.merge(Toml::file_exact(path));
        }
        let figment = figment.merge(Variables::ours(vars, &defaults));

        let mut config: Config = figment.extract().map_err(ConfigError::of_figment)?;
        let mut problems = Vec::new();
        secret::read_files(&mut config, &mut problems);
        check::check(&config, &mut problems);
        for problem in &mut problems {
            problem.origin = figment.find_metadata(&problem.key).and_then(|m| {
                let path: Vec<String> = problem.key.split('.').map(str::to_owned).collect();
                origin(m, &path)
            });
        }
        if problems.is_empty() {
            Ok(Self { config, figment })
        } else {
            Err(ConfigError { problems })
        }
    }

    /// The file or variable that a key's value came from, or `default`.
    pub(super) fn origin_of(&self, key: &str) -> String {
        let path: Vec<String> = key.split('.').map(str::to_owned).collect();
        self.figment
            .find_metadata(key)
            .and_then(|m| origin(m, &path))
            .unwrap_or_else(|| "default".to_owned())
    }
}

/// The file or variable behind a value; `None` for a default.
pub(super) fn origin(metadata: &Metadata, path: &[String]) -> Option<String> {
    if metadata.name == "environment" {
        return Some(metadata.interpolate(&Profile::Default, path));
    }
    let source = metadata.source.as_ref()?;
    source.file_path().map(|file| file.display().to_string())
}
