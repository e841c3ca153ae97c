//! Statistics: what this engine measures, in the shapes and units of the W3C document.
//!
//! Records refer to each other by id. Samples are counted at 48 kHz, the clock of Opus, at
//! whatever rate a stream is read.

mod streams;
mod transport;

use std::{
    collections::HashSet,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use super::{agreement::AudioAgreement, state::State, transceiver::TransceiverCore};
use crate::{
    data_channel::DataChannelState,
    stats::{CodecStats, DataChannelStats, PeerConnectionStats, RtcStats, dictionaries},
};

const TRANSPORT_ID: &str = "transport";

/// What is sent by a transceiver, and all that this refers to.
pub(super) fn of_sender(state: &State, core: &TransceiverCore) -> Vec<RtcStats> {
    with_references(state, streams::outbound(state, core), &[core])
}

/// What is received by a transceiver, and all that this refers to.
pub(super) fn of_receiver(state: &State, core: &TransceiverCore) -> Vec<RtcStats> {
    with_references(state, streams::inbound(core), &[core])
}

/// The connection, its streams and its channels.
pub(super) fn connection(state: &State) -> Vec<RtcStats> {
    let mut records = vec![RtcStats::PeerConnection(PeerConnectionStats {
        rtc: record("peer-connection"),
        pc: dictionaries::PeerConnectionStats {
            data_channels_opened: state.opened_channels,
            data_channels_closed: state.closed_channels,
        },
    })];
    for core in &state.transceivers {
        records.extend(streams::outbound(state, core));
        records.extend(streams::inbound(core));
    }
    records.extend(channels(state));
    let cores: Vec<&TransceiverCore> = state.transceivers.iter().map(AsRef::as_ref).collect();
    with_references(state, records, &cores)
}

/// Adds codecs and transport; nothing where there is nothing that refers to them.
fn with_references(
    state: &State,
    mut records: Vec<RtcStats>,
    cores: &[&TransceiverCore],
) -> Vec<RtcStats> {
    if records.is_empty() {
        return records;
    }
    let mut known = HashSet::new();
    for core in cores {
        let agreement = core.agreement();
        let codecs = agreement.iter().flat_map(codecs);
        records.extend(
            codecs
                .filter(|codec| known.insert(codec.codec.payload_type))
                .map(RtcStats::Codec),
        );
    }
    records.extend(transport::records(state));
    records
}

fn codec_id(payload_type: u8) -> String {
    format!("codec-{payload_type}")
}

fn codecs(audio: &AudioAgreement) -> Vec<CodecStats> {
    let codec = |payload_type: u8, mime_type: &str, line: String| CodecStats {
        rtc: record(&codec_id(payload_type)),
        codec: dictionaries::CodecStats {
            payload_type: u32::from(payload_type),
            transport_id: TRANSPORT_ID.to_owned(),
            mime_type: mime_type.to_owned(),
            clock_rate: 48_000,
            channels: 2,
            sdp_fmtp_line: line,
        },
    };
    let opus = codec(
        audio.opus,
        "audio/opus",
        "minptime=10;useinbandfec=1".to_owned(),
    );
    let levels = format!("{0}/{0}", audio.opus);
    let red = audio.red.map(|red| codec(red, "audio/red", levels));
    std::iter::once(opus).chain(red).collect()
}

fn channels(state: &State) -> impl Iterator<Item = RtcStats> {
    let open = state
        .channels
        .iter()
        .filter(|channel| channel.state() == DataChannelState::Open);
    open.map(|channel| {
        let counters = channel.counters();
        RtcStats::DataChannel(DataChannelStats {
            rtc: record(&format!("data-channel-{}", channel.id())),
            dc: dictionaries::DataChannelStats {
                label: channel.label().to_owned(),
                protocol: String::new(),
                data_channel_identifier: channel.id(),
                state: Some(channel.state()),
                messages_sent: counters.messages_sent,
                bytes_sent: counters.bytes_sent,
                messages_received: counters.messages_received,
                bytes_received: counters.bytes_received,
            },
        })
    })
}

/// Times are microseconds of the wall clock, as in the C++ engine.
fn record(id: &str) -> dictionaries::RtcStats {
    let micros = since_epoch(SystemTime::now()).as_micros();
    dictionaries::RtcStats {
        id: id.to_owned(),
        timestamp: i64::try_from(micros).unwrap_or(i64::MAX),
    }
}

fn since_epoch(time: SystemTime) -> std::time::Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Milliseconds since the epoch, as the document has it for times within records.
fn epoch_ms(time: SystemTime) -> f64 {
    since_epoch(time).as_secs_f64() * 1000.0
}

/// The same of a moment of the steady clock.
fn epoch_ms_of(moment: Instant) -> f64 {
    let now = SystemTime::now();
    epoch_ms(now.checked_sub(moment.elapsed()).unwrap_or(now))
}
