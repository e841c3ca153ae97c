//! `trunkline tenant list`

use chrono::{SecondsFormat, Utc};
use trunkline_store::Store;

use super::Output;
use super::view::TenantView;
use crate::cli::report;

pub(super) async fn run(store: &Store, output: &Output) -> anyhow::Result<()> {
    let rows = store.tenants().await?;
    let states = store.states().await?;
    let now = Utc::now();
    let views: Vec<TenantView> = rows
        .iter()
        .map(|row| TenantView::new(row, &states, now))
        .collect();
    if output.json {
        return report::json(&views);
    }
    if views.is_empty() {
        report::note("there are no tenants; add one with `trunkline tenant add`");
    }
    report::result(&table(&views))
}

/// A line for each tenant and replica; one line for a tenant that runs nowhere.
fn table(views: &[TenantView]) -> String {
    let mut rows = Vec::new();
    for view in views {
        let line = |state: &str, replica: &str, since: String, reason: Option<&str>| {
            vec![
                view.slug.clone(),
                view.version.to_string(),
                state.to_owned(),
                replica.to_owned(),
                since,
                reason.unwrap_or_default().to_owned(),
            ]
        };
        // What the row says holds for every replica; since when, each says for itself.
        let own_word = view.state == "parked" || view.state == "disabled";
        if view.replicas.is_empty() {
            rows.push(line(&view.state, "", String::new(), view.reason.as_deref()));
        } else {
            rows.extend(view.replicas.iter().map(|replica| {
                let (state, reason) = if own_word {
                    (&view.state, &view.reason)
                } else {
                    (&replica.state, &replica.reason)
                };
                line(
                    state,
                    &replica.name(),
                    replica.since.to_rfc3339_opts(SecondsFormat::Secs, true),
                    reason.as_deref(),
                )
            }));
        }
    }
    report::table(
        &["TENANT", "VERSION", "STATE", "REPLICA", "SINCE", "REASON"],
        &rows,
    )
}
