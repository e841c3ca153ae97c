//! `trunkline tenant import`

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use trunkline_store::{ImportAction, ImportError, ImportMode, Imported, Store};

use super::document::{self, Entry, Versions};
use super::history;
use crate::cli::actor::actor;
use crate::cli::report;
use crate::files::{self, FileError};

/// The largest document that is read, in bytes: 10,000 tenants with some kilobytes each.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// How many problems are told at once, so that the first can still be read.
const MAX_PROBLEMS: usize = 100;

/// Reads a document as `tenant export` writes it, and brings the tenants to what it says, all of
/// them or none. A field that is left out stays as it is, or has its default in a new tenant; null
/// takes away what a tenant can be without. Tenants that the document does not name stay.
///
/// A secret is a text, or {"from": "env:NAME"} or {"from": "file:PATH"}. Left out, an existing
/// tenant keeps its own.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trunkline tenant import --dry-run tenants.json
  trunkline tenant export acme | jq '.tenants[].max_calls = 20' | trunkline tenant import -")]
pub(in crate::cli) struct Arguments {
    /// The document, or - for standard input
    file: PathBuf,
    /// Check everything and tell what would change, without changing it
    #[arg(long)]
    dry_run: bool,
    /// Import only if every tenant is still of the version that the document tells
    #[arg(long)]
    check_versions: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    dry_run: bool,
    tenants: &'a [Imported],
}

impl Arguments {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let versions = if self.check_versions {
            Versions::Checked
        } else {
            Versions::Ignored
        };
        let entries = match document::parse(&read(&self.file)?, versions) {
            Ok(entries) => entries,
            Err(problems) => bail!(refusal(&problems)),
        };
        let names: Vec<String> = entries.iter().map(Entry::name).collect();
        let entries = entries.into_iter().map(|entry| entry.import).collect();
        let mode = if self.dry_run {
            ImportMode::Rehearse
        } else {
            ImportMode::Apply
        };
        let imported = match store.import_tenants(entries, mode, &actor()).await {
            Err(ImportError::Refused(refused)) => {
                let problems: Vec<String> = refused
                    .iter()
                    .flat_map(|entry| {
                        let name = &names[entry.index];
                        entry.problems.iter().map(move |p| format!("{name}: {p}"))
                    })
                    .collect();
                bail!(refusal(&problems));
            }
            other => other?,
        };
        if self.json {
            return report::json(&Report {
                dry_run: self.dry_run,
                tenants: &imported,
            });
        }
        let rows: Vec<Vec<String>> = imported.iter().map(row).collect();
        report::result(&report::table(&["TENANT", "WHAT", "CHANGES"], &rows))?;
        if self.dry_run {
            report::note("nothing was changed: this was a dry run");
        }
        Ok(())
    }
}

fn row(imported: &Imported) -> Vec<String> {
    let what = match imported.action {
        ImportAction::Created => "created",
        ImportAction::Changed => "changed",
        ImportAction::Unchanged => "unchanged",
    };
    vec![
        imported.slug.clone(),
        what.to_owned(),
        history::changes(&Value::Object(imported.changes.clone())),
    ]
}

/// One to a line, as they are mended.
fn refusal(problems: &[String]) -> String {
    let mut text = "nothing was imported".to_owned();
    for problem in problems.iter().take(MAX_PROBLEMS) {
        text.push_str("\n  ");
        text.push_str(&report::one_line(problem));
    }
    if let Some(more @ 1..) = problems.len().checked_sub(MAX_PROBLEMS) {
        text.push_str(&format!("\n  and {more} more"));
    }
    text
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let (name, text) = if file.as_os_str() == "-" {
        let text = files::bounded(std::io::stdin().lock(), MAX_BYTES);
        ("standard input".to_owned(), text)
    } else {
        let text = files::read_bounded(file, MAX_BYTES);
        (file.display().to_string(), text)
    };
    text.map_err(|error| match error {
        FileError::TooLarge { .. } => anyhow::anyhow!("{error}; import it in parts"),
        error => error.into(),
    })
    .with_context(|| format!("{name} cannot be used"))
}
