//! `trunkline keys …`

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use secrecy::ExposeSecret;
use serde::Serialize;
use trunkline_store::{Keyring, Store};

use super::report;
use crate::config::Config;
use crate::wiring;

/// Rotation looks again for rows that somebody was writing, so often and after so
/// long. A statement of ops takes less.
const ROUNDS: usize = 5;
const BETWEEN_ROUNDS: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print a new sealing key in the form of sealing.keys
    ///
    /// Keep it apart from the database, and keep a copy: without it no tenant's secrets can be
    /// read. To change keys, put the new one before the old one, separated by a comma: the first
    /// seals, all of them open. Then run `trunkline keys rotate`.
    Generate,
    /// List the keys, with how many secrets are sealed with each
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Seal every secret anew with the first key, while replicas serve
    ///
    /// Nothing is reloaded by it. Every replica must have been given the new key before.
    Rotate {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Command {
    /// Whether it needs the configuration.
    pub(super) fn generates(&self) -> bool {
        matches!(self, Self::Generate)
    }

    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        match self {
            Self::Generate => generate(),
            Self::List { json } => {
                let store = wiring::open_store(config).await?;
                let outcome = list(&store, json).await;
                store.close().await;
                outcome.map(|()| ExitCode::SUCCESS)
            }
            Self::Rotate { json } => {
                let store = wiring::open_store(config).await?;
                let outcome = rotate(&store, json).await;
                store.close().await;
                outcome
            }
        }
    }
}

pub(super) fn generate() -> anyhow::Result<ExitCode> {
    let key = Keyring::generate_key()?;
    report::result(&format!("{}\n", key.expose_secret()))?;
    Ok(ExitCode::SUCCESS)
}

/// What a key is for, in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    /// New secrets are sealed with it.
    Seals,
    /// It opens what was sealed with it.
    Opens,
    /// Secrets are sealed with it, and this process does not have it.
    Missing,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::Seals => "seals",
            Self::Opens => "opens",
            Self::Missing => "missing",
        }
    }
}

#[derive(Debug, Serialize)]
struct KeyView {
    key: String,
    role: Role,
    secrets: u64,
}

#[derive(Debug, Serialize)]
struct Keys {
    keys: Vec<KeyView>,
    /// Sealed values that this program did not make.
    unknown: u64,
}

impl Keys {
    async fn read(store: &Store) -> anyhow::Result<Self> {
        let usage = store.key_usage().await?;
        let mut left: BTreeMap<String, u64> = usage.by_key;
        let mut keys: Vec<KeyView> = store
            .key_ids()
            .enumerate()
            .map(|(index, id)| KeyView {
                key: id.to_owned(),
                role: if index == 0 { Role::Seals } else { Role::Opens },
                secrets: left.remove(id).unwrap_or_default(),
            })
            .collect();
        keys.extend(left.into_iter().map(|(key, secrets)| KeyView {
            key,
            role: Role::Missing,
            secrets,
        }));
        Ok(Self {
            keys,
            unknown: usage.unknown,
        })
    }

    fn table(&self) -> String {
        let rows: Vec<Vec<String>> = self
            .keys
            .iter()
            .map(|key| {
                vec![
                    key.key.clone(),
                    key.secrets.to_string(),
                    key.role.as_str().to_owned(),
                ]
            })
            .collect();
        report::table(&["KEY", "SECRETS", "ROLE"], &rows)
    }

    /// Secrets that are not sealed with the first key.
    fn old(&self) -> u64 {
        let old = self.keys.iter().filter(|key| key.role != Role::Seals);
        old.map(|key| key.secrets).sum::<u64>() + self.unknown
    }
}

async fn list(store: &Store, json: bool) -> anyhow::Result<()> {
    let keys = Keys::read(store).await?;
    if json {
        return report::json(&keys);
    }
    if keys.unknown > 0 {
        report::note(&format!(
            "{} sealed values are no envelopes of this program",
            keys.unknown
        ));
    }
    report::result(&keys.table())
}

#[derive(Debug, Serialize)]
struct Rotated {
    resealed: u64,
    /// One text for each secret that could not be sealed anew.
    left: Vec<String>,
    #[serde(flatten)]
    keys: Keys,
}

async fn rotate(store: &Store, json: bool) -> anyhow::Result<ExitCode> {
    let mut resealed = 0;
    let mut round = 1;
    let (left, keys) = loop {
        let mut told = |rows: u64| report::note(&format!("{rows} tenants looked at"));
        let rotation = store.rotate_keys(&mut told).await?;
        resealed += rotation.resealed;
        let left: Vec<String> = rotation
            .left
            .iter()
            .map(|(slug, problem)| format!("{slug}: {problem}"))
            .collect();
        let keys = Keys::read(store).await?;
        // What is old and was not told of is in a row that somebody was writing.
        if keys.old() <= left.len() as u64 || round == ROUNDS {
            break (left, keys);
        }
        round += 1;
        tokio::time::sleep(BETWEEN_ROUNDS).await;
    };
    let is_done = keys.old() == 0;
    let has_others = keys.keys.len() > 1;
    if json {
        report::json(&Rotated {
            resealed,
            left,
            keys,
        })?;
    } else {
        for text in &left {
            report::note(text);
        }
        report::result(&format!("{resealed} secrets sealed anew\n{}", keys.table()))?;
        if is_done {
            report::note(if has_others {
                "every secret is sealed with the first key; the others can be taken out of \
                 sealing.keys, unless a backup of the database needs them"
            } else {
                "every secret is sealed with the one key that there is; to change it, put a new \
                 one before it in sealing.keys"
            });
        } else {
            report::note(&format!(
                "{} secrets are not sealed with the first key; mend what is named above, or run it \
                 again when nobody is writing these rows",
                keys.old()
            ));
        }
    }
    Ok(if is_done {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
