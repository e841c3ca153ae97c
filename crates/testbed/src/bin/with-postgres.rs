//! Runs a command with a private, migrated Postgres in `DATABASE_URL`:
//! `with-postgres MIGRATIONS COMMAND…`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use sqlx::Connection as _;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnection;
use trunkline_testbed::postgres::Postgres;

/// Run a command with a private, migrated Postgres in DATABASE_URL.
#[derive(Parser)]
struct Arguments {
    /// The directory of the migrations
    migrations: PathBuf,
    /// What to run
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let postgres = Postgres::start().await?;
    let url = postgres.create_database("trunkline").await?;
    let mut connection = PgConnection::connect(&url)
        .await
        .context("cannot connect to Postgres")?;
    Migrator::new(arguments.migrations)
        .await
        .context("cannot read the migrations")?
        .run_direct(None, &mut connection, false)
        .await
        .context("cannot migrate")?;
    connection.close().await.context("cannot disconnect")?;

    let (program, rest) = arguments
        .command
        .split_first()
        .context("there is no command")?;
    let status = tokio::process::Command::new(program)
        .args(rest)
        .env("DATABASE_URL", &url)
        .kill_on_drop(true)
        .status()
        .await
        .with_context(|| format!("cannot run {program}"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}
