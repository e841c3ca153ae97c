//! A simulated speech-to-speech model that speaks the OpenAI Realtime wire (GA).
//!
//! It listens: turns are found in the audio that really arrives, and what was said is decoded from
//! it (see [`voice`](crate::voice)). It speaks: every reply is audio whose words can be decoded
//! again. What it replies is scripted; told to say something exactly, it obeys. And it fails, in
//! every way a test may want.
//!
//! [`core`] is the conversation as a state machine without I/O: client events and time go in,
//! server events and the next deadline come out. [`server`] is its shell: HTTP, WebSocket, clock.
//! The field names and error codes are those of the vendor's published SDK and documents.

mod audio;
mod behaviour;
mod connection;
mod conversation;
mod core;
mod directive;
mod error;
mod input;
mod item;
mod model_name;
mod params;
mod record;
mod request;
mod response;
mod server;
mod session;
mod speech;
mod turn;
mod usage;
mod vad;

#[cfg(test)]
mod server_tests;

pub use behaviour::{Behaviour, Disturbance, EndOfSession, Opening, ResponseFault, Temperature};
pub use directive::exact_words;
pub use item::Role;
pub use record::{
    Closing, NotSeen, ReceivedEvent, ResponseRecord, ResponseState, SessionRecord, TruncationRecord,
};
pub use server::{Injection, ModelOptions, SimulatedModel, StartError};
pub use turn::{FunctionCall, Reply, Script, Turn};
