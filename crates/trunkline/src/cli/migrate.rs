//! `trunkline migrate`

use std::process::ExitCode;

use crate::config::Config;
use crate::wiring;

pub(super) async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let store = wiring::open_store_without_keys(config)?;
    let outcome = store.migrate().await;
    store.close().await;
    outcome?;
    super::report::result("the database is up to date\n")?;
    Ok(ExitCode::SUCCESS)
}
