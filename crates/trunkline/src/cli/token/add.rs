//! `trunkline token add`

use anyhow::Context as _;
use chrono::Utc;
use clap::Args;
use secrecy::ExposeSecret as _;
use trunkline_domain::AccessScope;
use trunkline_store::{NewToken, Store};

use super::expiry::Expiry;
use super::note;
use crate::cli::actor::actor;
use crate::cli::report;

/// The token goes to standard output and what there is to know of it to standard error, so that
/// `trunkline token add … > file` keeps it off the screen.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// A name for people: who or what will use it
    name: String,
    /// read; operator: also switches tenants, hangs up, drains; admin: also writes tenants and tokens
    #[arg(long)]
    scope: AccessScope,
    /// The only tenant that it shall see. Left out: it sees all
    #[arg(long, value_name = "SLUG")]
    tenant: Option<String>,
    /// When it shall end by itself: 90d, 12h, or 2027-01-31T00:00:00Z. Left out: never
    #[arg(long, value_name = "TIME")]
    expires: Option<Expiry>,
}

impl Arguments {
    pub(super) fn names_a_tenant(&self) -> bool {
        self.tenant.is_some()
    }

    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let tenant_id = match &self.tenant {
            None => None,
            Some(slug) => {
                let row = store.tenant_record(slug).await?;
                let row = row.with_context(|| {
                    format!("there is no tenant {slug}; see `trunkline tenant list`")
                })?;
                Some(row.id)
            }
        };
        let expires_at = self
            .expires
            .map(|end| end.from(Utc::now()).context("--expires is too far away"))
            .transpose()?;
        let issued = store
            .add_api_token(NewToken {
                name: self.name,
                scope: self.scope,
                tenant_id,
                expires_at,
                created_by: actor().to_string(),
            })
            .await?;
        let info = &issued.info;
        note(store, "token.add", &info.name, info.tenant_id).await;
        let whom = match &self.tenant {
            Some(slug) => format!("of tenant {slug}"),
            None => "of all tenants".to_owned(),
        };
        let end = info.expires_at.map_or_else(String::new, |at| {
            format!(", until {}", at.format("%Y-%m-%d %H:%M UTC"))
        });
        report::note(&format!(
            "token {}: scope {}, {whom}{end}. It is shown this once:",
            info.name, info.scope
        ));
        report::result(&format!("{}\n", issued.token.expose_secret()))
    }
}
