//! Obtains what the tests and the demo start: livekit-server and Postgres. Both
//! are looked for on this machine first; what is missing is built or downloaded
//! once and kept in the user's cache.

use std::io::{IsTerminal as _, Write as _};

use anyhow::Context as _;
use trunkline_testbed::{livekit, postgres};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    trunkline_testbed::install_crypto();
    let server = livekit::prepare().await.context("no livekit-server")?;
    let database = postgres::prepare().await.context("no Postgres")?;
    writeln!(
        std::io::stdout(),
        "livekit-server: {}\npostgres: {}",
        server.display(),
        database.display()
    )?;
    Ok(())
}
