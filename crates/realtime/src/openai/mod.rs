//! OpenAI Realtime (GA), and every server of that wire.

mod client;
mod codec;
mod configuring;
mod error;
mod items;
mod server;
#[cfg(test)]
mod tests;

pub(crate) use codec::OpenAi;
pub(crate) use error::from_http;
