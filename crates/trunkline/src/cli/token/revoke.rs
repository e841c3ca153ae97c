//! `trunkline token revoke`

use anyhow::Context as _;
use trunkline_store::Store;

use super::note;
use crate::cli::actor::actor;
use crate::cli::report;

pub(super) async fn run(store: &Store, name: &str) -> anyhow::Result<()> {
    let revoked = store.revoke_api_token(name, actor().as_str()).await?;
    let name = revoked.with_context(|| {
        format!("there is no token {name} in force; see `trunkline token list`")
    })?;
    note(store, "token.revoke", &name, None).await;
    report::result(&format!("{name} is revoked\n"))
}
