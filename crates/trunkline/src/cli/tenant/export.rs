//! `trunkline tenant export`

use clap::Args;
use serde_json::{Value, json};
use trunkline_store::{ChangeError, Store, TenantFilter, TenantRecord};

use super::document::{FORMAT, FORMAT_VERSION};
use crate::cli::report;

/// As many as the store gives at once.
const PAGE: u32 = 200;

/// The document is one JSON object. Of secrets it says only which there are, so `tenant import` of
/// it into another database asks for them; into the same one it keeps them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trunkline tenant export > tenants.json
  trunkline tenant export acme | jq '.tenants[].max_calls = 20' | trunkline tenant import -")]
pub(in crate::cli) struct Arguments {
    /// The tenants. Left out: all of them
    #[arg(value_name = "SLUG")]
    slugs: Vec<String>,
}

impl Arguments {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let records = if self.slugs.is_empty() {
            all(store).await?
        } else {
            named(store, self.slugs).await?
        };
        let tenants = records.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        report::pretty_json(&json!({
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "tenants": tenants,
        }))
    }
}

async fn all(store: &Store) -> anyhow::Result<Vec<TenantRecord>> {
    let mut records: Vec<TenantRecord> = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let filter = TenantFilter::default();
        let page = store.tenant_page(&filter, after.as_deref(), PAGE).await?;
        records.extend(page.tenants);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(records),
        }
    }
}

async fn named(store: &Store, slugs: Vec<String>) -> anyhow::Result<Vec<TenantRecord>> {
    let mut records: Vec<TenantRecord> = Vec::new();
    for slug in slugs {
        // Named twice, it is one tenant all the same.
        if records.iter().any(|record| record.slug == slug) {
            continue;
        }
        let record = store.tenant_record(&slug).await?;
        records.push(record.ok_or(ChangeError::NoSuchTenant { slug })?);
    }
    Ok(records)
}

/// What the columns hold, right or wrong.
fn entry(record: &TenantRecord) -> serde_json::Result<Value> {
    let mut entry = json!({
        "slug": record.slug,
        "version": record.version,
        "enabled": record.enabled,
    });
    if let (Value::Object(entry), Value::Object(settings)) =
        (&mut entry, serde_json::to_value(&record.settings)?)
    {
        entry.extend(settings);
    }
    Ok(entry)
}
