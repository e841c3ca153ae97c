//! What callers get when something fails.

use std::fmt;
use std::sync::Arc;

use crate::{ProviderSettings, TransferTarget};

/// The largest apology of a tenant's own, in bytes: two minutes at 8 kHz and 16 bits.
/// Each is in the memory of every replica once.
pub const MAX_APOLOGY_BYTES: usize = 2 * 1024 * 1024;

/// What callers get when something fails.
#[derive(Debug, Clone, Default)]
pub struct Fallback {
    /// Takes over when the first model cannot be had, or is lost in mid-call.
    pub second_model: Option<SecondModel>,
    /// To whom a call is passed on after the apology. `None`: it ends.
    pub transfer_to: Option<TransferTarget>,
    /// What is said when no model can be had. `None`: what ships with the program.
    pub apology: Option<ApologyAudio>,
}

/// Another model, for when the first cannot be had.
#[derive(Debug, Clone)]
pub struct SecondModel {
    /// Where it is.
    pub provider: ProviderSettings,
    /// The vendor's name of the model.
    pub model: String,
    /// The vendor's name of the voice.
    pub voice: String,
}

/// A recording of the tenant's own: the file as it came, shared by all calls. Whether
/// it can be played is known to those who can.
#[derive(Clone, PartialEq, Eq)]
pub struct ApologyAudio(Arc<[u8]>);

impl ApologyAudio {
    /// The file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for ApologyAudio {
    fn from(file: Vec<u8>) -> Self {
        Self(file.into())
    }
}

impl fmt::Debug for ApologyAudio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApologyAudio({} bytes)", self.0.len())
    }
}
