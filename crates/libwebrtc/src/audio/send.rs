//! From a local track to Opus packets at their time.

use std::{sync::Arc, time::Instant};

use tokio::sync::Notify;

use super::{
    encoder::{AudioEncoder, MAX_PACKET_BYTES},
    format::{Format, PACKET, PACKET_MS},
    level::{SILENCE, audio_level, is_voice, mean_square},
    pacer::{Action, KEEP_ALIVE, Pacer, Step, Supply},
    settings::OpusSettings,
    source::Puller,
};
use crate::audio_track::RtcAudioTrack;

/// The shortest Opus packet, sent before the encoder has made one: SILK, wideband, 20 ms, mono,
/// no data. Decoders conceal it, which after nothing is silence. Source: RFC 6716, section 3.1.
const EMPTY_PACKET: u8 = 9 << 3;

/// The bits of an Opus packet's first byte that say the mode, without the count of frames.
const MODE_BITS: u8 = 0xFC;

/// Captured packets of digital silence that are encoded before the rest of the silence is not:
/// enough for the decoder to fall silent. libopus' own suppression is off: it takes steady tones
/// and music for silence as well.
const SILENCE_ENCODED: u32 = 5;
const FIRST_UNSENT: u32 = SILENCE_ENCODED + 1;

/// Packets of captured silence for one keep-alive.
const KEEP_ALIVE_PACKETS: u32 = (KEEP_ALIVE.as_millis() / PACKET.as_millis()) as u32;

/// The format of the silence that a track without a source sends.
fn silent_format() -> Format {
    Format::nearest(16_000, 1)
}

/// One packet to send.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EncodedFrame<'a> {
    /// The Opus packet.
    pub(crate) payload: &'a [u8],
    /// To be added to the RTP timestamp before this packet is sent (48 kHz).
    pub(crate) rtp_ticks: u32,
    /// RFC 6464: 0 is loud, 127 is silence.
    pub(crate) audio_level_dbov: u8,
    /// RFC 6464.
    pub(crate) voice_activity: bool,
    /// The first packet of sound after silence.
    pub(crate) marker: bool,
}

/// How loud a source was, full scale being 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct SourceMeter {
    /// Root mean square of the last packet.
    pub(crate) level: f64,
    /// Mean squares times seconds.
    pub(crate) energy: f64,
    pub(crate) seconds: f64,
}

/// Paces, encodes and measures what a local track captures. Owned by the connection's driver,
/// polled only while packets can be sent; dropping it lets go of the source.
pub(crate) struct SendPipeline {
    track: RtcAudioTrack,
    puller: Option<Puller>,
    format: Format,
    settings: OpusSettings,
    meter: SourceMeter,
    /// Made when the first sound is due: silent tracks have none.
    encoder: Option<AudioEncoder>,
    /// Made at the first poll, so that the clock does not run before anything can be sent.
    pacer: Option<Pacer>,
    created: Instant,
    pcm: Vec<i16>,
    packet: Box<[u8; MAX_PACKET_BYTES]>,
    /// First byte of the last packet that carried sound or silence.
    mode: u8,
    /// Packets of digital silence in a row that were captured.
    silent_packets: u32,
    /// Media time of packets that were not sent.
    unsent_ticks: u32,
}

impl SendPipeline {
    /// Sends `track`. `wake` is told when there is something to send before the time that
    /// [`next_poll`](Self::next_poll) last said.
    pub(crate) fn new(track: &RtcAudioTrack, wake: Arc<Notify>, settings: OpusSettings) -> Self {
        let puller = track.source().and_then(|source| source.attach(wake));
        let format = puller.as_ref().map_or_else(silent_format, Puller::format);
        Self {
            track: track.clone(),
            puller,
            format,
            settings,
            meter: SourceMeter::default(),
            encoder: None,
            pacer: None,
            created: Instant::now(),
            pcm: vec![0; format.samples(PACKET_MS)],
            packet: Box::new([0; MAX_PACKET_BYTES]),
            mode: EMPTY_PACKET,
            silent_packets: 0,
            unsent_ticks: 0,
        }
    }

    /// Encodes in another way from the next packet on.
    pub(crate) fn set(&mut self, settings: OpusSettings) {
        self.settings = settings;
        if let Some(encoder) = &mut self.encoder
            && let Err(error) = encoder.set(&settings)
        {
            log::error!("libopus does not take {settings:?}: {}", error.message());
        }
        if let Some(pacer) = &mut self.pacer {
            pacer.set_continuous(!settings.dtx);
        }
    }

    pub(crate) fn settings(&self) -> &OpusSettings {
        &self.settings
    }

    /// Bits a second that are aimed at.
    pub(crate) fn bitrate(&self) -> u32 {
        self.settings.bitrate(self.format)
    }

    /// How loud the source is and was.
    pub(crate) fn meter(&self) -> SourceMeter {
        self.meter
    }

    /// Lets packets come to leave when the driver is awake for something else, at `at` and every
    /// 20 ms from there: each waking costs about as much as sending. Only where more is waiting
    /// than the next packet, so that nobody waits for it.
    pub(crate) fn approach(&mut self, at: Instant) {
        let waiting = self.puller.as_ref().map_or(0, Puller::available);
        if let Some(pacer) = &mut self.pacer
            && waiting >= 2 * self.pcm.len()
        {
            pacer.approach(at);
        }
    }

    /// When to poll again.
    pub(crate) fn next_poll(&self) -> Instant {
        self.pacer.as_ref().map_or(self.created, Pacer::next_poll)
    }

    /// The next packet that is due. To be called until it answers `None`.
    pub(crate) fn poll_frame(&mut self, now: Instant) -> Option<EncodedFrame<'_>> {
        loop {
            let supply = self.supply();
            let is_continuous = !self.settings.dtx;
            let pacer = self.pacer.get_or_insert_with(|| {
                let mut pacer = Pacer::new(now);
                pacer.set_continuous(is_continuous);
                pacer
            });
            match pacer.decide(now, supply) {
                Action::Audio(step) => {
                    self.pull(now);
                    let level = audio_level(&self.pcm);
                    self.measure(mean_square(&self.pcm));
                    if let Some(kind) = self.judge(level) {
                        return self.send(kind, step, level);
                    }
                    self.unsent_ticks = self.unsent_ticks.wrapping_add(step.ticks);
                }
                Action::Silence(step) => {
                    self.pcm.fill(0);
                    self.measure(0.0);
                    return self.send(Kind::Encoded, step, SILENCE);
                }
                Action::KeepAlive(step) => return self.send(Kind::KeepAlive, step, SILENCE),
                Action::Wait => {
                    // A disabled track does not even wait, or its source would wait for it.
                    let wants_audio = supply != Supply::Packet && self.track.enabled();
                    if let Some(puller) = self.puller.as_ref().filter(|_| wants_audio) {
                        puller.wait_for_packet(now);
                    }
                    return None;
                }
            }
        }
    }

    /// What there is to send. A disabled track has nothing: its source, not being pulled, then
    /// drains by the clock.
    fn supply(&self) -> Supply {
        if !self.track.enabled() {
            return Supply::Over;
        }
        let Some(puller) = &self.puller else {
            return Supply::Nothing;
        };
        match puller.available() {
            0 if puller.is_cut() => Supply::Over,
            0 => Supply::Nothing,
            samples if samples < self.pcm.len() => Supply::Rest,
            _ => Supply::Packet,
        }
    }

    fn pull(&mut self, now: Instant) {
        let count = self
            .puller
            .as_ref()
            .map_or(0, |puller| puller.pull(now, &mut self.pcm));
        self.pcm[count..].fill(0);
    }

    fn measure(&mut self, mean_square: f64) {
        let seconds = PACKET.as_secs_f64();
        self.meter.level = mean_square.sqrt();
        self.meter.energy += mean_square * seconds;
        self.meter.seconds += seconds;
    }

    /// How captured audio of this level is sent; `None` where it is not worth a packet.
    fn judge(&mut self, level: u8) -> Option<Kind> {
        if level < SILENCE || !self.settings.dtx {
            self.silent_packets = 0;
            return Some(Kind::Encoded);
        }
        self.silent_packets = self.silent_packets.saturating_add(1);
        match self.silent_packets {
            ..=SILENCE_ENCODED => Some(Kind::Encoded),
            // That nothing more comes is said, lest it be taken for lost.
            FIRST_UNSENT => Some(Kind::KeepAlive),
            silent if silent.is_multiple_of(KEEP_ALIVE_PACKETS) => Some(Kind::KeepAlive),
            _ => None,
        }
    }

    fn send(&mut self, kind: Kind, step: Step, level: u8) -> Option<EncodedFrame<'_>> {
        let length = match kind {
            Kind::Encoded => self.encode()?,
            Kind::KeepAlive => {
                self.packet[0] = self.mode;
                1
            }
        };
        let unsent = std::mem::take(&mut self.unsent_ticks);
        Some(EncodedFrame {
            payload: &self.packet[..length],
            rtp_ticks: step.ticks.wrapping_add(unsent),
            audio_level_dbov: level,
            voice_activity: is_voice(level),
            marker: step.onset,
        })
    }

    /// Encodes what was pulled; answers the packet's length.
    fn encode(&mut self) -> Option<usize> {
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => match AudioEncoder::new(self.format, &self.settings) {
                Ok(encoder) => none.insert(encoder),
                Err(error) => {
                    log::error!("no Opus encoder for {:?}: {}", self.format, error.message());
                    return None;
                }
            },
        };
        match encoder.encode(&self.pcm, &mut *self.packet) {
            Ok(length) => {
                self.mode = self.packet[0] & MODE_BITS;
                Some(length)
            }
            Err(error) => {
                log::error!(
                    "libopus does not encode {:?}: {}",
                    self.format,
                    error.message()
                );
                None
            }
        }
    }
}

/// Two sorts of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Encoded,
    /// One byte that says "as before": decoders conceal it, which after silence is silence.
    KeepAlive,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        audio_frame::AudioFrame,
        audio_source::{AudioSourceOptions, native::NativeAudioSource},
    };

    fn tone(hz: u32, ms: u32) -> AudioFrame<'static> {
        let samples = hz / 1000 * ms;
        let data: Vec<i16> = (0..samples)
            .map(|i| ((i as f32 / hz as f32 * 440.0 * std::f32::consts::TAU).sin() * 8000.0) as i16)
            .collect();
        AudioFrame {
            data: data.into(),
            sample_rate: hz,
            num_channels: 1,
            samples_per_channel: samples,
        }
    }

    fn with_dtx() -> OpusSettings {
        OpusSettings::from_fmtp(Some("useinbandfec=1;usedtx=1"))
    }

    fn source(hz: u32) -> NativeAudioSource {
        NativeAudioSource::new(AudioSourceOptions::default(), hz, 1, 1000)
    }

    /// Polls at every due time for `span`; counts packets and sums the clock.
    fn run(pipeline: &mut SendPipeline, from: Instant, span: Duration) -> (usize, u32, usize) {
        let (mut packets, mut ticks, mut voiced) = (0, 0, 0);
        let mut now = from;
        while now < from + span {
            while let Some(frame) = pipeline.poll_frame(now) {
                packets += 1;
                ticks += frame.rtp_ticks;
                voiced += usize::from(frame.voice_activity);
                assert!(!frame.payload.is_empty());
            }
            now = pipeline.next_poll().max(now + Duration::from_millis(1));
        }
        (packets, ticks, voiced)
    }

    #[tokio::test]
    async fn a_second_of_audio_becomes_fifty_packets() {
        let source = source(24_000);
        let track = RtcAudioTrack::local("tone", source.clone());
        let mut pipeline = SendPipeline::new(&track, Arc::new(Notify::new()), with_dtx());
        source.capture_frame(&tone(24_000, 1000)).await.unwrap();
        let now = Instant::now();
        let (packets, ticks, voiced) = run(&mut pipeline, now, Duration::from_millis(1000));
        assert_eq!((packets, voiced), (50, 50));
        assert_eq!(ticks, 48_000);
    }

    #[tokio::test]
    async fn a_silent_track_sends_a_few_packets_and_then_keeps_alive() {
        let track = RtcAudioTrack::silent("device");
        let mut pipeline = SendPipeline::new(&track, Arc::new(Notify::new()), with_dtx());
        let (packets, ticks, voiced) =
            run(&mut pipeline, Instant::now(), Duration::from_millis(2000));
        assert!((10..=15).contains(&packets), "{packets}");
        assert!(ticks > 70_000, "the media clock goes on: {ticks}");
        assert_eq!(voiced, 0);
    }

    #[tokio::test]
    async fn captured_silence_is_hardly_sent() {
        let source = source(24_000);
        let track = RtcAudioTrack::local("silence", source.clone());
        let mut pipeline = SendPipeline::new(&track, Arc::new(Notify::new()), with_dtx());
        source
            .capture_frame(&AudioFrame::new(24_000, 1, 24_000))
            .await
            .unwrap();
        let (packets, ticks, _) = run(&mut pipeline, Instant::now(), Duration::from_millis(1000));
        assert!(packets <= 8, "{packets}");
        assert!(ticks > 28_000, "the media clock goes on: {ticks}");
    }

    #[tokio::test]
    async fn without_dtx_silence_is_sent_like_anything_else() {
        let source = source(24_000);
        let track = RtcAudioTrack::local("silence", source.clone());
        let settings = OpusSettings::from_fmtp(None);
        let mut pipeline = SendPipeline::new(&track, Arc::new(Notify::new()), settings);
        source
            .capture_frame(&AudioFrame::new(24_000, 1, 12_000))
            .await
            .unwrap();
        let (packets, ticks, _) = run(&mut pipeline, Instant::now(), Duration::from_secs(2));
        assert!(packets >= 97, "{packets}");
        assert!(ticks >= 93_000, "{ticks}");
        pipeline.set(with_dtx());
        let later = Instant::now() + Duration::from_secs(2);
        let (packets, ..) = run(&mut pipeline, later, Duration::from_secs(2));
        assert!(packets <= 10, "{packets}");
    }

    #[tokio::test]
    async fn the_meter_shows_what_was_captured() {
        let source = source(24_000);
        let track = RtcAudioTrack::local("tone", source.clone());
        let mut pipeline = SendPipeline::new(&track, Arc::new(Notify::new()), with_dtx());
        source.capture_frame(&tone(24_000, 1000)).await.unwrap();
        run(&mut pipeline, Instant::now(), Duration::from_millis(1000));
        let meter = pipeline.meter();
        // A sine of 8,000 of 32,768.
        assert!((meter.level - 0.1726).abs() < 0.005, "{meter:?}");
        assert!((meter.energy - 0.0298).abs() < 0.002, "{meter:?}");
        assert!((meter.seconds - 1.0).abs() < 1e-9, "{meter:?}");
    }

    /// Polls when asked to or woken, as a driver does; answers at the first voiced packet.
    async fn drive_until_voiced(pipeline: &mut SendPipeline, wake: &Notify) {
        loop {
            while let Some(frame) = pipeline.poll_frame(clock()) {
                if frame.voice_activity {
                    return;
                }
            }
            tokio::select! {
                () = tokio::time::sleep_until(pipeline.next_poll().into()) => {}
                () = wake.notified() => {}
            }
        }
    }

    fn clock() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[tokio::test(start_paused = true)]
    async fn captures_of_a_muted_track_take_their_time_and_end() {
        let source = source(16_000);
        let track = RtcAudioTrack::local("tone", source.clone());
        track.set_enabled(false);
        let wake = Arc::new(Notify::new());
        let mut pipeline = SendPipeline::new(&track, wake.clone(), with_dtx());
        let before = clock();
        let long = tone(16_000, 5_000);
        let minute = tokio::time::sleep(Duration::from_secs(60));
        tokio::select! {
            captured = source.capture_frame(&long) => captured.unwrap(),
            () = drive_until_voiced(&mut pipeline, &wake) => panic!("a muted track spoke"),
            () = minute => panic!("the capture does not end"),
        }
        let took = clock() - before;
        assert!(
            took >= Duration::from_secs(4) && took < Duration::from_secs(5),
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn sound_goes_out_at_once_after_silence_a_cut_and_a_mute() {
        let source = source(16_000);
        let track = RtcAudioTrack::local("tone", source.clone());
        let wake = Arc::new(Notify::new());
        let mut pipeline = SendPipeline::new(&track, wake.clone(), with_dtx());
        let sound = tone(16_000, 500);
        for silence in ["nothing was captured", "it was cut", "it was muted"] {
            match silence {
                "it was cut" => source.clear_buffer(),
                "it was muted" => {
                    track.set_enabled(false);
                }
                _ => {}
            }
            // Long enough to be quiet, and not at a time when a keep-alive is due anyway.
            let idle = tokio::time::sleep(Duration::from_millis(1_510));
            tokio::select! {
                () = idle => {}
                () = drive_until_voiced(&mut pipeline, &wake) => panic!("sound after {silence}"),
            }
            source.clear_buffer();
            track.set_enabled(true);
            let before = clock();
            let (captured, ()) = futures_util::join!(
                source.capture_frame(&sound),
                drive_until_voiced(&mut pipeline, &wake)
            );
            captured.unwrap();
            let took = clock() - before;
            assert!(took <= Duration::from_millis(1), "{took:?} after {silence}");
            source.clear_buffer();
        }
    }

    #[tokio::test]
    async fn a_disabled_track_is_silent_and_sounds_again_when_enabled() {
        let source = source(16_000);
        let track = RtcAudioTrack::local("tone", source.clone());
        track.set_enabled(false);
        let mut pipeline = SendPipeline::new(&track, Arc::new(Notify::new()), with_dtx());
        source.capture_frame(&tone(16_000, 500)).await.unwrap();
        let now = Instant::now();
        let (_, _, voiced) = run(&mut pipeline, now, Duration::from_millis(100));
        assert_eq!(voiced, 0);
        track.set_enabled(true);
        let later = now + Duration::from_millis(100);
        let (_, _, voiced) = run(&mut pipeline, later, Duration::from_millis(100));
        assert!(voiced > 0);
    }
}
