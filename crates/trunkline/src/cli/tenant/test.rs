//! `trunkline tenant test`

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio_util::sync::CancellationToken;
use trunkline_call::{Check, CheckReport, SampleCall, Services};
use trunkline_domain::PhoneNumber;
use trunkline_store::{ChangeError, Store};

use super::view::registrations;
use crate::cli::number::number;
use crate::cli::report;
use crate::config::Config;
use crate::wiring;

/// All checks together. Nothing waits for it but a person, who sees a terminal.
const LIMIT: Duration = Duration::from_secs(70);

/// The backend is asked about a sample of a call that comes in, marked as a test. No phone rings.
///
/// The exit code is 1 when something failed; a warning is none.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  trunkline tenant test acme --to +15550001111")]
pub(in crate::cli) struct Arguments {
    /// The tenant's name
    slug: String,
    /// The sample's caller [default: +12015550123, a number for fiction]
    #[arg(long, value_name = "NUMBER", value_parser = number)]
    from: Option<PhoneNumber>,
    /// The number that the sample calls, where the backend goes by it [default: +12015550199, a
    /// number for fiction]
    #[arg(long, value_name = "NUMBER", value_parser = number)]
    to: Option<PhoneNumber>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) async fn run(self, config: &Config, store: &Store) -> anyhow::Result<ExitCode> {
        let row = store.tenant(&self.slug).await?;
        let row = row.ok_or(ChangeError::NoSuchTenant { slug: self.slug })?;
        let found = match &row.tenant {
            Ok(tenant) => {
                let default = SampleCall::default();
                let sample = SampleCall {
                    from: self.from.unwrap_or(default.from),
                    to: self.to.unwrap_or(default.to),
                };
                let registrations = registrations(store, &row).await?;
                let services = services(config)?;
                services.check(tenant, &registrations, &sample, LIMIT).await
            }
            Err(problem) => {
                CheckReport::of_unusable_row(&row.slug, row.version.0, &problem.to_string())
            }
        };
        if self.json {
            report::json(&found)?;
        } else {
            report::result(&table(&found))?;
        }
        Ok(if found.has_failed() {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}

/// What a call of this process would be run with.
fn services(config: &Config) -> anyhow::Result<Services> {
    let models = trunkline_realtime::Connector::new(config.realtime.clone())
        .context("TLS towards models cannot be set up")?;
    let models = trunkline_realtime::Pool::new(models, &config.realtime);
    Ok(Services::new(
        wiring::lookup(config)?,
        models,
        wiring::default_provider(config),
        CancellationToken::new(),
    ))
}

fn table(found: &CheckReport) -> String {
    let line = |check: &Check| {
        let words = match &check.remedy {
            Some(remedy) => format!("{}. To do: {remedy}", check.detail),
            None => check.detail.clone(),
        };
        vec![
            check.name.as_str().to_owned(),
            check.status.as_str().to_owned(),
            words,
        ]
    };
    let rows: Vec<Vec<String>> = found.checks.iter().map(line).collect();
    report::table(&["CHECK", "RESULT", "FOUND"], &rows)
}
