//! Speech-to-speech sessions: one vendor-neutral event set, a codec per vendor.
//!
//! [`Connector::connect`] opens a [`Session`]; [`Command`]s go in, [`Event`]s
//! come out, both through bounded queues. Audio is 24 kHz mono PCM both ways.
//!
//! A codec is pure: text of the vendor's wire in, events and text out, no socket
//! and no clock. Around it one task per session owns the socket.

mod audio;
mod codec;
mod command;
mod config;
mod connect;
mod endpoint;
mod error;
mod event;
mod ids;
mod liveness;
mod openai;
mod options;
mod pool;
mod session;
mod socket;
mod task;
mod text;

pub use audio::{SAMPLE_RATE, duration_of};
pub use command::{Command, Line, Role};
pub use config::{DEFAULT_TRANSCRIPTION_MODEL, SessionConfig, Transcriber};
pub use connect::Connector;
pub use endpoint::Endpoint;
pub use error::{CloseReason, ConnectError, Recovery, SendError, Trouble, VendorError};
pub use event::{Event, Purpose, ResponseStatus, Transcript, Usage};
pub use ids::{ItemId, ResponseId};
pub use options::Options;
pub use pool::Pool;
pub use session::{Sender, Session};
