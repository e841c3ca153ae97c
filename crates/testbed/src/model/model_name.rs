//! Which model it is, and what differs between them.

use super::behaviour::Temperature;
use super::error::WireError;
use super::params::Param;

/// A model by its name.
#[derive(Debug, Clone)]
pub(super) struct RealtimeModel {
    name: String,
    temperature: Temperature,
}

impl RealtimeModel {
    pub(super) fn new(name: &str, temperature: Temperature) -> Self {
        Self {
            name: name.to_owned(),
            temperature,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The GA session has no temperature. The preview models had, and compatible servers have.
    pub(super) fn check_temperature(&self, field: &Param<'_>) -> Result<(), WireError> {
        let taken = match self.temperature {
            Temperature::ByModel => self.name.contains("preview"),
            Temperature::Taken => true,
        };
        if taken {
            field.number(0.6..=1.2).map(drop)
        } else {
            Err(WireError::unknown(&field.path))
        }
    }
}
