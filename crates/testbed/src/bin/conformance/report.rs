//! What is printed: the table as it grows, what failed, and the last line.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::limits;
use crate::run::{Joins, Outcome, Test};
use crate::suites::{LEFT_OUT, SUITES};

/// One suite in one run.
#[derive(Clone, Default)]
struct Row {
    expected: usize,
    passed: usize,
    failed: usize,
    /// The time of its tests one after the other.
    took: Duration,
    joins: Joins,
}

/// See the module.
pub(crate) struct Report {
    runs: usize,
    /// Whether what is left out belongs to the table.
    whole: bool,
    /// By the suite's place; as it is before a run.
    blank: Vec<Row>,
    rows: Vec<Row>,
    began: Instant,
    passed: usize,
    failed: usize,
    left_out: usize,
    /// How often each test failed that did.
    failures: BTreeMap<String, usize>,
}

impl Report {
    pub(crate) fn new(tests: &[Test], runs: usize, whole: bool) -> Self {
        let mut blank = vec![Row::default(); SUITES.len()];
        for test in tests {
            blank[test.suite].expected += 1;
        }
        Self {
            runs,
            whole,
            rows: blank.clone(),
            blank,
            began: Instant::now(),
            passed: 0,
            failed: 0,
            left_out: 0,
            failures: BTreeMap::new(),
        }
    }

    pub(crate) fn failed(&self) -> usize {
        self.failed
    }

    pub(crate) fn title(&self, title: &str) -> std::io::Result<()> {
        say(title)
    }

    pub(crate) fn begin(&mut self, run: usize) -> std::io::Result<()> {
        self.rows = self.blank.clone();
        self.began = Instant::now();
        say("")?;
        if self.runs > 1 {
            say(&format!("run {run} of {}", self.runs))?;
        }
        say(&row("suite", "passed", "failed", "left out", "seconds", ""))
    }

    /// Counts a test, and prints its suite's row when it was the last of it.
    pub(crate) fn ended(&mut self, test: &Test, outcome: &Outcome) -> std::io::Result<()> {
        let suite = &mut self.rows[test.suite];
        suite.took += outcome.took;
        suite.joins.dual += outcome.joins.dual;
        suite.joins.single += outcome.joins.single;
        if let Some((what, output)) = &outcome.failure {
            suite.failed += 1;
            self.failed += 1;
            *self.failures.entry(test.title()).or_default() += 1;
            show_failure(&test.title(), what, outcome.took, output)?;
        } else {
            suite.passed += 1;
            self.passed += 1;
        }
        let suite = &self.rows[test.suite];
        if suite.passed + suite.failed == suite.expected {
            clear_progress();
            let Joins { dual, single } = suite.joins;
            let note = if dual + single == 0 {
                String::new()
            } else {
                format!("{dual} joins by /rtc (dual mode), {single} by /rtc/v1 (single mode)")
            };
            say(&row(
                SUITES[test.suite].name,
                &suite.passed.to_string(),
                &suite.failed.to_string(),
                "0",
                &seconds(suite.took),
                &note,
            ))?;
        }
        self.progress(test);
        Ok(())
    }

    pub(crate) fn end(&mut self) -> std::io::Result<()> {
        clear_progress();
        let mut left_out = 0;
        if self.whole {
            for left in &LEFT_OUT {
                left_out += left.tests.len();
                let count = left.tests.len().to_string();
                say(&row(left.target, "0", "0", &count, "-", left.reason))?;
            }
        }
        self.left_out += left_out;
        let sum = |of: fn(&Row) -> usize| self.rows.iter().map(of).sum::<usize>().to_string();
        say(&row(
            "all",
            &sum(|row| row.passed),
            &sum(|row| row.failed),
            &left_out.to_string(),
            &seconds(self.began.elapsed()),
            "by the clock",
        ))
    }

    pub(crate) fn objections(&self, objections: &[String]) -> std::io::Result<()> {
        if objections.is_empty() {
            return Ok(());
        }
        say("")?;
        say("The tables in crates/testbed/src/bin/conformance/suites.rs do not fit this SDK:")?;
        for objection in objections {
            say(&format!("  {objection}"))?;
        }
        Ok(())
    }

    /// How often each test failed, then the last line.
    pub(crate) fn finish(&self) -> std::io::Result<()> {
        say("")?;
        for (title, times) in &self.failures {
            say(&format!("failed in {times} of {}: {title}", self.runs))?;
        }
        // By hand: in the order that is promised.
        say(&format!(
            r#"{{"passed":{},"failed":{},"left_out":{}}}"#,
            self.passed, self.failed, self.left_out
        ))
    }

    /// Says how far it is, on terminals.
    fn progress(&self, last: &Test) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        let done: usize = self.rows.iter().map(|row| row.passed + row.failed).sum();
        let all: usize = self.rows.iter().map(|row| row.expected).sum();
        // What cannot be shown is no loss.
        let _ = write!(std::io::stderr(), "\r\x1b[K{done}/{all} {}", last.title());
    }
}

fn clear_progress() {
    if std::io::stderr().is_terminal() {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
}

/// Prints that a test failed, and the end of what it said.
fn show_failure(title: &str, what: &str, took: Duration, output: &Path) -> std::io::Result<()> {
    clear_progress();
    say(&format!("  {title} {what}, after {} s", seconds(took)))?;
    let text = String::from_utf8_lossy(&std::fs::read(output).unwrap_or_default()).into_owned();
    let lines = telling(&text);
    for line in &lines[lines.len().saturating_sub(limits::SHOWN_LINES)..] {
        say(&format!("    | {line}"))?;
    }
    say(&format!("    all of it: {}", output.display()))
}

/// The lines before the test program's own summary, without empty ones.
fn telling(output: &str) -> Vec<&str> {
    output
        .lines()
        .filter(|line| !line.trim().is_empty())
        .take_while(|&line| line != "failures:")
        .collect()
}

fn row(name: &str, passed: &str, failed: &str, left: &str, seconds: &str, note: &str) -> String {
    format!("{name:<20} {passed:>6} {failed:>6} {left:>8} {seconds:>8}  {note}")
        .trim_end()
        .to_owned()
}

fn seconds(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64())
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_test_said_is_told_apart_from_its_summary() {
        let output = "running 1 test\n\nError: no\nFAILED\n\nfailures:\n\nfailures:\n    it\n";
        assert_eq!(telling(output), ["running 1 test", "Error: no", "FAILED"]);
    }
}
