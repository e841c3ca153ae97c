//! Audio: from the application's PCM to Opus packets, and back.
//!
//! Sending: [`SourceHandle`] (the application's queue) → [`SendPipeline`] (pace, Opus, level).
//! Receiving: [`ReceiveTrack`] → one [`playout::Playout`] for each attached stream (jitter buffer,
//! Opus, concealment) → [`StreamHandle`] (the application's queue).
//!
//! Everything that decides is sans-IO and takes the time as an argument. The connection's driver
//! owns the timers: it polls the pipelines and ticks the tracks, each of which says when next.

mod decoder;
mod delay;
mod encoder;
mod format;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod jitter;
mod level;
#[cfg(test)]
mod link_tests;
mod opus_packet;
mod pacer;
mod playout;
mod queue;
mod receive;
mod reception;
mod red;
mod resample;
mod send;
mod settings;
mod source;
mod source_queue;
mod timescale;

pub(crate) use receive::{ReceiveStats, ReceiveTrack, StreamHandle};
pub(crate) use reception::{Packing, RtpInfo};
pub(crate) use red::{Levels, RedPacker};
pub(crate) use resample::{Resampler, remix};
pub(crate) use send::{EncodedFrame, SendPipeline, SourceMeter};
pub(crate) use settings::OpusSettings;
pub(crate) use source::SourceHandle;
