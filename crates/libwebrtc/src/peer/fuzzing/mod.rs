//! What fuzz targets call of a connection and its network.

mod datagrams;
mod descriptions;
mod open_crypto;

pub use self::{
    datagrams::datagrams,
    descriptions::{candidate, sdp},
};
pub use super::network::fuzzing::{framing, server_url, stun_answer};
