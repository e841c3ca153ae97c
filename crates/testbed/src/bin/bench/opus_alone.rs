//! libopus by itself: what no engine can go below.

use std::time::Duration;

use anyhow::Context as _;
use opusic_c::{
    Application, Bandwidth, Bitrate, Channels, Decoder, Encoder, InbandFec, SampleRate, Signal,
};
use procfs::process::Process;

use crate::speech::Speech;

/// How the engine sets its encoder for speech at 24 kHz (`crates/libwebrtc/src/audio/encoder.rs`)
/// that the SDK publishes as it does by default: 48 kbit/s, with copies of whole packets.
const COMPLEXITY: u8 = 6;
const BITRATE: u32 = 48_000;
const BANDWIDTH: Bandwidth = Bandwidth::Wide;

/// Longest Opus packet. Source: RFC 6716, section 3.4.
const MAX_PACKET: usize = 1_275;

/// How much is encoded and decoded: enough for a processor time of seconds.
const AUDIO: Duration = Duration::from_secs(300);

/// Cores for one stream out and one in, the same speech both ways: what a room needs.
pub(crate) fn cores_per_room(speech: &Speech) -> anyhow::Result<f64> {
    anyhow::ensure!(speech.rate == 24_000, "the settings are those for 24 kHz");
    let error = |error: opusic_c::ErrorCode| anyhow::anyhow!("libopus: {}", error.message());
    let mut encoder = Encoder::new(Channels::Mono, SampleRate::Hz24000, Application::Voip)
        .map_err(error)
        .context("no encoder")?;
    encoder.set_complexity(COMPLEXITY).map_err(error)?;
    encoder
        .set_bitrate(Bitrate::Value(BITRATE))
        .map_err(error)?;
    encoder.set_inband_fec(InbandFec::Mode1).map_err(error)?;
    encoder.set_max_bandwidth(BANDWIDTH).map_err(error)?;
    encoder.set_signal(Signal::Voice).map_err(error)?;
    let mut decoder = Decoder::new(Channels::Mono, SampleRate::Hz24000)
        .map_err(error)
        .context("no decoder")?;

    let length = speech.frame_samples();
    let mut packet = [0; MAX_PACKET];
    let mut decoded = vec![0_u16; length];
    let frames = AUDIO.as_millis() as usize / crate::speech::FRAME_MS as usize;
    let samples: Vec<u16> = speech.pcm().iter().map(|s| s.cast_unsigned()).collect();
    let before = thread_time()?;
    for frame in samples.chunks_exact(length).cycle().take(frames) {
        let bytes = encoder.encode_to_slice(frame, &mut packet).map_err(error)?;
        decoder
            .decode_to_slice(&packet[..bytes], &mut decoded, false)
            .map_err(error)?;
    }
    let spent = thread_time()?.saturating_sub(before);
    Ok(spent.as_secs_f64() / AUDIO.as_secs_f64())
}

/// Processor time of this process, to which nobody else contributes meanwhile.
fn thread_time() -> anyhow::Result<Duration> {
    let stat = Process::myself()?.stat()?;
    let ticks = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
    Ok(Duration::from_secs_f64(ticks))
}
