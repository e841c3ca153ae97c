//! The sockets that the LiveKit SDK's rooms signal over.
//!
//! The SDK takes its WebSocket client from `livekit-net`, which lets the process bring its own.
//! Ours differs in two things from the one that it brings along:
//!
//! - **It is small.** The SDK's has a read buffer of 128 KiB for each room, and over TLS reads the
//!   system's root certificates for each and keeps them with it: more than everything else of a
//!   room. Ours reads into 4 KiB, and has one TLS configuration for the process.
//! - **It says who has left.** Where the server ends our place in a room before it says that the
//!   others have gone, the SDK keeps the room's memory for ever: see `roster.rs`.

mod attended;
mod client;
mod roster;
mod socket;

use std::sync::Arc;

use crate::client::Client;

/// Lets all rooms of the process signal over sockets of this crate. Before the first room is
/// joined; where the process has chosen a client already, that one stays.
///
/// # Errors
/// When TLS cannot be set up.
pub fn install() -> Result<(), rustls::Error> {
    // Asked before ours is there, this is the one that the SDK brings along.
    let through_proxies = livekit_net::ws_client();
    livekit_net::set_ws_client(Arc::new(Client::new(through_proxies)?));
    Ok(())
}
