//! `trunkline openapi`

use std::process::ExitCode;

use super::report;

pub(super) fn run() -> anyhow::Result<ExitCode> {
    report::result(&trunkline_admin::api::description())?;
    Ok(ExitCode::SUCCESS)
}
