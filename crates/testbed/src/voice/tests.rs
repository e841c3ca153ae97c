//! What survives the way to the other ear, and that nothing else is taken for words.

use std::time::Duration;

use opusic_c::{
    Application, Bitrate, Channels, Decoder as OpusDecoder, Encoder as OpusEncoder, SampleRate,
};
use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{decode, encode, murmur, spoken_by};

const SENTENCE: &str = "Good morning, this is Alpha Dental. How may I help you today?";

fn texts(pcm: &[i16], rate: u32) -> Vec<(String, bool)> {
    decode(pcm, rate)
        .into_iter()
        .map(|heard| (heard.text, heard.complete))
        .collect()
}

fn complete(text: &str) -> Vec<(String, bool)> {
    vec![(text.to_owned(), true)]
}

/// What a call does to sound: Opus at 48 kHz's clock, a bitrate, packets lost.
struct Line {
    bits_per_second: u32,
    loss: f64,
    seed: u64,
}

impl Line {
    fn carry(&self, pcm: &[i16], rate: u32) -> Vec<i16> {
        let opus_rate = match rate {
            8_000 => SampleRate::Hz8000,
            16_000 => SampleRate::Hz16000,
            24_000 => SampleRate::Hz24000,
            _ => SampleRate::Hz48000,
        };
        let frame = rate as usize / 50;
        let mut encoder =
            OpusEncoder::new(Channels::Mono, opus_rate, Application::Voip).expect("an encoder");
        encoder
            .set_bitrate(Bitrate::Value(self.bits_per_second))
            .expect("a bitrate");
        let mut decoder = OpusDecoder::new(Channels::Mono, opus_rate).expect("a decoder");
        let mut luck = StdRng::seed_from_u64(self.seed);
        let mut out = Vec::new();
        for chunk in pcm.chunks(frame) {
            let mut input: Vec<u16> = chunk.iter().map(|&sample| sample as u16).collect();
            input.resize(frame, 0);
            let mut packet = vec![0; 1_500];
            let length = encoder
                .encode_to_slice(&input, &mut packet)
                .expect("a packet");
            let packet = if luck.random_bool(self.loss) {
                &[][..]
            } else {
                &packet[..length]
            };
            let mut frame_out = vec![0u16; frame];
            let heard = decoder
                .decode_to_slice(packet, &mut frame_out, false)
                .expect("a frame");
            out.extend(frame_out[..heard].iter().map(|&sample| sample as i16));
        }
        out
    }
}

fn with_noise(pcm: &[i16], level: f64, seed: u64) -> Vec<i16> {
    let mut rng = StdRng::seed_from_u64(seed);
    let peak = level * 3f64.sqrt();
    pcm.iter()
        .map(|&sample| sample.saturating_add(rng.random_range(-peak..=peak) as i16))
        .collect()
}

fn level(pcm: &[i16]) -> f64 {
    (pcm.iter()
        .map(|&sample| f64::from(sample).powi(2))
        .sum::<f64>()
        / pcm.len() as f64)
        .sqrt()
}

#[test]
fn a_sentence_is_heard_as_it_was_said_at_every_rate() {
    for rate in [8_000, 16_000, 24_000, 48_000] {
        assert_eq!(
            texts(&encode(SENTENCE, rate), rate),
            complete(SENTENCE),
            "at {rate} Hz"
        );
    }
}

#[test]
fn it_takes_as_long_as_speaking_and_is_as_loud() {
    let pcm = encode(SENTENCE, 24_000);
    let seconds = pcm.len() as f64 / 24_000.0;
    let characters_a_second = SENTENCE.len() as f64 / seconds;
    assert!(
        (12.0..=16.0).contains(&characters_a_second),
        "{characters_a_second}"
    );
    for sound in [pcm, murmur(Duration::from_secs(4), 24_000)] {
        let decibels = 20.0 * (level(&sound) / 32_768.0).log10();
        assert!((-22.0..=-18.0).contains(&decibels), "{decibels} dBFS");
    }
}

#[test]
fn opus_at_every_rate_and_bitrate_of_a_call_leaves_the_words_whole() {
    for rate in [8_000, 16_000, 24_000, 48_000] {
        for bits_per_second in [16_000, 24_000, 32_000] {
            let line = Line {
                bits_per_second,
                loss: 0.0,
                seed: 0,
            };
            let heard = texts(&line.carry(&encode(SENTENCE, rate), rate), rate);
            assert_eq!(
                heard,
                complete(SENTENCE),
                "{rate} Hz, {bits_per_second} bit/s"
            );
        }
    }
}

#[test]
fn lost_packets_cost_few_words_and_never_make_others() {
    let (mut said, mut survived, mut whole) = (0, 0, 0);
    for seed in 0..40 {
        let line = Line {
            bits_per_second: 24_000,
            loss: 0.02,
            seed,
        };
        for (text, complete) in texts(&line.carry(&encode(SENTENCE, 24_000), 24_000), 24_000) {
            let mut words = SENTENCE.split(' ');
            assert!(
                text.split(' ').all(|word| words.any(|said| said == word)),
                "{text}"
            );
            assert_eq!(complete, text == SENTENCE);
            survived += text.split(' ').count();
            whole += usize::from(complete);
        }
        said += SENTENCE.split(' ').count();
    }
    assert!(survived * 100 >= said * 95, "{survived} of {said} words");
    assert!(whole >= 20, "{whole} of 40 sentences");
}

#[test]
fn noise_10_db_below_does_not_disturb() {
    let noisy = with_noise(&encode(SENTENCE, 16_000), 1_036.0, 1);
    let line = Line {
        bits_per_second: 24_000,
        loss: 0.0,
        seed: 0,
    };
    assert_eq!(
        texts(&line.carry(&noisy, 16_000), 16_000),
        complete(SENTENCE)
    );
}

#[test]
fn murmur_and_noise_and_silence_say_nothing() {
    let minute = Duration::from_secs(60);
    let line = Line {
        bits_per_second: 24_000,
        loss: 0.02,
        seed: 3,
    };
    for sound in [
        murmur(minute, 16_000),
        line.carry(&murmur(minute, 16_000), 16_000),
        vec![0; 16_000 * 60],
        with_noise(&vec![0; 16_000 * 60], 3_000.0, 2),
    ] {
        assert_eq!(texts(&sound, 16_000), []);
    }
}

#[test]
fn of_a_sentence_that_is_cut_the_words_before_the_cut_are_heard() {
    let pcm = encode(SENTENCE, 24_000);
    for cut_ms in (0..4_000).step_by(37) {
        let cut = Duration::from_millis(cut_ms);
        let heard = texts(&pcm[..cut_ms as usize * 24], 24_000);
        let text = heard.first().map_or("", |(text, _)| text.as_str());
        // The ear needs not the last milliseconds of a word.
        let allowed = [
            spoken_by(SENTENCE, cut),
            spoken_by(SENTENCE, cut + Duration::from_millis(50)),
        ];
        assert!(
            allowed.contains(&text),
            "{text:?} after {cut:?}, not {allowed:?}"
        );
        assert!(heard.iter().all(|(_, complete)| !complete));
    }
}

#[test]
fn of_a_sentence_joined_in_the_middle_the_words_after_are_heard_and_it_is_not_complete() {
    let pcm = encode(SENTENCE, 24_000);
    let heard = texts(&pcm[pcm.len() / 2..], 24_000);
    assert_eq!(heard, [("How may I help you today?".to_owned(), false)]);
}

#[test]
fn a_sentence_without_one_of_its_words_is_not_complete() {
    let mut pcm = encode("one two three", 24_000);
    let word = 24 * (8 * 40 + 20);
    pcm.drain(word..2 * word);
    assert_eq!(texts(&pcm, 24_000), [("one three".to_owned(), false)]);
}

#[test]
fn sentences_that_follow_each_other_are_told_apart_and_timed() {
    let mut pcm = vec![0; 24_000];
    pcm.extend(encode("first", 24_000));
    let second_at = pcm.len();
    pcm.extend(encode("second one", 24_000));
    let heard = decode(&pcm, 24_000);
    let [first, second] = heard.as_slice() else {
        panic!("{heard:?}")
    };
    assert_eq!(
        (first.text.as_str(), second.text.as_str()),
        ("first", "second one")
    );
    assert!(first.complete && second.complete);
    let near = |time: Duration, samples: usize| {
        time.abs_diff(Duration::from_micros(samples as u64 * 1_000 / 24))
    };
    assert!(
        near(first.at, 24_000) <= Duration::from_millis(10),
        "{first:?}"
    );
    assert!(
        near(second.at, second_at) <= Duration::from_millis(10),
        "{second:?}"
    );
    assert!(
        near(second.until, pcm.len()) <= Duration::from_millis(330),
        "{second:?}"
    );
}

#[test]
fn a_pause_of_the_player_within_a_sentence_does_not_end_it() {
    let pcm = encode("one two three", 24_000);
    let (head, tail) = pcm.split_at(24 * (8 * 40 + 10));
    let stalled: Vec<i16> = [head, &vec![0; 24_000], tail].concat();
    assert_eq!(texts(&stalled, 24_000), complete("one two three"));
}

#[test]
fn ten_milliseconds_inserted_within_a_word_do_not_hide_it() {
    let pcm = encode("telephone", 24_000);
    for at_ms in (60..500).step_by(20) {
        let at = at_ms * 24;
        let inserted = [&pcm[..at], &pcm[at - 240..at], &pcm[at..]].concat();
        assert_eq!(
            texts(&inserted, 24_000),
            complete("telephone"),
            "at {at_ms} ms"
        );
    }
}

#[test]
fn in_a_long_recording_nothing_is_missed() {
    let mut pcm = Vec::new();
    while pcm.len() < 60 * 48_000 {
        pcm.extend(encode(SENTENCE, 48_000));
    }
    let sentences = pcm.len() / encode(SENTENCE, 48_000).len();
    assert_eq!(
        texts(&pcm, 48_000),
        vec![(SENTENCE.to_owned(), true); sentences]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_heard_as_it_was_said(text in "\\PC{0,40}", offset in 0usize..2_000) {
        let mut pcm = vec![0; offset];
        pcm.extend(encode(&text, 16_000));
        let line = Line { bits_per_second: 24_000, loss: 0.0, seed: 0 };
        pcm.resize(pcm.len() + 2_000, 0);
        prop_assert_eq!(texts(&line.carry(&pcm, 16_000), 16_000), complete(&text));
    }

    #[test]
    fn what_is_heard_of_a_cut_is_what_was_spoken_by_then(
        text in "[a-z]{1,20}( [a-z]{1,20}){0,5}",
        part in 0.0f64..1.0,
    ) {
        let pcm = encode(&text, 16_000);
        let cut = (pcm.len() as f64 * part) as usize;
        let heard = texts(&pcm[..cut], 16_000);
        let heard = heard.first().map_or("", |(text, _)| text.as_str());
        let at = Duration::from_micros(cut as u64 * 1_000 / 16);
        let allowed = [spoken_by(&text, at), spoken_by(&text, at + Duration::from_millis(50))];
        prop_assert!(allowed.contains(&heard), "{heard:?} after {at:?}, not {allowed:?}");
    }
}
