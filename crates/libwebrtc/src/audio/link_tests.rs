//! A tone through the whole path: source queue, pacer, Opus, a lossy and jittery link with a
//! fixed seed, jitter buffer, Opus, frames. Simulated time; nothing sleeps.

use std::{
    f64::consts::TAU,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::sync::Notify;

use super::{
    SendPipeline,
    format::{Format, PACKET_TICKS},
    level::audio_level,
    playout::{Playout, PlayoutStats},
    red::{self, RedPacker},
    settings::OpusSettings,
};
use crate::{
    audio_frame::AudioFrame,
    audio_source::{AudioSourceOptions, native::NativeAudioSource},
    audio_track::RtcAudioTrack,
};

const MS: Duration = Duration::from_millis(1);
const TONE_HZ: f64 = 440.0;

/// What a link does to packets.
#[derive(Clone, Copy)]
struct Link {
    loss: f64,
    /// Whether packets repeat those before them, and how many.
    levels: Option<red::Levels>,
    jitter_ms: u64,
    seed: u64,
}

/// What came out at the other end.
struct Heard {
    pcm: Vec<i16>,
    format: Format,
    stats: PlayoutStats,
}

/// Sends `span` of a tone, and plays what arrives for a while longer.
fn send_tone(link: Link, source_hz: u32, stream: Format, span: Duration) -> Heard {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _guard = runtime.enter();
    let span_ms = span.as_millis() as u32;
    let source = NativeAudioSource::new(AudioSourceOptions::default(), source_hz, 1, span_ms);
    let track = RtcAudioTrack::local("tone", source.clone());
    let settings = OpusSettings::from_fmtp(Some("useinbandfec=1;usedtx=1"));
    let mut pipeline = SendPipeline::new(&track, Arc::new(Notify::new()), settings);
    runtime
        .block_on(source.capture_frame(&tone(source_hz, span_ms)))
        .unwrap();

    let start = Instant::now();
    let mut random = StdRng::seed_from_u64(link.seed);
    let mut playout = Playout::new(start, stream).unwrap();
    let mut pcm = Vec::new();
    let mut packer = RedPacker::default();
    let mut in_flight: Vec<(Instant, u16, u32, Vec<u8>)> = Vec::new();
    let (mut seq, mut timestamp) = (65_500u16, u32::MAX - 30_000);
    for tick in 0..(span_ms + 200) {
        let now = start + tick * MS;
        if now >= pipeline.next_poll() {
            while let Some(frame) = pipeline.poll_frame(now) {
                seq = seq.wrapping_add(1);
                timestamp = timestamp.wrapping_add(frame.rtp_ticks);
                let payload = match link.levels {
                    Some(levels) => packer.pack(111, timestamp, frame.payload, levels),
                    None => frame.payload,
                };
                if !random.random_bool(link.loss) {
                    let delay = 30 + random.random_range(0..=link.jitter_ms);
                    let arrival = now + Duration::from_millis(delay);
                    in_flight.push((arrival, seq, timestamp, payload.to_vec()));
                }
            }
        }
        in_flight.sort_by_key(|(arrival, ..)| *arrival);
        while in_flight
            .first()
            .is_some_and(|(arrival, ..)| *arrival <= now)
        {
            let (_, seq, timestamp, payload) = in_flight.remove(0);
            if link.levels.is_some() {
                let parts = red::parse(&payload).unwrap();
                playout.insert_redundant(now, 7, seq, timestamp, &parts);
            } else {
                playout.insert(now, 7, seq, timestamp, &payload);
            }
        }
        if tick % 20 == 0 {
            pcm.extend(turn(&mut playout, now));
        }
    }
    Heard {
        pcm,
        format: stream,
        stats: playout.stats(),
    }
}

/// What a reader gets every 20 ms.
fn turn(playout: &mut Playout, now: Instant) -> Vec<i16> {
    playout.prepare(now, 2, i64::from(PACKET_TICKS));
    let mut pcm = playout.take();
    pcm.extend(playout.take());
    pcm
}

fn tone(hz: u32, ms: u32) -> AudioFrame<'static> {
    let samples = hz / 1000 * ms;
    let sample = |i: u32| ((f64::from(i) / f64::from(hz) * TONE_HZ * TAU).sin() * 8_000.0) as i16;
    AudioFrame {
        data: (0..samples).map(sample).collect(),
        sample_rate: hz,
        num_channels: 1,
        samples_per_channel: samples,
    }
}

impl Heard {
    /// The first channel.
    fn mono(&self) -> Vec<i16> {
        self.pcm
            .iter()
            .copied()
            .step_by(self.format.channels())
            .collect()
    }

    /// The part that sounds, from the first loud 10 ms to the last.
    fn sounding(&self) -> Vec<i16> {
        let mono = self.mono();
        let window = self.format.hz() as usize / 100;
        let loud: Vec<bool> = mono.chunks(window).map(|w| audio_level(w) < 30).collect();
        let first = loud.iter().position(|l| *l).expect("nothing was heard");
        let last = loud.iter().rposition(|l| *l).unwrap();
        mono[first * window..((last + 1) * window).min(mono.len())].to_vec()
    }

    /// Pitch by rising zero crossings.
    fn pitch(&self) -> f64 {
        let sound = self.sounding();
        let crossings = sound.windows(2).filter(|w| w[0] < 0 && w[1] >= 0).count();
        crossings as f64 * f64::from(self.format.hz()) / sound.len() as f64
    }

    fn sounds_for_ms(&self) -> usize {
        self.sounding().len() * 1000 / self.format.hz() as usize
    }

    /// Milliseconds within the sound that are far quieter than the tone. Not in its last 50 ms:
    /// there concealment fades until the sender says that it was the end.
    fn gaps_ms(&self) -> usize {
        let window = self.format.hz() as usize / 100;
        let sound = self.sounding();
        let inner = &sound[..sound.len().saturating_sub(5 * window)];
        inner
            .chunks_exact(window)
            .filter(|w| audio_level(w) > 35)
            .count()
            * 10
    }

    fn assert_pitch(&self, tolerance: f64) {
        let pitch = self.pitch();
        assert!(
            (pitch - TONE_HZ).abs() < tolerance,
            "the pitch is {pitch} Hz"
        );
    }

    fn assert_tone(&self, sounds_for: std::ops::RangeInclusive<usize>, gaps: usize) {
        self.assert_pitch(5.0);
        let ms = self.sounds_for_ms();
        assert!(sounds_for.contains(&ms), "it sounds for {ms} ms");
        assert!(
            self.gaps_ms() <= gaps,
            "gaps of {} ms, {:?}",
            self.gaps_ms(),
            self.stats
        );
    }
}

fn mono(hz: u32) -> Format {
    Format::exact(hz, 1).unwrap()
}

const SPAN: Duration = Duration::from_secs(5);

#[test]
fn a_tone_crosses_a_calm_link_at_every_rate_without_a_gap() {
    for source_hz in [8_000, 12_000, 16_000, 24_000, 48_000] {
        for stream_hz in [8_000, 16_000, 24_000, 48_000] {
            let link = Link {
                loss: 0.0,
                levels: None,
                jitter_ms: 2,
                seed: 1,
            };
            let heard = send_tone(link, source_hz, mono(stream_hz), Duration::from_secs(2));
            heard.assert_tone(1_960..=2_120, 0);
            assert_eq!(heard.stats.late, 0);
        }
    }
}

#[test]
fn a_stereo_stream_hears_a_mono_tone_on_both_sides() {
    let link = Link {
        loss: 0.0,
        levels: None,
        jitter_ms: 2,
        seed: 1,
    };
    let heard = send_tone(link, 24_000, Format::exact(48_000, 2).unwrap(), SPAN);
    heard.assert_tone(4_960..=5_120, 0);
    for pair in heard.pcm.chunks_exact(2) {
        assert!((i32::from(pair[0]) - i32::from(pair[1])).abs() <= 2);
    }
}

#[test]
fn jitter_of_60_ms_leaves_no_gap_and_loses_nothing_once_it_is_known() {
    let link = Link {
        loss: 0.0,
        levels: None,
        jitter_ms: 60,
        seed: 2,
    };
    let heard = send_tone(link, 24_000, mono(24_000), SPAN);
    heard.assert_tone(4_900..=5_250, 0);
    assert!(heard.stats.late <= 10, "{:?}", heard.stats);
    let target_ms = heard.stats.target_ticks / 48;
    assert!((40..=80).contains(&target_ms), "{target_ms}");
}

#[test]
fn five_percent_of_loss_is_hardly_heard() {
    let link = Link {
        loss: 0.05,
        levels: None,
        jitter_ms: 10,
        seed: 3,
    };
    let heard = send_tone(link, 16_000, mono(16_000), SPAN);
    // Some 260 ms are lost, of a sound that libopus makes no coarse copies of.
    heard.assert_tone(4_900..=5_200, 50);
    assert!(heard.stats.concealed_ticks < 350 * 48, "{:?}", heard.stats);
}

#[test]
fn what_is_lost_of_a_voice_is_recovered_from_the_next_packet() {
    use super::encoder::{AudioEncoder, MAX_PACKET_BYTES};
    let format = mono(16_000);
    let settings = OpusSettings::from_fmtp(Some("useinbandfec=1"));
    let mut encoder = AudioEncoder::new(format, &settings).unwrap();
    let start = Instant::now();
    let mut playout = Playout::new(start, format).unwrap();
    for number in 0..500u32 {
        let pcm: Vec<i16> = (0..320)
            .map(|i| {
                let t = f64::from(number * 320 + i) / 16_000.0;
                let voice = (1..9).map(|n| (t * 140.0 * f64::from(n) * TAU).sin());
                (voice.sum::<f64>() * (0.2 + (t * 12.0).sin().abs()) * 1_500.0) as i16
            })
            .collect();
        let mut packet = [0; MAX_PACKET_BYTES];
        let length = encoder.encode(&pcm, &mut packet).unwrap();
        let now = start + number * 20 * MS;
        if number % 10 != 9 {
            playout.insert(now, 1, number as u16, number * 960, &packet[..length]);
        }
        turn(&mut playout, now);
    }
    // Once it is known that waiting pays.
    let stats = playout.stats();
    assert!(stats.recovered_ticks > 25 * 960, "{stats:?}");
    assert!(stats.concealed_ticks < 20 * 960, "{stats:?}");
}

#[test]
fn copies_in_the_next_packet_repair_what_is_lost() {
    for (loss, levels, concealed_ms) in [
        (0.02, red::Levels::One, 60),
        (0.05, red::Levels::One, 60),
        (0.1, red::Levels::Two, 60),
    ] {
        let link = Link {
            loss,
            levels: Some(levels),
            jitter_ms: 10,
            seed: 8,
        };
        let heard = send_tone(link, 24_000, mono(24_000), SPAN);
        heard.assert_tone(4_900..=5_250, 0);
        let PlayoutStats {
            concealed_ticks,
            copies,
            spare_copies,
            ..
        } = heard.stats;
        assert!(concealed_ticks <= concealed_ms * 48, "{:?}", heard.stats);
        assert!(copies > 150 && spare_copies < copies, "{:?}", heard.stats);
    }
}

#[test]
fn copies_cost_no_delay_where_nothing_is_lost() {
    let delay = |levels| {
        let link = Link {
            loss: 0.0,
            levels,
            jitter_ms: 10,
            seed: 9,
        };
        let stats = send_tone(link, 24_000, mono(24_000), SPAN).stats;
        assert_eq!(stats.spare_copies, stats.copies);
        stats.waited / u128::from(stats.played_ticks)
    };
    assert_eq!(delay(None), delay(Some(red::Levels::Two)));
}

/// Plays ten minutes of a sender whose clock runs `ppm` faster than ours.
fn play_with_drift(ppm: i64) -> (PlayoutStats, usize) {
    // Ten seconds of the tone are whole periods, so that they can follow themselves.
    let packets = packets_of_tone(8_000, 500);
    let start = Instant::now();
    let mut playout = Playout::new(start, mono(8_000)).unwrap();
    let (mut number, mut quiet) = (0i64, 0);
    for tick in 0..30_000u32 {
        let now = start + tick * 20 * MS;
        loop {
            let sent_us = number * (20_000 - 20_000 * ppm / 1_000_000);
            if sent_us > i64::from(tick) * 20_000 {
                break;
            }
            let payload = &packets[number as usize % packets.len()];
            let arrival = start + Duration::from_micros(sent_us.unsigned_abs());
            playout.insert(arrival, 1, number as u16, number as u32 * 960, payload);
            number += 1;
        }
        for frame in turn(&mut playout, now).chunks_exact(80) {
            quiet += usize::from(tick > 10 && audio_level(frame) > 35);
        }
    }
    (playout.stats(), quiet)
}

#[test]
fn a_sender_with_a_fast_clock_is_kept_up_with() {
    let (stats, quiet) = play_with_drift(500);
    // 300 ms too much.
    let hurried_ms = stats.hurried_ticks / 48;
    assert!((200..=400).contains(&hurried_ms), "{stats:?}");
    assert_eq!((quiet, stats.late), (0, 0), "{stats:?}");
    assert!(stats.concealed_ticks < 50 * 48, "{stats:?}");
}

#[test]
fn a_sender_with_a_slow_clock_is_waited_for() {
    let (stats, quiet) = play_with_drift(-500);
    // 300 ms too little.
    let added = stats.lingered_ticks + stats.concealed_ticks - stats.hurried_ticks;
    let added_ms = added / 48;
    assert!((250..=450).contains(&added_ms), "{stats:?}");
    assert!(stats.concealments <= 1, "{stats:?}");
    assert_eq!((quiet, stats.late), (0, 0), "{stats:?}");
}

#[test]
fn a_fifth_of_the_packets_lost_still_leaves_the_tone() {
    let link = Link {
        loss: 0.2,
        levels: None,
        jitter_ms: 40,
        seed: 4,
    };
    let heard = send_tone(link, 24_000, mono(24_000), SPAN);
    heard.assert_pitch(25.0);
    assert!(
        (4_800..=5_300).contains(&heard.sounds_for_ms()),
        "{}",
        heard.sounds_for_ms()
    );
    assert!(heard.gaps_ms() <= 250, "{}", heard.gaps_ms());
}

#[test]
fn when_the_jitter_ends_the_delay_comes_down_again() {
    let start = Instant::now();
    let mut playout = Playout::new(start, mono(16_000)).unwrap();
    let mut pipe = packets_of_tone(16_000, 2_000);
    let mut random = StdRng::seed_from_u64(5);
    let mut arrivals: Vec<(u64, usize)> = (0..pipe.len())
        .map(|i| {
            (
                i as u64 * 20
                    + if i < 150 {
                        random.random_range(0..120)
                    } else {
                        0
                    },
                i,
            )
        })
        .collect();
    arrivals.sort_unstable();
    let (mut next, mut target_at) = (0, [0; 2]);
    for tick in (0..40_000u64).step_by(20) {
        let now = start + tick as u32 * MS;
        while arrivals.get(next).is_some_and(|(at, _)| *at <= tick) {
            let (_, i) = arrivals[next];
            let payload = std::mem::take(&mut pipe[i]);
            playout.insert(now, 1, i as u16, i as u32 * 960, &payload);
            next += 1;
        }
        turn(&mut playout, now);
        if tick == 2_800 {
            target_at[0] = playout.stats().target_ticks / 48;
        }
        target_at[1] = playout.stats().target_ticks / 48;
    }
    assert!(target_at[0] > 60, "{target_at:?}");
    assert!(target_at[1] <= 20, "{target_at:?}");
    let hurried_ms = playout.stats().hurried_ticks / 48;
    assert!(hurried_ms >= 40, "{hurried_ms}");
}

#[test]
fn when_jitter_begins_the_sound_is_drawn_out_rather_than_broken() {
    let start = Instant::now();
    let mut playout = Playout::new(start, mono(16_000)).unwrap();
    let packets = packets_of_tone(16_000, 500);
    let mut random = StdRng::seed_from_u64(10);
    let mut arrivals: Vec<(u64, usize)> = (0..packets.len())
        .map(|i| {
            let most = (i as u64).saturating_sub(150).min(120);
            (i as u64 * 20 + random.random_range(0..=most), i)
        })
        .collect();
    arrivals.sort_unstable();
    let (mut next, mut quiet) = (0, 0);
    for tick in (0..10_000u64).step_by(20) {
        let now = start + tick as u32 * MS;
        while let Some((at, i)) = arrivals.get(next).filter(|(at, _)| *at <= tick) {
            let arrival = start + *at as u32 * MS;
            playout.insert(arrival, 1, *i as u16, *i as u32 * 960, &packets[*i]);
            next += 1;
        }
        for frame in turn(&mut playout, now).chunks_exact(160) {
            quiet += usize::from(tick > 100 && audio_level(frame) > 35);
        }
    }
    let stats = playout.stats();
    assert!(quiet <= 2, "{quiet} quiet frames, {stats:?}");
    assert!(stats.lingered_ticks >= 5 * 48, "{stats:?}");
    assert!(stats.concealed_ticks <= 160 * 48, "{stats:?}");
}

#[test]
fn another_ssrc_takes_over_at_once() {
    let start = Instant::now();
    let mut playout = Playout::new(start, mono(16_000)).unwrap();
    let packets = packets_of_tone(16_000, 100);
    let mut silent = 0;
    for (i, payload) in packets.iter().enumerate() {
        let now = start + i as u32 * 20 * MS;
        // Lower numbers, another clock: what a reused section of a server looks like.
        let (ssrc, seq, timestamp) = match i {
            0..50 => (1, 30_000 + i as u16, 1_000_000 + i as u32 * 960),
            _ => (2, 5 + i as u16, 77 + i as u32 * 960),
        };
        playout.insert(now, ssrc, seq, timestamp, payload);
        if i == 52 {
            playout.insert(now, 1, 30_052, 1_000_000 + 52 * 960, payload);
        }
        for frame in turn(&mut playout, now).chunks_exact(160) {
            silent += usize::from(i > 3 && audio_level(frame) > 40);
        }
    }
    assert!(silent <= 8, "{silent} frames of silence at the change");
    assert_eq!(playout.stats().late, 1, "the straggler");
}

#[test]
fn garbage_in_the_place_of_packets_is_concealed() {
    let start = Instant::now();
    let mut playout = Playout::new(start, mono(24_000)).unwrap();
    let mut random = StdRng::seed_from_u64(6);
    for i in 0..500u32 {
        let now = start + i * 20 * MS;
        let mut payload = vec![0; random.random_range(0..200)];
        random.fill(&mut payload[..]);
        playout.insert(now, 1, i as u16, i * 960, &payload);
        assert_eq!(turn(&mut playout, now).len(), 480);
    }
    assert!(playout.stats().invalid > 0);
}

/// So many packets of a tone.
fn packets_of_tone(hz: u32, count: usize) -> Vec<Vec<u8>> {
    use super::encoder::{AudioEncoder, MAX_PACKET_BYTES};
    let format = mono(hz);
    let mut encoder =
        AudioEncoder::new(format, &OpusSettings::from_fmtp(Some("useinbandfec=1"))).unwrap();
    let sound = tone(hz, count as u32 * 20);
    let mut packet = [0; MAX_PACKET_BYTES];
    sound
        .data
        .chunks(format.samples(20))
        .map(|pcm| {
            let length = encoder.encode(pcm, &mut packet).unwrap();
            packet[..length].to_vec()
        })
        .collect()
}
