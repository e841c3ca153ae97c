//! `trunkline call`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use trunkline_call::ring::{self, RingEnd, RingNews, RingOptions, Speech};
use trunkline_domain::{PhoneNumber, Tenant};
use trunkline_store::ChangeError;

use super::report;
use crate::config::Config;
use crate::wiring;

/// Events of one call: a handful.
const NEWS_QUEUE: usize = 32;

/// The longest test call: what is heard is kept in memory until it ends.
const MAX_SECONDS: u64 = 3600;

/// The largest speech file that is read: 300 s of stereo at 48 kHz are 58 MB.
const MAX_SPEECH_BYTES: u64 = 64 * 1024 * 1024;

/// Rings in the tenant's project as a phone call does: a room with the agent's dispatch, and a
/// participant of the kind SIP in it. Prints what happens as it happens, in milliseconds since
/// dialling, and removes the room at the end, at Ctrl-C too. No phone network is involved.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  trunkline call acme --from +4930123456 --to +15550001111 --for 20s --out heard.wav")]
pub(super) struct Arguments {
    /// The tenant's name
    slug: String,
    /// The number that the call seems to come from
    #[arg(long, value_name = "NUMBER", value_parser = number)]
    from: PhoneNumber,
    /// The number that seems to be called
    #[arg(long, value_name = "NUMBER", value_parser = number)]
    to: PhoneNumber,
    /// How long the call lasts at most once it is active: 20s, 2m
    #[arg(long = "for", value_name = "TIME", default_value = "20s", value_parser = time)]
    call_limit: Duration,
    /// How long the phone rings at most
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    ring_for: Duration,
    /// Save what is heard, as a WAV file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Say what is in this WAV file once the greeting has ended
    #[arg(long, value_name = "FILE")]
    say: Option<PathBuf>,
    /// Which of the tenant's agent names is called [default: its first]
    #[arg(long, value_name = "NAME")]
    agent_name: Option<String>,
}

impl Arguments {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let speech = self.say.as_deref().map(read_speech).transpose()?;
        let store = wiring::open_store(config).await?;
        let row = store.tenant(&self.slug).await;
        store.close().await;
        let row = row?.ok_or_else(|| ChangeError::NoSuchTenant {
            slug: self.slug.clone(),
        })?;
        let tenant = row
            .tenant
            .map_err(|problem| anyhow::anyhow!("the tenant is parked: {problem}"))?;
        let options = RingOptions {
            agent_name: agent_name(&tenant, self.agent_name.as_deref())?,
            from: self.from,
            to: self.to,
            ringing_limit: self.ring_for,
            call_limit: self.call_limit,
            speech,
        };
        trunkline_signalling::install().context("TLS towards rooms cannot be set up")?;
        let stop = CancellationToken::new();
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let (news, mut told) = mpsc::channel(NEWS_QUEUE);
        let call = ring::ring(&tenant, options, news, stop.clone());
        let mut call = std::pin::pin!(call);
        let outcome = loop {
            tokio::select! {
                biased;
                Some((at, news)) = told.recv() => show(at, &news)?,
                outcome = &mut call => break outcome,
                _ = interrupt.recv() => stop.cancel(),
                _ = terminate.recv() => stop.cancel(),
            }
        }?;
        while let Ok((at, news)) = told.try_recv() {
            show(at, &news)?;
        }
        if let Some(path) = &self.out {
            save(path, &outcome.heard)?;
            let seconds = outcome.heard.len() as f64 / f64::from(ring::HEARD_RATE);
            report::result(&format!("{seconds:.1} s are in {}\n", path.display()))?;
        }
        let heard = outcome
            .timeline
            .iter()
            .any(|(_, news)| *news == RingNews::FirstSound);
        // What was told to end did what it was told.
        Ok(if heard || outcome.end == RingEnd::Interrupted {
            ExitCode::SUCCESS
        } else {
            report::note("nothing was heard; `trunkline tenant test` says what is wrong");
            ExitCode::FAILURE
        })
    }
}

fn agent_name(
    tenant: &Tenant,
    wanted: Option<&str>,
) -> anyhow::Result<trunkline_domain::AgentName> {
    let mut names = tenant.agent_names.iter();
    let found = match wanted {
        Some(wanted) => names.find(|name| name.as_str() == wanted),
        None => names.next(),
    };
    found.cloned().with_context(|| {
        let names: Vec<&str> = tenant.agent_names.iter().map(|n| n.as_str()).collect();
        format!("--agent-name: the tenant has {}", names.join(", "))
    })
}

/// A line for each event, at once.
fn show(at: Duration, news: &RingNews) -> anyhow::Result<()> {
    let words = match news {
        RingNews::Ringing { room } => format!("it rings, in the room {room}"),
        RingNews::AgentJoined => "the agent has joined".to_owned(),
        RingNews::Answered => "the agent's track is published: answered".to_owned(),
        RingNews::Active => "active: both sides hear each other".to_owned(),
        RingNews::FirstSound => "the first sound".to_owned(),
        RingNews::Spoken => "the caller has said everything".to_owned(),
        RingNews::Ended(end) => match end {
            RingEnd::TimeUp => "we hung up: the time is up".to_owned(),
            RingEnd::Interrupted => "we hung up: interrupted".to_owned(),
            RingEnd::RangOut => "nobody answered: we gave up".to_owned(),
            RingEnd::AgentHungUp => "the agent's side hung up".to_owned(),
            RingEnd::Lost(problem) => format!("the call was lost: {problem}"),
        },
    };
    report::result(&format!("{:>7} ms  {words}\n", at.as_millis()))
}

fn save(path: &Path, heard: &[i16]) -> anyhow::Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: ring::HEARD_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let write = || -> Result<(), hound::Error> {
        let mut file = hound::WavWriter::create(path, spec)?;
        heard.iter().try_for_each(|s| file.write_sample(*s))?;
        file.finalize()
    };
    write().with_context(|| format!("--out: {} cannot be written", path.display()))
}

/// The file's channels mixed to one.
fn read_speech(path: &Path) -> anyhow::Result<Speech> {
    let of_file = || format!("--say: {} cannot be used", path.display());
    let size = std::fs::metadata(path).with_context(of_file)?.len();
    anyhow::ensure!(
        size <= MAX_SPEECH_BYTES,
        "--say: {} has {size} bytes; at most {MAX_SPEECH_BYTES} are read",
        path.display()
    );
    let mut file = hound::WavReader::open(path).with_context(of_file)?;
    let spec = file.spec();
    let samples: Vec<f64> = match spec.sample_format {
        hound::SampleFormat::Float => file
            .samples::<f32>()
            .map(|sample| sample.map(f64::from))
            .collect::<Result<_, _>>(),
        hound::SampleFormat::Int => {
            let full_scale = f64::from(2_u32.pow(u32::from(spec.bits_per_sample).clamp(1, 32) - 1));
            file.samples::<i32>()
                .map(|sample| sample.map(|sample| f64::from(sample) / full_scale))
                .collect::<Result<_, _>>()
        }
    }
    .with_context(of_file)?;
    let channels = usize::from(spec.channels).max(1);
    let mono = samples
        .chunks(channels)
        .map(|frame| {
            let mean = frame.iter().sum::<f64>() / channels as f64;
            // A cast of a float ends at the bounds.
            (mean * f64::from(i16::MAX)) as i16
        })
        .collect();
    Speech::new(spec.sample_rate, mono).with_context(of_file)
}

/// A number as E.164 writes it.
fn number(text: &str) -> Result<PhoneNumber, String> {
    let digits = text.strip_prefix('+').unwrap_or_default();
    let right = (2..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    PhoneNumber::new(text)
        .filter(|_| right)
        .ok_or_else(|| "a number is + and 2 to 15 digits, for instance +4930123456".to_owned())
}

/// `20s`, `2m` or `20`, in seconds.
fn time(text: &str) -> Result<Duration, String> {
    let (digits, unit) = match text.strip_suffix('m') {
        Some(digits) => (digits, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(unit))
        .filter(|seconds| (1..=MAX_SECONDS).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| format!("a time is for instance 20s or 2m, {MAX_SECONDS} s at most"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_read_as_people_write_them() {
        assert_eq!(number("+4930123456").unwrap().expose(), "+4930123456");
        for wrong in ["4930", "+", "+1x", "+1234567890123456"] {
            assert!(number(wrong).is_err(), "{wrong}");
        }
        assert_eq!(time("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(time("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(time("7"), Ok(Duration::from_secs(7)));
        for wrong in ["", "0s", "-1", "99999999999999999999m", "2h"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_stereo_file_is_said_as_one_voice() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("speech.wav");
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: 16_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut file = hound::WavWriter::create(&path, spec).unwrap();
        for sample in [16_384_i16, 0, -32_768, -32_768] {
            file.write_sample(sample).unwrap();
        }
        file.finalize().unwrap();
        let expected = Speech::new(16_000, vec![8_191, -32_767]).unwrap();
        assert_eq!(read_speech(&path).unwrap(), expected);
    }
}
