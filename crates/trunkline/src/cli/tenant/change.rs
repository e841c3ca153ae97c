//! `trunkline tenant enable|disable|remove`

use std::io::{BufRead, IsTerminal};

use anyhow::Context;
use trunkline_store::{ChangeError, Enablement, Expected, Store};

use crate::cli::actor::actor;
use crate::cli::report;

/// Whether somebody is asked before something is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consent {
    /// The command line says yes.
    Given,
    /// At a terminal; elsewhere nobody could answer, and the command is the word.
    Asked,
}

pub(super) async fn enable(store: &Store, slug: &str) -> anyhow::Result<()> {
    let version = store
        .set_enabled(slug, Enablement::Enabled, Expected::Any, &actor())
        .await?;
    report::result(&format!("{slug} is enabled (version {version})\n"))
}

pub(super) async fn disable(store: &Store, slug: &str) -> anyhow::Result<()> {
    let version = store
        .set_enabled(slug, Enablement::Disabled, Expected::Any, &actor())
        .await?;
    report::result(&format!("{slug} is disabled (version {version})\n"))
}

pub(super) async fn remove(store: &Store, slug: &str, consent: Consent) -> anyhow::Result<()> {
    let stdin = std::io::stdin();
    if consent == Consent::Asked && stdin.is_terminal() {
        let row = store.tenant(slug).await?;
        row.ok_or_else(|| ChangeError::NoSuchTenant {
            slug: slug.to_owned(),
        })?;
        report::note(&format!(
            "{slug} will be removed and its secrets erased, and it cannot be brought back; to stop \
             its calls only, use `trunkline tenant disable`. Remove it? [y/N]"
        ));
        anyhow::ensure!(says_yes(stdin.lock())?, "{slug} is not removed");
    }
    store.remove_tenant(slug, Expected::Any, &actor()).await?;
    report::result(&format!("{slug} is removed\n"))
}

fn says_yes(mut input: impl BufRead) -> anyhow::Result<bool> {
    let mut answer = String::new();
    input
        .read_line(&mut answer)
        .context("the answer cannot be read")?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_one() {
        for (answer, yes) in [
            ("y\n", true),
            ("Yes\n", true),
            ("n\n", false),
            ("\n", false),
            ("", false),
            ("yesterday\n", false),
        ] {
            assert_eq!(says_yes(answer.as_bytes()).unwrap(), yes, "{answer:?}");
        }
    }
}
