//! `trunkline tenant history`

use chrono::SecondsFormat;
use clap::Args;
use serde_json::Value;
use trunkline_domain::TenantId;
use trunkline_store::{ChangeError, HistoryEntry, Store};
use uuid::Uuid;

use crate::cli::report;

/// As many as the store gives at once.
const PAGE: u32 = 200;

/// The longest value that a table shows, in characters. JSON shows all of it.
const MAX_VALUE_CHARS: usize = 60;

/// As many as are named of the tenants that had a name before.
const MAX_EARLIER: u32 = 20;

/// A name that is free again can be given to another tenant. Then the history is that of the
/// tenant that has it now, and the ids of those before are told: --id shows theirs.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The tenant's name; that of one that was removed as well
    #[arg(required_unless_present = "id", conflicts_with = "id")]
    slug: Option<String>,
    /// The tenant's id in place of its name
    #[arg(long, value_name = "ID")]
    id: Option<Uuid>,
    /// How many changes: the latest ones
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let (tenant, earlier) = match (self.id, &self.slug) {
            (Some(id), _) => (TenantId(id), Vec::new()),
            (None, slug) => find(store, slug.as_deref().unwrap_or_default()).await?,
        };
        let mut entries: Vec<HistoryEntry> = Vec::new();
        let (mut left, mut before) = (self.limit, None);
        while left > 0 {
            let page = store.tenant_history(tenant, before, left.min(PAGE)).await?;
            left = left.saturating_sub(u32::try_from(page.entries.len()).unwrap_or(left));
            entries.extend(page.entries);
            match page.next {
                Some(next) => before = Some(next),
                None => break,
            }
        }
        if let (Some(id), true) = (self.id, entries.is_empty()) {
            let slug = format!("with the id {id}");
            return Err(ChangeError::NoSuchTenant { slug }.into());
        }
        entries.reverse();
        for id in earlier {
            report::note(&format!(
                "another tenant had this name before; its history: trunkline tenant history --id {id}"
            ));
        }
        if self.json {
            return report::json(&entries);
        }
        if entries.is_empty() {
            report::note("nothing was changed since the history is written");
        }
        let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
        report::result(&report::table(
            &["AT", "VERSION", "WHO", "WHAT", "CHANGES"],
            &rows,
        ))
    }
}

/// The tenant that has the name, or had it last, and those that had it before.
async fn find(store: &Store, slug: &str) -> anyhow::Result<(TenantId, Vec<TenantId>)> {
    let Some(tenant) = store.tenant_id(slug).await? else {
        let slug = slug.to_owned();
        return Err(ChangeError::NoSuchTenant { slug }.into());
    };
    let mut earlier = store.tenants_once_named(slug, MAX_EARLIER).await?;
    earlier.retain(|id| *id != tenant);
    Ok((tenant, earlier))
}

fn row(entry: &HistoryEntry) -> Vec<String> {
    vec![
        entry.at.to_rfc3339_opts(SecondsFormat::Secs, true),
        entry.version.to_string(),
        entry.actor.clone(),
        entry.operation.clone(),
        changes(&entry.changes),
    ]
}

/// `max_calls 5 → 6, livekit_api_secret`
pub(super) fn changes(changes: &Value) -> String {
    let Value::Object(columns) = changes else {
        return String::new();
    };
    let described = columns.iter().map(|(column, change)| {
        match (change.get("old"), change.get("new")) {
            (Some(Value::Null), Some(new)) => format!("{column} {}", short(new)),
            (Some(old), Some(new)) => format!("{column} {} → {}", short(old), short(new)),
            // Of a secret no more is known.
            _ => column.clone(),
        }
    });
    described.collect::<Vec<_>>().join(", ")
}

fn short(value: &Value) -> String {
    let text = match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    trunkline_domain::shorten(&text, MAX_VALUE_CHARS).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_are_told_in_one_line() {
        let told = changes(&json!({
            "agent_names": {"old": ["a"], "new": ["a", "b"]},
            "livekit_api_secret": {"changed": true},
            "max_calls": {"old": null, "new": 6},
            "max_call_minutes": {"old": 5, "new": null},
        }));
        assert_eq!(
            told,
            r#"agent_names ["a"] → ["a","b"], livekit_api_secret, max_call_minutes 5 → none, max_calls 6"#
        );
    }
}
