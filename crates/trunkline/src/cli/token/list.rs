//! `trunkline token list`

use chrono::{DateTime, SecondsFormat, Utc};
use trunkline_store::{ApiToken, Store};

use crate::cli::report;

pub(super) async fn run(store: &Store, json: bool) -> anyhow::Result<()> {
    let tokens = store.api_tokens().await?;
    if json {
        return report::json(&tokens);
    }
    if tokens.is_empty() {
        report::note("there are no tokens; make one with `trunkline token add`");
    }
    let now = Utc::now();
    let rows: Vec<Vec<String>> = tokens.iter().map(|token| row(token, now)).collect();
    report::result(&report::table(
        &["NAME", "SCOPE", "TENANT", "STATE", "LAST USED", "PREFIX"],
        &rows,
    ))
}

fn row(token: &ApiToken, now: DateTime<Utc>) -> Vec<String> {
    let tenant = match (&token.tenant, token.tenant_id) {
        (Some(slug), _) => slug.clone(),
        (None, Some(_)) => "(gone)".to_owned(),
        (None, None) => "all".to_owned(),
    };
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let state = if token.revoked_at.is_some() {
        "revoked".to_owned()
    } else {
        match token.expires_at {
            Some(at) if at <= now => "expired".to_owned(),
            Some(at) => format!("until {}", time(at)),
            None => "valid".to_owned(),
        }
    };
    vec![
        token.name.clone(),
        token.scope.to_string(),
        tenant,
        state,
        token.last_used_at.map_or_else(|| "never".to_owned(), time),
        format!("tl_{}", token.prefix),
    ]
}
