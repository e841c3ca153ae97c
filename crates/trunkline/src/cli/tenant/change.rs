//! `trunkline tenant enable|disable|remove`

use trunkline_store::{Enablement, Store};

use crate::cli::report;

pub(super) async fn enable(store: &Store, slug: &str) -> anyhow::Result<()> {
    let version = store.set_enabled(slug, Enablement::Enabled).await?;
    report::result(&format!("{slug} is enabled (version {version})\n"))
}

pub(super) async fn disable(store: &Store, slug: &str) -> anyhow::Result<()> {
    let version = store.set_enabled(slug, Enablement::Disabled).await?;
    report::result(&format!("{slug} is disabled (version {version})\n"))
}

pub(super) async fn remove(store: &Store, slug: &str) -> anyhow::Result<()> {
    store.remove_tenant(slug).await?;
    report::result(&format!("{slug} is removed\n"))
}
