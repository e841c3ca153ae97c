//! What the caller heard, on one line of time.
//!
//! The recording begins when the call becomes active. A voice is put where the
//! clock says when it starts, and then sample after sample as it comes: packets
//! arrive in bursts on a busy machine, and cutting by the clock would tear
//! words apart. Only a voice that falls far behind the clock, as one does that
//! stopped for a while, is put where the clock says again.

use std::time::{Duration, Instant};

/// How far a voice may lag behind the clock before it is taken for one that
/// paused: more than any burst on a machine that is merely busy.
const GAP: Duration = Duration::from_millis(400);

/// A sample beyond this is sound: about −36 dBFS. Codecs make less than a tenth
/// of it out of silence, and speech ten times more.
const SOUND: u16 = 500;

/// Longer calls than this forget nothing that a test could ask for. An hour
/// takes 170 MB at 24 kHz.
const MAX: Duration = Duration::from_secs(3600);

/// A place in a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(usize);

/// A recording, of one or several voices.
pub(super) struct Recording {
    rate: u32,
    opened: Option<Instant>,
    samples: Vec<i16>,
    last_sound: Option<Instant>,
}

/// Where a voice has come to.
#[derive(Debug, Default)]
pub(super) struct Voice {
    next: Option<usize>,
}

/// Whether a piece held anything to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Silence,
    Sound,
}

impl Recording {
    pub(super) fn new(rate: u32) -> Self {
        Self {
            rate,
            opened: None,
            samples: Vec::new(),
            last_sound: None,
        }
    }

    /// From now on what is heard is kept.
    pub(super) fn open(&mut self, now: Instant) {
        self.opened.get_or_insert(now);
    }

    /// A piece of a voice. `None` while the recording is not open: nobody
    /// hears what is said then.
    pub(super) fn hear(&mut self, voice: &mut Voice, now: Instant, pcm: &[i16]) -> Option<Level> {
        let opened = self.opened?;
        let clock = self.samples_in(now.duration_since(opened));
        let from = match voice.next {
            Some(next) if next + self.samples_in(GAP) >= clock => next,
            _ => clock,
        };
        let to = from + pcm.len();
        voice.next = Some(to);
        if to > self.samples_in(MAX) {
            return Some(Level::Silence);
        }
        if self.samples.len() < to {
            self.samples.resize(to, 0);
        }
        for (sample, heard) in self.samples[from..to].iter_mut().zip(pcm) {
            *sample = sample.saturating_add(*heard);
        }
        if pcm.iter().any(|sample| sample.unsigned_abs() > SOUND) {
            self.last_sound = Some(now);
            return Some(Level::Sound);
        }
        Some(Level::Silence)
    }

    pub(super) fn samples(&self) -> &[i16] {
        &self.samples
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.samples.len())
    }

    pub(super) fn since(&self, mark: Mark) -> &[i16] {
        self.samples.get(mark.0..).unwrap_or_default()
    }

    pub(super) fn last_sound(&self) -> Option<Instant> {
        self.last_sound
    }

    pub(super) fn instant_of(&self, sample: usize) -> Option<Instant> {
        let offset = Duration::from_secs(sample as u64) / self.rate;
        Some(self.opened? + offset)
    }

    /// When the first sound after a place was heard.
    pub(super) fn sound_after(&self, mark: Mark) -> Option<Instant> {
        let is_sound = |sample: &i16| sample.unsigned_abs() > SOUND;
        let offset = self.since(mark).iter().position(is_sound)?;
        self.instant_of(mark.0 + offset)
    }

    /// Since when, after a place, there has been silence of at least this length.
    pub(super) fn silence_after(&self, mark: Mark, length: Duration) -> Option<Instant> {
        let wanted = self.samples_in(length);
        let mut silent = 0;
        for (offset, sample) in self.since(mark).iter().enumerate() {
            silent = match sample.unsigned_abs() > SOUND {
                true => 0,
                false => silent + 1,
            };
            if silent >= wanted {
                return self.instant_of(mark.0 + offset + 1 - silent);
            }
        }
        None
    }

    fn samples_in(&self, time: Duration) -> usize {
        // At most an hour of samples, or the answer is only compared with that.
        (time.as_secs_f64() * f64::from(self.rate)) as usize
    }
}

/// A WAV file of these samples, mono.
pub(super) fn wav(rate: u32, samples: &[i16]) -> Vec<u8> {
    /// Everything before the samples.
    const HEADER: u32 = 44;
    const BYTES: u32 = 2;
    // A recording is bounded far below 4 GiB.
    let data = u32::try_from(samples.len()).unwrap_or(u32::MAX / BYTES - HEADER) * BYTES;
    let mut file = Vec::with_capacity((HEADER + data) as usize);
    file.extend(b"RIFF");
    file.extend((HEADER - 8 + data).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend(1_u16.to_le_bytes()); // PCM
    file.extend(1_u16.to_le_bytes()); // mono
    file.extend(rate.to_le_bytes());
    file.extend((rate * BYTES).to_le_bytes());
    file.extend(2_u16.to_le_bytes()); // bytes a frame
    file.extend(16_u16.to_le_bytes()); // bits a sample
    file.extend(b"data");
    file.extend(data.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand samples a second: one for each millisecond.
    const RATE: u32 = 1000;

    fn open() -> (Recording, Instant) {
        let mut recording = Recording::new(RATE);
        let now = Instant::now();
        recording.open(now);
        (recording, now)
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn nothing_is_heard_before_the_call_is_active() {
        let mut recording = Recording::new(RATE);
        let level = recording.hear(&mut Voice::default(), Instant::now(), &[9_000; 10]);
        assert_eq!(level, None);
        assert!(recording.samples().is_empty());
        assert_eq!(recording.last_sound(), None);
    }

    #[test]
    fn a_burst_keeps_the_order_of_the_samples() {
        let (mut recording, start) = open();
        let mut voice = Voice::default();
        recording.hear(&mut voice, start, &[1; 10]);
        // Held up for 100 ms, then all at once.
        for value in 2..=4 {
            recording.hear(&mut voice, start + ms(100), &[value; 10]);
        }
        let expected: Vec<i16> = (1..=4).flat_map(|value| [value; 10]).collect();
        assert_eq!(recording.samples(), expected);
    }

    #[test]
    fn a_voice_that_paused_goes_on_where_the_clock_says() {
        let (mut recording, start) = open();
        let mut voice = Voice::default();
        recording.hear(&mut voice, start, &[1; 10]);
        recording.hear(&mut voice, start + ms(2_000), &[2; 10]);
        assert_eq!(recording.samples()[9..12], [1, 0, 0]);
        assert_eq!(recording.samples()[1_999..2_001], [0, 2]);
        assert_eq!(recording.instant_of(2_000), Some(start + ms(2_000)));
    }

    #[test]
    fn two_voices_are_heard_together() {
        let (mut recording, start) = open();
        recording.hear(&mut Voice::default(), start, &[i16::MAX; 4]);
        recording.hear(&mut Voice::default(), start + ms(2), &[5; 4]);
        let expected = [i16::MAX, i16::MAX, i16::MAX, i16::MAX, 5, 5];
        assert_eq!(recording.samples(), expected);
    }

    #[test]
    fn only_sound_counts_as_sound() {
        let (mut recording, start) = open();
        let mut voice = Voice::default();
        assert_eq!(
            recording.hear(&mut voice, start, &[40; 5]),
            Some(Level::Silence)
        );
        let sound = recording.hear(&mut voice, start + ms(5), &[0, -2_000, 0]);
        assert_eq!(sound, Some(Level::Sound));
        assert_eq!(recording.last_sound(), Some(start + ms(5)));
    }

    #[test]
    fn what_was_heard_since_a_mark_begins_there() {
        let (mut recording, start) = open();
        let mut voice = Voice::default();
        recording.hear(&mut voice, start, &[1; 3]);
        let mark = recording.mark();
        recording.hear(&mut voice, start + ms(3), &[2; 3]);
        assert_eq!(recording.since(mark), [2; 3]);
    }

    #[test]
    fn sound_and_silence_are_found_where_they_begin() {
        let (mut recording, start) = open();
        let mut voice = Voice::default();
        recording.hear(&mut voice, start, &[0; 10]);
        let mark = recording.mark();
        let speech = [
            [0; 5].as_slice(),
            &[9_000; 20],
            &[0; 3],
            &[9_000; 10],
            &[0; 30],
        ]
        .concat();
        recording.hear(&mut voice, start + ms(10), &speech);
        assert_eq!(recording.sound_after(mark), Some(start + ms(15)));
        assert_eq!(recording.silence_after(mark, ms(10)), Some(start + ms(48)));
        assert_eq!(recording.silence_after(mark, ms(31)), None);
    }

    #[test]
    fn a_wav_file_has_its_sizes_right() {
        let file = wav(8_000, &[1, -1]);
        assert_eq!(file.len(), 48);
        assert_eq!(file[4..8], 40_u32.to_le_bytes());
        assert_eq!(file[40..44], 4_u32.to_le_bytes());
        assert_eq!(file[44..], [1, 0, 255, 255]);
    }
}
