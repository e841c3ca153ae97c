//! What is printed: a line a check as it is made, then a table of all, what went wrong, and one
//! JSON object.

use std::io::Write as _;

use serde_json::json;

use crate::theirs::Sdk;

/// What went with each SDK.
pub(crate) struct Report {
    sdks: Vec<Sdk>,
    rows: Vec<Row>,
    /// In words.
    troubles: Vec<String>,
}

/// One check.
struct Row {
    scene: &'static str,
    what: String,
    /// By the SDK's place; `None` where it was not made.
    passed: Vec<Option<bool>>,
}

/// The report of one scene with one SDK.
pub(crate) struct Notes<'a> {
    report: &'a mut Report,
    sdk: usize,
    scene: &'static str,
    /// The row of the check before.
    last: Option<usize>,
}

impl Report {
    pub(crate) fn new(sdks: Vec<Sdk>) -> Self {
        Self {
            sdks,
            rows: Vec::new(),
            troubles: Vec::new(),
        }
    }

    /// For the SDK in this place.
    pub(crate) fn notes(&mut self, sdk: usize, scene: &'static str) -> Notes<'_> {
        Notes {
            report: self,
            sdk,
            scene,
            last: None,
        }
    }

    fn table(&self) -> String {
        let line = |scene: &str, what: &str, cells: Vec<&str>| {
            let cells: String = cells.iter().map(|cell| format!(" {cell:>10}")).collect();
            format!("{scene:<20} {what:<50}{cells}\n")
        };
        let names = self.sdks.iter().map(|sdk| sdk.name()).collect();
        let mut table = line("", "", names);
        let mut scene = "";
        for row in &self.rows {
            let shown = if row.scene == scene { "" } else { row.scene };
            scene = row.scene;
            let cells = row.passed.iter().map(|&passed| word(passed)).collect();
            table += &line(shown, &row.what, cells);
        }
        table
    }

    fn count(&self, verdict: bool) -> usize {
        let verdicts = self.rows.iter().flat_map(|row| &row.passed);
        verdicts.filter(|&&passed| passed == Some(verdict)).count()
    }

    /// Whether all passed.
    pub(crate) fn finish(&self) -> std::io::Result<bool> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n{}", self.table())?;
        for trouble in &self.troubles {
            writeln!(out, "{trouble}")?;
        }
        let failed = self.count(false);
        let last = json!({ "passed": self.count(true), "failed": failed });
        writeln!(out, "{last}")?;
        Ok(failed == 0)
    }
}

impl Notes<'_> {
    pub(crate) fn check(&mut self, what: &str, passed: bool) -> std::io::Result<()> {
        let place = self.place(what);
        self.report.rows[place].passed[self.sdk] = Some(passed);
        self.last = Some(place);
        let (verdict, sdk) = (word(Some(passed)), self.sdk_name());
        writeln!(
            std::io::stderr(),
            "{verdict:>6}  {sdk}, {}: {what}",
            self.scene
        )
    }

    /// The row of a check; a new one, below that of the check before, if there is none.
    fn place(&mut self, what: &str) -> usize {
        let rows = &mut self.report.rows;
        let is_it = |row: &Row| row.scene == self.scene && row.what == what;
        rows.iter().position(is_it).unwrap_or_else(|| {
            let place = self.last.map_or(rows.len(), |last| last + 1);
            let row = Row {
                scene: self.scene,
                what: what.to_owned(),
                passed: vec![None; self.report.sdks.len()],
            };
            rows.insert(place, row);
            place
        })
    }

    /// What was measured lies in a range.
    pub(crate) fn check_range(
        &mut self,
        what: &str,
        measured: f64,
        range: std::ops::Range<f64>,
    ) -> std::io::Result<()> {
        let is_in = range.contains(&measured);
        if !is_in {
            self.trouble(&format!("{what}: {measured:.2} is not in {range:?}"));
        }
        self.check(what, is_in)
    }

    /// The scene came to no end.
    pub(crate) fn broke(&mut self, error: &anyhow::Error) -> std::io::Result<()> {
        self.trouble(&format!("{error:#}"));
        self.check("breaks off", false)
    }

    fn trouble(&mut self, trouble: &str) {
        let trouble = format!("{}, {}: {trouble}", self.sdk_name(), self.scene);
        self.report.troubles.push(trouble);
    }

    fn sdk_name(&self) -> &'static str {
        self.report.sdks[self.sdk].name()
    }
}

fn word(passed: Option<bool>) -> &'static str {
    match passed {
        Some(true) => "ok",
        Some(false) => "FAILED",
        None => "-",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_only_one_sdk_has_stands_where_it_was_made() {
        let mut report = Report::new(vec![Sdk::Python, Sdk::JavaScript]);
        let mut make = |sdk, scene, checks: &[(&str, bool)]| {
            let mut notes = report.notes(sdk, scene);
            for &(what, passed) in checks {
                notes.check(what, passed).unwrap();
            }
        };
        make(0, "first", &[("one", true), ("three", true)]);
        make(0, "second", &[("one", true)]);
        make(1, "first", &[("one", false), ("two", true)]);
        let rows: Vec<_> = report.rows.iter().map(|row| row.what.as_str()).collect();
        assert_eq!(rows, ["one", "two", "three", "one"]);
        let row = format!(
            "{:<20} {:<50} {:>10} {:>10}\n",
            "first", "one", "ok", "FAILED"
        );
        assert!(report.table().contains(&row));
        assert_eq!((report.count(true), report.count(false)), (4, 1));
    }
}
