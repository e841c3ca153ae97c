//! `trunkline call`

mod recording;
mod speech;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use trunkline_call::ring::{self, Heard, RingEnd, RingNews, RingOptions};
use trunkline_call::{CheckStatus, Registration, judge_registrations};
use trunkline_domain::{PhoneNumber, Tenant};
use trunkline_store::{ChangeError, Store};

use super::number::number;
use super::report;
use super::tenant::registrations;
use crate::config::Config;
use crate::wiring;
use recording::Recording;

/// Events of one call: a handful.
const NEWS_QUEUE: usize = 32;

/// The longest test call: what is heard is kept in memory until it ends.
const MAX_SECONDS: u64 = 3600;

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
        let speech = self.say.as_deref().map(speech::read).transpose()?;
        let recording = self.out.map(Recording::begin).transpose()?;
        let store = wiring::open_store(config).await?;
        let found = find(&store, &self.slug).await;
        store.close().await;
        let (tenant, registrations) = found?;
        is_answered(&tenant, &registrations)?;
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
        let heard = outcome.heard();
        if let Some(recording) = recording {
            let seconds = outcome.sound.len() as f64 / f64::from(ring::HEARD_RATE);
            let path = recording.save(&outcome.sound)?;
            report::result(&format!("{seconds:.1} s are in {}\n", path.display()))?;
        }
        let problem = match heard {
            Heard::Agent => None,
            Heard::Apology => Some("the apology was heard: the call could not be served"),
            // What was told to end did what it was told.
            Heard::Nothing if outcome.end == RingEnd::Interrupted => None,
            Heard::Nothing => Some("nothing was heard"),
        };
        Ok(match problem {
            None => ExitCode::SUCCESS,
            Some(problem) => {
                report::note(&format!(
                    "{problem}; `trunkline tenant test` says what is wrong"
                ));
                ExitCode::FAILURE
            }
        })
    }
}

/// The tenant, and what the replicas say of its agent.
async fn find(store: &Store, slug: &str) -> anyhow::Result<(Arc<Tenant>, Vec<Registration>)> {
    let row = store.tenant(slug).await?;
    let row = row.ok_or_else(|| ChangeError::NoSuchTenant {
        slug: slug.to_owned(),
    })?;
    let registrations = registrations(store, &row).await?;
    let tenant = row
        .tenant
        .map_err(|problem| anyhow::anyhow!("{slug} is parked, nobody would answer: {problem}"))?;
    Ok((tenant, registrations))
}

/// Refuses to ring where nobody would answer.
fn is_answered(tenant: &Tenant, registrations: &[Registration]) -> anyhow::Result<()> {
    let check = judge_registrations(tenant, registrations);
    let remedy = check.remedy.unwrap_or_default();
    // An agent that is registered with an earlier version of the row answers as well.
    let is_there = registrations.iter().any(|r| r.state == "registered");
    ensure!(
        tenant.enabled && is_there,
        "nobody would answer: {}. To do: {remedy}",
        check.detail
    );
    if check.status != CheckStatus::Ok {
        report::note(&format!("warning: {}. To do: {remedy}", check.detail));
    }
    Ok(())
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
    fn times_are_read_as_people_write_them() {
        assert_eq!(time("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(time("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(time("7"), Ok(Duration::from_secs(7)));
        for wrong in ["", "0s", "-1", "99999999999999999999m", "2h"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
