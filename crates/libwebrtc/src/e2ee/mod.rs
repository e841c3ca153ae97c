//! End-to-end encryption as the LiveKit SDKs have it: no socket, clock or callback in here.
//!
//! An encrypted audio frame is
//!
//! ```text
//! | first byte | AES-128-GCM of the rest | tag 16 | IV 12 | 12 | key index |
//! ```
//!
//! The first byte is Opus' table of contents, which servers may read; it is authenticated, what
//! follows the tag is not, for a change of it only makes the frame fail. A data packet is the same
//! without first byte and trailer: its IV and key index travel beside it. Keys come from a
//! password or a secret, stay in a ring by index, and can be ratcheted: the next one follows from
//! the one before it.

mod data;
mod derive;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod keys;
mod open;
mod seal;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    data::{DataSealer, open_data, seal_data},
    derive::Derivation,
    keys::{KeySet, Keys, Policy},
    open::{Opened, Opener},
    seal::{Sealed, Sealer},
};

/// Length of the IV. Source: AES-GCM's only one without hashing, and the SDKs' only one.
pub(crate) const IV_BYTES: usize = 12;

/// Length of the tag.
const TAG_BYTES: usize = 16;
