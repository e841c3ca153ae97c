//! One case from the first ring to the record.

use std::time::{Duration, Instant};

use sqlx::PgPool;
use trunkline_testbed::bed::Bed;
use trunkline_testbed::caller::{Caller, SAMPLE_RATE};
use trunkline_testbed::model::Injection;
use trunkline_testbed::voice;

use crate::case::{Case, Moment, Strike};
use crate::listener::{Listener, NOBODY_THERE, TurnEnd};
use crate::report::{Row, Sounds};
use crate::silence::{self, Span};
use crate::site::Site;

/// What the caller asks: long enough that its answer can be disturbed.
const QUESTION: &str = "When do you open on Sunday?";

/// How long a phone may ring: the answer deadline of 6 s, and what a busy machine adds to it.
const RING_LIMIT: Duration = Duration::from_secs(20);

/// How often the caller asks: who gets no answer asks again.
const QUESTIONS: usize = 2;

/// Between a sentence of the agent's and the caller's next.
const BREATH: Duration = Duration::from_millis(400);

/// Sound that is no words of the model's, beyond what a word that was cut leaves: the apology.
const APOLOGY: Duration = Duration::from_millis(1_500);

/// Until the record is there.
const RECORD_LIMIT: Duration = Duration::from_secs(20);

/// Until a proxy has seen what it is to see.
const PROXY_LIMIT: Duration = Duration::from_secs(20);

const POLL: Duration = Duration::from_millis(50);

/// Plays a case that disturbs no other.
pub(crate) async fn case(bed: &Bed, number: usize, case: Case) -> anyhow::Result<Row> {
    let mut site = Site::open(bed, format!("case-{number}"), &case).await?;
    if let Some(strike) = case.strike_at(Moment::Before) {
        site.strike(strike).await?;
    }
    let call = call(&mut site, &case, &mut NoDatabase).await?;
    let row = call.row(&bed.sql, number, &case).await?;
    site.close(bed).await?;
    Ok(row)
}

/// Plays a case in which the database that all share goes away.
pub(crate) async fn without_database(
    bed: &mut Bed,
    number: usize,
    case: Case,
) -> anyhow::Result<Row> {
    let mut site = Site::open(bed, format!("alone-{number}"), &case).await?;
    if case.strike_at(Moment::Before).is_some() {
        bed.postgres.stop().await?;
    }
    let call = call(&mut site, &case, &mut bed.postgres).await?;
    bed.postgres.start_again().await?;
    let row = call.row(&bed.sql, usize::MAX, &case).await?;
    site.close(bed).await?;
    Ok(row)
}

/// What of the stage, besides its own site, a case may take away.
trait Database {
    async fn stop(&mut self) -> anyhow::Result<()>;
}

struct NoDatabase;

impl Database for NoDatabase {
    async fn stop(&mut self) -> anyhow::Result<()> {
        anyhow::bail!("this case shares its database with others")
    }
}

impl Database for trunkline_testbed::postgres::Postgres {
    async fn stop(&mut self) -> anyhow::Result<()> {
        Self::stop(self).await
    }
}

/// A call that is over.
struct Call {
    room: String,
    rang: Duration,
    /// What was said in the agent's turns, `None` for nothing.
    greeting: Option<TurnEnd>,
    answer: Option<TurnEnd>,
    pcm: Vec<i16>,
    turns: Vec<Span>,
    explained: Vec<Span>,
    /// The caller hung up, because there was nothing more to say.
    ended_by_agent: bool,
}

async fn call(site: &mut Site, case: &Case, database: &mut impl Database) -> anyhow::Result<Call> {
    let caller = site.ring().await?;
    let start = caller.mark();
    let active = caller.wait_active(RING_LIMIT).await.ok();
    let timeline = caller.timeline();
    let until = active
        .or(timeline.ended.as_ref().map(|ended| ended.at))
        .unwrap_or_else(Instant::now);
    let mut call = Call {
        room: caller.room().to_owned(),
        rang: until.duration_since(timeline.rang),
        greeting: None,
        answer: None,
        pcm: Vec::new(),
        turns: Vec::new(),
        explained: Vec::new(),
        ended_by_agent: false,
    };
    let Some(active) = active else {
        call.ended_by_agent = timeline.ended.is_some();
        // An error means that the leave took long; the call is over for the caller all the same.
        let _ = caller.hang_up().await;
        return Ok(call);
    };
    let mut listener = Listener::new(&caller, QUESTION, start, active);
    let (end, turn) = listener.turn(Duration::ZERO).await;
    call.turns.push(turn);
    let mut over = end == TurnEnd::Over;
    call.greeting = Some(end);
    if !over {
        tokio::time::sleep(BREATH).await;
        strike(site, case, Moment::Quiet, database, &mut call, active).await?;
        for _ in 0..QUESTIONS {
            caller.speak(&voice::encode(QUESTION, SAMPLE_RATE)).await;
            let from = listener.now();
            if call.answer.is_none() && case.strike_at(Moment::Answering).is_some() {
                listener.first_sound(from).await;
                strike(site, case, Moment::Answering, database, &mut call, active).await?;
            }
            let (end, turn) = listener.turn(from).await;
            call.turns.push(turn);
            over = end == TurnEnd::Over;
            let said = end != TurnEnd::Silent;
            call.answer = Some(end);
            if said {
                break;
            }
        }
    }
    for away in caller.timeline().away {
        let to = away.to.unwrap_or_else(Instant::now);
        call.explained.push(Span {
            from: away.from.saturating_duration_since(active),
            to: to.saturating_duration_since(active),
        });
    }
    call.ended_by_agent = over;
    call.pcm = caller.heard();
    hang_up(&caller).await;
    Ok(call)
}

async fn hang_up(caller: &Caller) {
    if let Err(error) = caller.hang_up().await {
        tracing::warn!("a caller did not get out of its room: {error:#}");
    }
}

/// Does what the case does at this moment.
async fn strike(
    site: &mut Site,
    case: &Case,
    moment: Moment,
    database: &mut impl Database,
    call: &mut Call,
    active: Instant,
) -> anyhow::Result<()> {
    match case.strike_at(moment) {
        None => {}
        Some(Strike::StopDatabase) => database.stop().await?,
        Some(strike) => {
            let from = active.elapsed();
            site.strike(strike).await?;
            if let Strike::FreezeServer(_) | Strike::RestartServer = strike {
                call.explained.push(Span {
                    from,
                    to: active.elapsed(),
                });
            }
        }
    }
    Ok(())
}

impl Site {
    async fn strike(&mut self, strike: &Strike) -> anyhow::Result<()> {
        match strike {
            Strike::NewSessions(behaviour) => self.model.behave(behaviour.clone()),
            Strike::Model(injection) => self.inject(injection.clone()),
            Strike::CutWorker => {
                self.proxy.refuse(Some("/agent"));
                self.proxy.cut("/agent");
            }
            Strike::CutRoom => {
                self.proxy.cut("/rtc");
            }
            Strike::RejoinRoom => {
                self.proxy.refuse(Some("/rtc"));
                self.proxy.cut("/rtc");
                // The resumption, and what is asked about it.
                self.proxy.refused(2, PROXY_LIMIT).await?;
                self.proxy.refuse(None);
            }
            Strike::LoseRoom => {
                self.proxy.refuse(Some("/rtc"));
                self.proxy.cut("/rtc");
            }
            Strike::RestartServer => {
                self.livekit.crash().await?;
                self.livekit.start_again().await?;
            }
            Strike::FreezeServer(time) => {
                self.livekit.freeze().await?;
                tokio::time::sleep(*time).await;
                self.livekit.thaw();
            }
            Strike::StopDatabase => anyhow::bail!("the database is not this site's own"),
        }
        Ok(())
    }

    /// Into the session that is open.
    fn inject(&self, injection: Injection) {
        let sessions = self.model.sessions();
        let open = sessions.iter().rev().find(|it| it.closed.is_none());
        if let Some(session) = open {
            self.model.inject(session.number, injection);
        }
    }
}

impl Call {
    /// Judges the call, with its record.
    async fn row(&self, sql: &PgPool, place: usize, case: &Case) -> anyhow::Result<Row> {
        let sounds = silence::sounds(&self.pcm, SAMPLE_RATE);
        let record = record(sql, &self.room).await?;
        let longest = silence::longest(&self.turns, &sounds, &self.explained);
        let was_silent = |end: &Option<TurnEnd>| *end == Some(TurnEnd::Silent);
        let silent = if self.greeting.is_none() && !self.ended_by_agent {
            Some("it rang on")
        } else if was_silent(&self.greeting) || was_silent(&self.answer) {
            Some("nobody spoke")
        } else if longest.is_some_and(|silence| silence.length() > NOBODY_THERE) {
            Some("silence")
        } else {
            None
        };
        let apology = self.has_apology(&sounds);
        // The apology comes last of all.
        let (greeting, answer) = match self.answer {
            Some(_) => (
                Sounds::of(&self.greeting, false),
                Sounds::of(&self.answer, apology),
            ),
            None => (Sounds::of(&self.greeting, apology), Sounds::Nothing),
        };
        Ok(Row {
            place,
            case: case.name(),
            part: case.part.to_string(),
            fault: case.fault,
            rang: self.rang,
            greeting,
            answer,
            ended_by_agent: self.ended_by_agent,
            record,
            longest,
            silent,
        })
    }

    /// Whether there was sound for long that is no words of the model's.
    fn has_apology(&self, sounds: &[Span]) -> bool {
        let words = voice::decode(&self.pcm, SAMPLE_RATE);
        let words: Vec<Span> = words
            .iter()
            .map(|heard| Span {
                from: heard.at,
                to: heard.until,
            })
            .collect();
        let other = sounds.iter().filter(|sound| {
            !words
                .iter()
                .any(|it| it.from < sound.to && sound.from < it.to)
        });
        other.map(Span::length).sum::<Duration>() >= APOLOGY
    }
}

/// What the record says of a call.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Record {
    pub(crate) outcome: String,
    pub(crate) config_source: Option<String>,
    pub(crate) detail: Option<String>,
}

/// The record of the call, once it is there; `None` when it is not in time.
async fn record(sql: &PgPool, room: &str) -> anyhow::Result<Option<Record>> {
    let until = Instant::now() + RECORD_LIMIT;
    loop {
        let found = sqlx::query_as::<_, Record>(
            "SELECT outcome, config_source, detail FROM calls WHERE room = $1 \
             ORDER BY started_at LIMIT 1",
        )
        .bind(room)
        .fetch_optional(sql)
        .await?;
        if found.is_some() || Instant::now() >= until {
            return Ok(found);
        }
        tokio::time::sleep(POLL).await;
    }
}
