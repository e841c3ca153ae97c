//! What the fuzz targets (`fuzz/` beside this crate's sources) call, one function each. Not part of
//! the crate: it is there where a fuzzer is built, and in the crate's own tests, which replay what
//! the fuzzers have kept.
//!
//! Every function takes any bytes, and panics only where the engine is at fault.

mod input;
#[cfg(test)]
mod replay;

pub(crate) use self::input::Input;
pub use crate::{
    audio::fuzzing::{playout, redundancy as red},
    e2ee::fuzzing::e2ee,
    peer::fuzzing::{candidate, datagrams, framing, relay, sdp, server_url, stun_answer},
};
