//! `bench fidelity`: how speech arrives over a bad network.
//!
//! One participant speaks, another records, a real server between them; each in a network of its
//! own, and the recording one's is bad in a way that has a seed. Both participants are on our
//! engine, then both on Google's C++ engine, over the same network.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use livekit_api::access_token::VideoGrants;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::process::Command;
use trunkline_testbed::livekit::{self, LiveKitOptions, LiveKitServer};
use trunkline_testbed::netlab::{Direction, Host, Jitter, Loss, NetLab, Profile, Share, Wire};
use trunkline_testbed::peer::{Peer, PeerOptions, What, now_us};

use crate::child::{Child, script_path};
use crate::engine::round;
use crate::report::{Table, say};

/// The wire to the recording side: a round trip of 40 ms, as to a data centre of one's country.
const DELAY: Duration = Duration::from_millis(20);

/// Lost packets come in bursts of so many, in the mean.
const MEAN_BURST: f64 = 3.0;

/// From the start of the participants to the first word: joining, publishing and subscribing.
const BEFORE_SPEECH: Duration = Duration::from_secs(8);

/// The network is bad from then on, so that jitter is known when somebody speaks.
const BAD_BEFORE_SPEECH: Duration = Duration::from_secs(3);

/// What is said last must be heard.
const AFTER_SPEECH: Duration = Duration::from_secs(2);

const LIMIT: Duration = Duration::from_secs(60);

/// The rate of the recording, which is that of wideband speech and of the score.
const RATE: &str = "16000";

#[derive(Args)]
pub(crate) struct FidelityArguments {
    /// The Python that has the packages of crates/testbed/python/requirements.txt
    #[arg(long)]
    python: PathBuf,
    /// The speech, a WAV file
    #[arg(long)]
    speech: PathBuf,
    /// Where the recordings go
    #[arg(long, default_value = "target/fidelity")]
    out: PathBuf,
    /// Only these lines of the table, from 0
    #[arg(long, value_delimiter = ',')]
    only: Vec<usize>,
    /// Measure each line so often, over networks with other seeds, and print the means
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
}

/// How bad the network is.
#[derive(Clone, Copy, Debug, Serialize)]
struct Weather {
    loss_percent: f64,
    pattern: Pattern,
    jitter_ms: u64,
}

/// Which packets are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Pattern {
    Random,
    Bursty,
}

impl Weather {
    const fn lossy(loss_percent: f64, pattern: Pattern) -> Self {
        Self {
            loss_percent,
            pattern,
            jitter_ms: 0,
        }
    }

    const fn jittery(jitter_ms: u64) -> Self {
        Self {
            loss_percent: 0.0,
            pattern: Pattern::Random,
            jitter_ms,
        }
    }

    const ALL: [Self; 13] = [
        Self::lossy(0.0, Pattern::Random),
        Self::lossy(1.0, Pattern::Random),
        Self::lossy(3.0, Pattern::Random),
        Self::lossy(5.0, Pattern::Random),
        Self::lossy(10.0, Pattern::Random),
        Self::lossy(1.0, Pattern::Bursty),
        Self::lossy(3.0, Pattern::Bursty),
        Self::lossy(5.0, Pattern::Bursty),
        Self::lossy(10.0, Pattern::Bursty),
        Self::jittery(20),
        Self::jittery(50),
        Self::jittery(100),
        Self {
            loss_percent: 3.0,
            pattern: Pattern::Random,
            jitter_ms: 50,
        },
    ];

    fn profile(self) -> Profile {
        let share = Share::percent(self.loss_percent);
        let loss = match self.pattern {
            _ if self.loss_percent == 0.0 => Loss::None,
            Pattern::Random => Loss::Random { share },
            Pattern::Bursty => Loss::Bursty {
                share,
                mean_burst: MEAN_BURST,
            },
        };
        // Evenly between the delay and the delay with all of the jitter.
        let spread = Duration::from_millis(self.jitter_ms) / 2;
        Profile {
            delay: DELAY + spread,
            jitter: match self.jitter_ms {
                0 => Jitter::None,
                _ => Jitter::Uniform { spread },
            },
            loss,
            ..Profile::default()
        }
    }

    fn text(self) -> String {
        match self.pattern {
            _ if self.loss_percent == 0.0 => "none".to_owned(),
            Pattern::Random => format!("{} %", self.loss_percent),
            Pattern::Bursty => format!("{} % in bursts", self.loss_percent),
        }
    }
}

/// What arrived.
#[derive(Debug, Serialize)]
struct Point {
    #[serde(flatten)]
    weather: Weather,
    #[serde(flatten)]
    analysis: Analysis,
    /// Share of what was played that was made up, by the engine's own count.
    concealed_share: Option<f64>,
    /// Share of the packets that the network really lost, of all kinds.
    lost_share: f64,
    /// The lowest and the highest score of a run.
    pesq_range: Option<[f64; 2]>,
}

/// The answer of `fidelity.py`.
#[derive(Debug, Serialize, Deserialize)]
struct Analysis {
    delay_ms_p50: Option<f64>,
    delay_ms_p95: Option<f64>,
    pesq: Option<f64>,
    places: usize,
}

/// What an engine counts, in samples.
#[derive(Debug, Default, Deserialize)]
struct Concealed {
    #[serde(default)]
    total_samples_received: u64,
    #[serde(default)]
    concealed_samples: u64,
}

impl Concealed {
    fn share(&self) -> Option<f64> {
        (self.total_samples_received > 0)
            .then(|| self.concealed_samples as f64 / self.total_samples_received as f64)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Ours,
    Libwebrtc,
}

pub(crate) async fn run(arguments: FidelityArguments) -> anyhow::Result<()> {
    NetLab::available().context("bad networks need a laboratory of namespaces")?;
    std::fs::create_dir_all(&arguments.out)?;
    let seconds = length(&arguments.speech)?;
    say(&format!(
        "{:.0} s of speech through livekit-server {}, with a round trip of {} ms to the listener.",
        seconds.as_secs_f64(),
        livekit::VERSION,
        2 * DELAY.as_millis(),
    ))?;
    say("Left: this engine; right: Google's C++ engine through the Python SDK.")?;
    say("")?;
    let table = Table::new(&[
        ("loss", 14),
        ("jitter", 7),
        ("delay p50", 9),
        ("p95", 5),
        ("concealed", 9),
        ("PESQ", 5),
        ("|", 1),
        ("delay p50", 9),
        ("p95", 5),
        ("concealed", 9),
        ("PESQ", 5),
    ])?;
    let (mut ours, mut libwebrtc) = (Vec::new(), Vec::new());
    for (number, weather) in Weather::ALL.into_iter().enumerate() {
        if !arguments.only.is_empty() && !arguments.only.contains(&number) {
            continue;
        }
        let mut row = vec![weather.text(), format!("{} ms", weather.jitter_ms)];
        for (who, points) in [(Who::Ours, &mut ours), (Who::Libwebrtc, &mut libwebrtc)] {
            let mut runs = Vec::new();
            for run in 0..arguments.runs {
                let place = Place {
                    number,
                    weather,
                    who,
                    run,
                };
                let point = measure(&arguments, place, seconds)
                    .await
                    .with_context(|| format!("{who:?} at {weather:?}"))?;
                runs.push(point);
            }
            let point = Point::mean(weather, &runs);
            if who == Who::Libwebrtc {
                row.push("|".to_owned());
            }
            row.extend(point.cells());
            points.push(point);
        }
        table.row(&row)?;
    }
    say("")?;
    say(
        "Delay in ms from the mouth (a frame is given to the SDK) to the ear (it comes out), over a",
    )?;
    say(
        "  second of speech at every half second. Concealed: by the engine's own statistics. PESQ:",
    )?;
    say("  ITU-T P.862.2, 1 to 4.64, the mean over pieces of 9 s.")?;
    if arguments.runs > 1 {
        say(&format!(
            "Means of {} runs; the lowest and highest score are in the line below.",
            arguments.runs
        ))?;
    }
    say(&json!({ "ours": ours, "libwebrtc": libwebrtc }).to_string())
}

impl Point {
    fn mean(weather: Weather, runs: &[Self]) -> Self {
        let mean = |value: &dyn Fn(&Self) -> Option<f64>| {
            let values: Vec<f64> = runs.iter().filter_map(value).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let scores = || runs.iter().filter_map(|run| run.analysis.pesq);
        Self {
            weather,
            analysis: Analysis {
                delay_ms_p50: mean(&|run| run.analysis.delay_ms_p50).map(|ms| round(ms, 1)),
                delay_ms_p95: mean(&|run| run.analysis.delay_ms_p95).map(|ms| round(ms, 1)),
                pesq: mean(&|run| run.analysis.pesq).map(|score| round(score, 3)),
                places: runs.iter().map(|run| run.analysis.places).sum(),
            },
            concealed_share: mean(&|run| run.concealed_share).map(|share| round(share, 4)),
            lost_share: round(mean(&|run| Some(run.lost_share)).unwrap_or_default(), 4),
            pesq_range: scores()
                .min_by(f64::total_cmp)
                .zip(scores().max_by(f64::total_cmp))
                .map(|(low, high)| [low, high]),
        }
    }

    fn cells(&self) -> [String; 4] {
        let text = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        [
            text(self.analysis.delay_ms_p50, 0),
            text(self.analysis.delay_ms_p95, 0),
            self.concealed_share
                .map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0)),
            text(self.analysis.pesq, 2),
        ]
    }
}

/// What is measured.
#[derive(Clone, Copy)]
struct Place {
    /// The line of the table.
    number: usize,
    weather: Weather,
    who: Who,
    run: u64,
}

/// Networks, server and participants are new for each: so all begin alike.
async fn measure(
    arguments: &FidelityArguments,
    place: Place,
    speech: Duration,
) -> anyhow::Result<Point> {
    let Place {
        number,
        weather,
        who,
        run,
    } = place;
    // Both engines have the same networks. Each wire of a laboratory has the next seed.
    let mut lab = NetLab::with_seed(run * 100)?;
    let [at, mouth, ear] = [lab.host("server")?, lab.host("mouth")?, lab.host("ear")?];
    let _clean = lab.wire(&at, &mouth)?;
    let bad = lab.wire(&at, &ear)?;
    bad.set_both(&Profile::delayed(DELAY));
    // A server with two wires is reached by both at addresses of its own.
    at.add_own_addresses()?;
    let server = LiveKitServer::start(LiveKitOptions {
        log_level: "warn".to_owned(),
        host: Some(at),
        ..LiveKitOptions::default()
    })
    .await?;
    let recording = std::path::absolute(
        arguments
            .out
            .join(format!("{number}-{who:?}-{run}.wav").to_lowercase()),
    )?;
    let run = Run {
        arguments,
        server: &server,
        mouth: &mouth,
        ear: &ear,
        bad: &bad,
        speak_at_us: now_us() + u64::try_from(BEFORE_SPEECH.as_micros())?,
        speech,
        recording: &recording,
    };
    let concealed = match who {
        Who::Ours => run.ours(weather).await?,
        Who::Libwebrtc => run.libwebrtc(weather).await?,
    };
    let counters = bad.counters(Direction::Forth);
    let analysis = analyse(arguments, &recording, run.speak_at_us).await?;
    Ok(Point {
        weather,
        concealed_share: concealed.share().map(|share| round(share, 4)),
        lost_share: round(
            counters.lost.packets as f64 / counters.offered.packets.max(1) as f64,
            4,
        ),
        pesq_range: analysis.pesq.map(|score| [score; 2]),
        analysis,
    })
}

/// One measurement.
struct Run<'a> {
    arguments: &'a FidelityArguments,
    server: &'a LiveKitServer,
    mouth: &'a Host,
    ear: &'a Host,
    bad: &'a Wire,
    speak_at_us: u64,
    speech: Duration,
    recording: &'a Path,
}

impl Run<'_> {
    async fn ours(&self, weather: Weather) -> anyhow::Result<Concealed> {
        let program = std::env::current_exe()?.with_file_name("peer");
        anyhow::ensure!(program.exists(), "{} is not built", program.display());
        let options = |host: &Host, token: String| PeerOptions {
            host: Some(host.clone()),
            program: Some(program.clone()),
            url: self.server.url(),
            token,
            arguments: Vec::new(),
        };
        let speech = std::path::absolute(&self.arguments.speech)?;
        let mut mouth = Peer::start(options(self.mouth, self.token("mouth")?).with([
            "--publish".into(),
            speech.into_os_string(),
            "--speak-at-us".into(),
            self.speak_at_us.to_string().into(),
            // As the SDKs publish by default.
            "--red".into(),
            "--dtx".into(),
        ]))
        .await?;
        let mut ear = Peer::start(options(self.ear, self.token("ear")?).with([
            "--record".as_ref(),
            self.recording.as_os_str(),
            "--rate".as_ref(),
            RATE.as_ref(),
            "--stats-every".as_ref(),
            "0.5".as_ref(),
        ]))
        .await?;
        mouth
            .wait(LIMIT, |event| matches!(event.what, What::Published))
            .await?;
        ear.wait(LIMIT, |event| matches!(event.what, What::Subscribed { .. }))
            .await?;
        self.speak(weather).await?;
        let stats = ear.events()?.into_iter().rev().find_map(|event| {
            let What::Stats(stats) = event.what else {
                return None;
            };
            stats.inbound.first().map(|inbound| Concealed {
                total_samples_received: inbound.total_samples_received,
                concealed_samples: inbound.concealed_samples,
            })
        });
        ear.leave().await?;
        mouth.leave().await?;
        stats.context("the ear told no statistics")
    }

    async fn libwebrtc(&self, weather: Weather) -> anyhow::Result<Concealed> {
        let speech = std::path::absolute(&self.arguments.speech)?;
        let mut mouth = self.python(
            self.mouth,
            "mouth",
            &[
                "--publish".as_ref(),
                speech.as_os_str(),
                "--speak-at-us".as_ref(),
                self.speak_at_us.to_string().as_ref(),
            ],
        )?;
        let mut ear = self.python(
            self.ear,
            "ear",
            &[
                "--record".as_ref(),
                self.recording.as_os_str(),
                "--rate".as_ref(),
                RATE.as_ref(),
            ],
        )?;
        for side in [&mut mouth, &mut ear] {
            let _: serde_json::Value = side.ask(&(), LIMIT).await?;
        }
        self.speak(weather).await?;
        let concealed = ear.ask(&(), LIMIT).await?;
        let _: serde_json::Value = mouth.ask(&(), LIMIT).await?;
        ear.end().await?;
        mouth.end().await?;
        Ok(concealed)
    }

    fn python(
        &self,
        host: &Host,
        identity: &'static str,
        arguments: &[&std::ffi::OsStr],
    ) -> anyhow::Result<Child> {
        let url = self.server.url();
        let token = self.token(identity)?;
        let mut line = vec![
            std::path::absolute(&self.arguments.python)?.into_os_string(),
            script_path("listen").into_os_string(),
            "--url".into(),
            url.into(),
            "--token".into(),
            token.into(),
        ];
        line.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let line = host.command_line(line);
        let (program, rest) = line.split_first().context("an empty command")?;
        let mut command = Command::new(program);
        command.args(rest);
        Child::spawn(identity, command)
    }

    /// The network turns bad, the speech is said, and the network is good again.
    async fn speak(&self, weather: Weather) -> anyhow::Result<()> {
        let until = |at_us: u64| Duration::from_micros(at_us.saturating_sub(now_us()));
        let bad_from = self.speak_at_us - u64::try_from(BAD_BEFORE_SPEECH.as_micros())?;
        anyhow::ensure!(
            now_us() < bad_from,
            "the participants were not there in time; is the machine overloaded?"
        );
        tokio::time::sleep(until(bad_from)).await;
        self.bad.set(Direction::Forth, weather.profile());
        let end = self.speak_at_us + u64::try_from((self.speech + AFTER_SPEECH).as_micros())?;
        tokio::time::sleep(until(end)).await;
        self.bad.set(Direction::Forth, Profile::delayed(DELAY));
        Ok(())
    }

    fn token(&self, identity: &str) -> anyhow::Result<String> {
        let grants = VideoGrants {
            room_join: true,
            room: "fidelity".to_owned(),
            ..VideoGrants::default()
        };
        self.server.token(identity, grants)
    }
}

async fn analyse(
    arguments: &FidelityArguments,
    recording: &Path,
    said_at_us: u64,
) -> anyhow::Result<Analysis> {
    let output = Command::new(&arguments.python)
        .arg(script_path("fidelity"))
        .arg("--said")
        .arg(&arguments.speech)
        .arg("--said-at-us")
        .arg(said_at_us.to_string())
        .arg("--heard")
        .arg(recording)
        .output()
        .await
        .context("cannot start the analysis")?;
    anyhow::ensure!(
        output.status.success(),
        "the analysis failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("the analysis' answer")
}

/// How long a WAV file is.
fn length(path: &Path) -> anyhow::Result<Duration> {
    let file = hound::WavReader::open(path)
        .with_context(|| format!("cannot read the speech {}", path.display()))?;
    let seconds = f64::from(file.duration()) / f64::from(file.spec().sample_rate);
    Ok(Duration::from_secs_f64(seconds))
}
