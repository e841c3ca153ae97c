//! `trunkline tenant test`

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use tokio_util::sync::CancellationToken;
use trunkline_call::{Check, CheckReport, Registration, Services};
use trunkline_callconfig::Lookup;
use trunkline_store::{ChangeError, Store, TenantRow};

use super::Output;
use super::view::TenantView;
use crate::cli::report;
use crate::config::Config;
use crate::wiring;

/// All checks together. Nothing waits for it but a person, who sees a terminal.
const LIMIT: Duration = Duration::from_secs(70);

pub(super) async fn run(
    config: &Config,
    store: &Store,
    slug: &str,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let row = store
        .tenant(slug)
        .await?
        .ok_or_else(|| ChangeError::NoSuchTenant {
            slug: slug.to_owned(),
        })?;
    let found = match &row.tenant {
        Ok(tenant) => {
            let registrations = registrations(store, &row).await?;
            let services = services(config)?;
            services.check(tenant, &registrations, LIMIT).await
        }
        Err(problem) => {
            CheckReport::of_unusable_row(&row.slug, row.version.0, &problem.to_string())
        }
    };
    if output.json {
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

async fn registrations(store: &Store, row: &TenantRow) -> anyhow::Result<Vec<Registration>> {
    let states = store.states().await?;
    let view = TenantView::new(row, &states, Utc::now());
    Ok(view
        .replicas
        .into_iter()
        .map(|replica| Registration {
            replica: replica.replica,
            state: replica.state,
            reason: replica.reason,
            version: replica.version,
        })
        .collect())
}

/// What a call of this process would be run with.
fn services(config: &Config) -> anyhow::Result<Services> {
    let models = trunkline_realtime::Connector::new(config.realtime.clone())
        .context("TLS towards models cannot be set up")?;
    Ok(Services::new(
        Lookup::new(&config.call_config)?,
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
