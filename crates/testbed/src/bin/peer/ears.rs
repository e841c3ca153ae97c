//! What the peer hears: recorded with its times, and searched for tones and words.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use livekit::prelude::RemoteAudioTrack;
use livekit::webrtc::audio_stream::native::{NativeAudioStream, NativeAudioStreamOptions};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use trunkline_testbed::peer::{What, now_us};
use trunkline_testbed::voice;

use crate::Arguments;
use crate::tell::Teller;
use crate::tone::{Change, Detector};

/// Frames of 10 ms that may wait for a busy machine without being lost: 2 s.
const QUEUE_FRAMES: usize = 200;

/// Looking for words is dear: every half second.
const WORDS_EVERY_FRAMES: u64 = 50;

/// The recording's header is made true this often, should we be killed: every second.
const FLUSH_EVERY_FRAMES: u64 = 100;

/// The peer's ears. They hear one track at a time, the one subscribed to last.
pub(crate) struct Ears {
    rate: u32,
    teller: Teller,
    hearing: Arc<Mutex<Hearing>>,
    track: Option<String>,
    task: JoinSet<anyhow::Result<()>>,
}

/// What becomes of what is heard, over all tracks.
struct Hearing {
    teller: Teller,
    recorder: Option<Recorder>,
    detector: Option<Detector>,
    words: Option<Words>,
    frames: u64,
}

struct Words {
    decoder: voice::Decoder,
    told: usize,
}

struct Recorder {
    wav: hound::WavWriter<BufWriter<File>>,
    times: BufWriter<File>,
    samples: u64,
}

impl Ears {
    pub(crate) fn new(arguments: &Arguments, teller: Teller) -> anyhow::Result<Self> {
        let rate = arguments.rate;
        let recorder = match &arguments.record {
            Some(path) => Some(
                Recorder::create(path, rate)
                    .with_context(|| format!("cannot record to {}", path.display()))?,
            ),
            None => None,
        };
        Ok(Self {
            rate,
            teller: teller.clone(),
            hearing: Arc::new(Mutex::new(Hearing {
                teller,
                recorder,
                detector: arguments.listen_for_tone.map(|hz| Detector::new(hz, rate)),
                words: arguments.listen_for_speech.then(|| Words {
                    decoder: voice::Decoder::new(rate),
                    told: 0,
                }),
                frames: 0,
            })),
            track: None,
            task: JoinSet::new(),
        })
    }

    /// Hears this track of somebody's from now on.
    pub(crate) fn listen(&mut self, track: RemoteAudioTrack, from: String) -> anyhow::Result<()> {
        self.task.abort_all();
        self.teller.tell(What::Subscribed { from })?;
        self.track = Some(track.sid().to_string());
        let hearing = Arc::clone(&self.hearing);
        let rate = self.rate;
        self.task.spawn(async move {
            let options = NativeAudioStreamOptions {
                queue_size_frames: Some(QUEUE_FRAMES),
            };
            let stream =
                NativeAudioStream::with_options(track.rtc_track(), rate.cast_signed(), 1, options);
            let mut stream = pin!(stream);
            while let Some(frame) = stream.next().await {
                hearing.lock().hear(now_us(), &frame.data)?;
            }
            Ok(())
        });
        Ok(())
    }

    /// Hears this track no more, if it did.
    pub(crate) fn turn_away(&mut self, track: &RemoteAudioTrack) -> anyhow::Result<()> {
        if self.track.as_deref() != Some(track.sid().as_str()) {
            return Ok(());
        }
        self.track = None;
        self.task.abort_all();
        self.teller.tell(What::Unsubscribed)
    }

    /// Ends the recording.
    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        self.task.abort_all();
        while let Some(ended) = self.task.join_next().await {
            match ended {
                Ok(heard) => heard?,
                Err(error) if error.is_cancelled() => {}
                Err(error) => return Err(error).context("the ears failed"),
            }
        }
        let recorder = self.hearing.lock().recorder.take();
        recorder.map_or(Ok(()), Recorder::finish)
    }
}

impl Hearing {
    fn hear(&mut self, at_us: u64, pcm: &[i16]) -> anyhow::Result<()> {
        self.frames += 1;
        if let Some(recorder) = &mut self.recorder {
            recorder.write(at_us, pcm)?;
            if self.frames.is_multiple_of(FLUSH_EVERY_FRAMES) {
                recorder.flush()?;
            }
        }
        if let Some(detector) = &mut self.detector {
            match detector.hear(at_us, pcm) {
                Some(Change::Heard { at_us }) => self.teller.tell_at(at_us, What::ToneHeard)?,
                Some(Change::Gone { at_us }) => self.teller.tell_at(at_us, What::ToneGone)?,
                None => {}
            }
        }
        if let Some(words) = &mut self.words {
            words.decoder.push(pcm);
            if self.frames.is_multiple_of(WORDS_EVERY_FRAMES) {
                for sentence in words.news() {
                    self.teller.tell(sentence)?;
                }
            }
        }
        Ok(())
    }
}

impl Words {
    /// Sentences that are over and were not told yet.
    fn news(&mut self) -> Vec<What> {
        let heard = self.decoder.heard();
        let last = heard.len().saturating_sub(1);
        let over = heard
            .iter()
            .enumerate()
            .skip(self.told)
            .take_while(|(number, sentence)| sentence.complete || *number < last)
            .map(|(_, sentence)| What::Sentence {
                text: sentence.text.clone(),
                complete: sentence.complete,
            })
            .collect::<Vec<_>>();
        self.told += over.len();
        over
    }
}

impl Recorder {
    fn create(path: &Path, rate: u32) -> anyhow::Result<Self> {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut times_path = path.as_os_str().to_owned();
        times_path.push(".times.csv");
        let mut times = BufWriter::new(File::create(times_path)?);
        writeln!(times, "sample,at_us")?;
        Ok(Self {
            wav: hound::WavWriter::create(path, spec)?,
            times,
            samples: 0,
        })
    }

    fn write(&mut self, at_us: u64, pcm: &[i16]) -> anyhow::Result<()> {
        writeln!(self.times, "{},{at_us}", self.samples)?;
        for &sample in pcm {
            self.wav.write_sample(sample)?;
        }
        self.samples += pcm.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.times.flush()?;
        self.wav.flush()?;
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.times.flush()?;
        self.wav.finalize()?;
        Ok(())
    }
}
