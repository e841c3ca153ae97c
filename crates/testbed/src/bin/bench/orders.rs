//! How a process that obeys reads its orders and writes its answers.

use std::io::{BufRead as _, Write as _};

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The next order; `None` when whoever gave them has gone.
pub(crate) async fn next<T: DeserializeOwned>() -> anyhow::Result<Option<T>> {
    let line = tokio::task::spawn_blocking(|| std::io::stdin().lock().lines().next())
        .await?
        .transpose()
        .context("cannot read orders")?;
    line.map(|line| serde_json::from_str(&line).with_context(|| format!("no order: {line:?}")))
        .transpose()
}

/// Writes an answer's line.
pub(crate) fn answer(answer: &impl Serialize) -> anyhow::Result<()> {
    let line = serde_json::to_string(answer)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}
