//! The table, and its last line.

use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use crate::listener::TurnEnd;
use crate::play::Record;
use crate::silence::Span;

/// Prints a line. With care, for a pipe may be closed.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

/// What was heard in one turn of the agent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sounds {
    /// There was no such turn.
    Nothing,
    Words(&'static str),
    /// The recording, and then the end.
    Apology,
    /// The end of the call, with no whole sentence before it.
    End,
    Silence,
}

impl Sounds {
    pub(crate) fn of(end: &Option<TurnEnd>, apology: bool) -> Self {
        match end {
            None => Self::Nothing,
            Some(TurnEnd::Said(what)) => Self::Words(what),
            Some(TurnEnd::Over) if apology => Self::Apology,
            Some(TurnEnd::Over) => Self::End,
            Some(TurnEnd::Silent) => Self::Silence,
        }
    }
}

impl fmt::Display for Sounds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Nothing => "–",
            Self::Words(what) => what,
            Self::Apology => "apology",
            Self::End => "end of call",
            Self::Silence => "SILENCE",
        })
    }
}

/// What became of one case.
pub(crate) struct Row {
    pub(crate) place: usize,
    pub(crate) case: String,
    pub(crate) part: String,
    pub(crate) fault: &'static str,
    pub(crate) rang: Duration,
    pub(crate) greeting: Sounds,
    pub(crate) answer: Sounds,
    pub(crate) ended_by_agent: bool,
    pub(crate) record: Option<Record>,
    pub(crate) longest: Option<Span>,
    pub(crate) silent: Option<&'static str>,
}

pub(crate) fn head() -> anyhow::Result<()> {
    say(&line(
        "where",
        "fault",
        "rang",
        "first heard",
        "then heard",
        "longest silence",
        "record",
    ))
}

fn line(
    part: &str,
    fault: &str,
    rang: &str,
    greeting: &str,
    answer: &str,
    silence: &str,
    record: &str,
) -> String {
    format!(
        "{part:<24}  {fault:<30}  {rang:>6}  {greeting:<16}  {answer:<11}  {silence:>18}  {record}"
    )
}

impl Row {
    pub(crate) fn tell(&self) -> anyhow::Result<()> {
        let silence = match self.longest {
            Some(silence) => format!(
                "{} ms at {:.1} s",
                silence.length().as_millis(),
                silence.from.as_secs_f64()
            ),
            None => "–".to_owned(),
        };
        let mut record = match &self.record {
            Some(record) => {
                let source = record
                    .config_source
                    .as_deref()
                    .unwrap_or("no configuration");
                format!("{}, {source}", record.outcome)
            }
            None => "no record".to_owned(),
        };
        let detail = self.record.as_ref().and_then(|it| it.detail.as_deref());
        if let Some(detail) = detail {
            record.push_str(": ");
            record.push_str(detail);
        }
        if let Some(silent) = self.silent {
            record.push_str(" [SILENT: ");
            record.push_str(silent);
            record.push(']');
        }
        let greeting = match (self.greeting, self.ended_by_agent) {
            (Sounds::Nothing, true) => "refused".to_owned(),
            (Sounds::Nothing, false) => "ringing".to_owned(),
            (heard, _) => heard.to_string(),
        };
        say(&line(
            &self.part,
            self.fault,
            &format!("{:.1} s", self.rang.as_secs_f64()),
            &greeting,
            &self.answer.to_string(),
            &silence,
            &record,
        ))
    }
}

/// Prints the last lines: silent callers are a failure, and so are cases that were not played.
pub(crate) fn finish(rows: &[Row], unplayed: &[String]) -> anyhow::Result<ExitCode> {
    let silent: Vec<&str> = rows
        .iter()
        .filter(|row| row.silent.is_some())
        .map(|row| row.case.as_str())
        .collect();
    let longest = rows
        .iter()
        .filter_map(|row| Some((row.longest?.length(), row)))
        .max_by_key(|(length, _)| *length);
    if let Some((length, row)) = longest {
        say(&format!(
            "The longest silence was {} ms: {}.",
            length.as_millis(),
            row.case
        ))?;
    }
    say(match silent.is_empty() {
        true => "No caller was left in silence.",
        false => "CALLERS WERE LEFT IN SILENCE: see above.",
    })?;
    let longest = longest.map_or(0, |(length, _)| length.as_millis());
    let cases = rows.len();
    let mut last = json!({ "cases": cases, "silent": silent, "longest_silence_ms": longest });
    if !unplayed.is_empty() {
        last["unplayed"] = json!(unplayed);
    }
    say(&last.to_string())?;
    Ok(match silent.is_empty() && unplayed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
