//! What fuzz targets call of a connection and its network.

pub(super) mod datagrams;
pub(super) mod descriptions;
pub(super) mod open_crypto;
pub(super) mod sctp;

pub use self::{
    datagrams::datagrams,
    descriptions::{candidate, sdp},
};
pub use super::network::fuzzing::{framing, relay, server_url, stun_answer};
