//! A connection's audio: encoders and players, owned by the driver and used without its lock.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use super::{
    PeerShared,
    encryption::Outgoing,
    engine::RtpOut,
    transceiver::{Sending, TransceiverCore},
};
use crate::{
    audio::{EncodedFrame, Levels, OpusSettings, ReceiveTrack, RedPacker, SendPipeline},
    audio_track::RtcAudioTrack,
};

/// What is sent and played now.
#[derive(Default)]
pub(super) struct Pipelines {
    /// The version of the connection's media that this is.
    version: Option<u64>,
    senders: Vec<Sender>,
    receivers: Vec<ReceiveTrack>,
}

/// One transceiver's sending side. It outlives its pipeline: sequence numbers and the media clock
/// must go on when the same source sends again.
struct Sender {
    core: Arc<TransceiverCore>,
    active: Option<Active>,
    sequence: u64,
    timestamp: u32,
    /// The last packet that was encrypted.
    sealed: Vec<u8>,
    packer: RedPacker,
}

struct Active {
    track: RtcAudioTrack,
    pipeline: SendPipeline,
    ssrc: u32,
    payload_type: u8,
    /// Payload type of Opus with copies, where that is sent.
    red: Option<u8>,
    levels: Levels,
    repeats: bool,
}

impl Active {
    /// Lets the encoder know what the network loses.
    fn heed_losses(&mut self, core: &TransceiverCore) {
        let lost = core.measured().reports.loss;
        let settings = *self.pipeline.settings();
        // Whole percents: less is not worth telling.
        if (settings.lost - lost).abs() >= 0.01 {
            let settings = OpusSettings { lost, ..settings };
            self.pipeline.set(settings);
            self.levels = settings.levels();
        }
    }
}

impl Pipelines {
    /// Catches up with what the connection wants sent and played.
    pub(super) fn sync(&mut self, shared: &PeerShared) {
        let version = shared.media_version.load(Ordering::Acquire);
        if self.version == Some(version) {
            return;
        }
        self.version = Some(version);
        let transceivers = shared.state.lock().transceivers.clone();
        self.senders
            .retain(|sender| transceivers.iter().any(|t| Arc::ptr_eq(t, &sender.core)));
        for core in &transceivers {
            let sending = core.sending();
            let known = self
                .senders
                .iter_mut()
                .find(|sender| Arc::ptr_eq(core, &sender.core));
            match (known, sending) {
                (Some(sender), sending) => sender.set(sending, shared),
                (None, None) => {}
                (None, sending) => {
                    let mut sender = Sender::new(Arc::clone(core));
                    sender.set(sending, shared);
                    self.senders.push(sender);
                }
            }
        }
        self.receivers = transceivers
            .iter()
            .filter_map(|core| core.live_track())
            .collect();
    }

    /// Encodes what is due and hands it to `write`.
    pub(super) fn send(&mut self, now: Instant, mut write: impl FnMut(&RtpOut, &EncodedFrame<'_>)) {
        let receivers = &self.receivers;
        for sender in &mut self.senders {
            let Some(active) = &mut sender.active else {
                continue;
            };
            let mut has_sent = false;
            while let Some(frame) = active.pipeline.poll_frame(now) {
                has_sent = true;
                sender.timestamp = sender.timestamp.wrapping_add(frame.rtp_ticks);
                let encryption = &sender.core.encryption;
                // Copies would have to be made before encryption, as no other client expects them.
                let red = active.red.filter(|_| !encryption.is_sealing());
                let source = (active.ssrc, sender.timestamp);
                let Outgoing::Frame(payload) =
                    encryption.seal(source, frame.payload, &mut sender.sealed)
                else {
                    continue;
                };
                let frame = EncodedFrame { payload, ..frame };
                sender.sequence += 1;
                let header = RtpOut {
                    ssrc: active.ssrc,
                    payload_type: red.unwrap_or(active.payload_type),
                    sequence: sender.sequence,
                    timestamp: sender.timestamp,
                    is_repeatable: active.repeats,
                };
                let payload = match red {
                    Some(_) => sender.packer.pack(
                        active.payload_type,
                        sender.timestamp,
                        frame.payload,
                        active.levels,
                    ),
                    None => frame.payload,
                };
                let frame = EncodedFrame { payload, ..frame };
                write(&header, &frame);
                sender.core.count_sent(frame.payload.len());
            }
            if has_sent {
                if let Some(tick) = receivers.iter().find_map(ReceiveTrack::next_tick) {
                    active.pipeline.approach(tick);
                }
                let pipeline = &active.pipeline;
                sender
                    .core
                    .note_source(pipeline.meter(), pipeline.bitrate());
                active.heed_losses(&sender.core);
            }
        }
    }

    /// Decodes what is due.
    pub(super) fn play(&self, now: Instant) {
        for receiver in &self.receivers {
            receiver.tick(now);
        }
    }

    /// When something is due next.
    pub(super) fn due(&self, sending: bool) -> Option<Instant> {
        let senders = self
            .senders
            .iter()
            .filter_map(|sender| sender.active.as_ref());
        let sends = senders
            .filter(|_| sending)
            .map(|active| active.pipeline.next_poll());
        let plays = self.receivers.iter().filter_map(ReceiveTrack::next_tick);
        sends.chain(plays).min()
    }
}

impl Sender {
    fn new(core: Arc<TransceiverCore>) -> Self {
        // Source of the randomness: RFC 3550, section 5.1. The lower half of the range, so that
        // the first packets do not wrap, which receivers that miss them cannot know.
        let sequence = u64::from(rand::random::<u16>() >> 1);
        Self {
            core,
            active: None,
            sequence,
            timestamp: rand::random(),
            sealed: Vec::new(),
            packer: RedPacker::default(),
        }
    }

    fn set(&mut self, sending: Option<Sending>, shared: &PeerShared) {
        let Some(Sending {
            track,
            ssrc,
            payload_type,
            red,
            repeats,
            settings,
        }) = sending
        else {
            self.active = None;
            return;
        };
        let settings = OpusSettings {
            lost: self.core.measured().reports.loss,
            ..settings
        };
        let pipeline = match self.active.take() {
            Some(active) if active.track.is_same(&track) => {
                let mut pipeline = active.pipeline;
                pipeline.set(settings);
                pipeline
            }
            _ => SendPipeline::new(&track, Arc::clone(&shared.wake), settings),
        };
        self.active = Some(Active {
            track,
            pipeline,
            ssrc,
            payload_type,
            red,
            levels: settings.levels(),
            repeats,
        });
    }
}
