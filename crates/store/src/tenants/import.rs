//! Many tenants are brought to what a document says, all of them or none.
//!
//! Everything is done in one transaction: an entry that cannot be taken undoes the
//! others, and every entry is looked at first, so that all that is wrong is told at
//! once. A rehearsal is the same with an undo at its end; the database's own checks
//! have spoken then, and nobody was told of a change.

use std::collections::HashMap;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::{Connection as _, PgConnection};
use trunkline_domain::{ApologyAudio, InvalidTenant, TenantFields, TenantId};
use uuid::Uuid;

use super::actor::Actor;
use super::change::{ChangeError, Expected, hold};
use super::new::{AddError, NewTenant, Sealed, insert};
use super::read::{Recordings, Selection, select};
use super::record::without_login;
use super::strict::judge_new;
use super::twin::twins;
use super::update::{SealedChanges, TenantChange, check, write};
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::lease::Lease;
use crate::seal::Column;
use crate::store::Store;

/// An entry costs three statements, about a millisecond: ten thousand take some
/// ten seconds, and a slow database several times as long.
const LIMIT: Duration = Duration::from_secs(120);

/// What one tenant is to be.
#[derive(Debug, Clone)]
pub struct TenantImport {
    /// Its name. A tenant that there is not is added.
    pub slug: String,
    /// What is told of it; the rest stays, or has its default. Its slug stays.
    pub change: TenantChange,
    /// The version that it must have, if there is one.
    pub expected: Expected,
    /// The secrets that it had where the document was made. A new tenant must be
    /// given them, or told to be without.
    pub had_secrets: Vec<String>,
    /// Whether it had an apology of its own there, which the document does not hold.
    pub had_apology: bool,
}

/// Whether it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportMode {
    /// All of it.
    Apply,
    /// Only what would be done is told.
    Rehearse,
}

/// What was done with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportAction {
    /// There was no such tenant.
    Created,
    /// It was another one.
    Changed,
    /// It was so already. It is of the same version still.
    Unchanged,
}

/// An entry that was taken.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Imported {
    /// The tenant.
    pub slug: String,
    /// What was done.
    pub action: ImportAction,
    /// Its version now.
    pub version: i64,
    /// Old and new value of each column that changed, as in the history. Of a secret
    /// only that it changed.
    pub changes: Map<String, Value>,
}

/// An entry that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedImport {
    /// Its place, from 0.
    pub index: usize,
    /// All that is wrong with it, each with the field's name. Holds no secret.
    pub problems: Vec<String>,
}

/// Nothing was imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Entries cannot be taken.
    #[error("{} entries cannot be imported", .0.len())]
    Refused(Vec<RefusedImport>),
    /// The database was away, or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Brings tenants to what is told of them, all or none. New secrets reach the
    /// database sealed; those that are not told of stay.
    ///
    /// # Errors
    /// When an entry cannot be taken (all such are told), or the database is away or
    /// refuses.
    pub async fn import_tenants(
        &self,
        entries: Vec<TenantImport>,
        mode: ImportMode,
        actor: &Actor,
    ) -> Result<Vec<Imported>, ImportError> {
        let keyring = &self.keyring;
        let lease = Lease::from(&self.pool).await?;
        lease
            .run(LIMIT, async |connection: &mut PgConnection| {
                let mut transaction = connection.begin().await.map_err(StoreError::from)?;
                actor.sign(&mut transaction).await?;
                let taken = take_all(&mut transaction, keyring, entries, actor).await;
                if taken.is_ok() && mode == ImportMode::Apply {
                    transaction.commit().await.map_err(StoreError::from)?;
                } else {
                    transaction.rollback().await.map_err(StoreError::from)?;
                }
                taken
            })
            .await
    }
}

async fn take_all(
    transaction: &mut PgConnection,
    keyring: &Keyring,
    entries: Vec<TenantImport>,
    actor: &Actor,
) -> Result<Vec<Imported>, ImportError> {
    let mut in_order: Vec<(usize, TenantImport)> = entries.into_iter().enumerate().collect();
    // Two imports at once lock the same rows in the same order.
    in_order.sort_by(|(_, a), (_, b)| a.slug.cmp(&b.slug));
    let mut taken = Vec::with_capacity(in_order.len());
    let mut refused = Vec::new();
    let mut places: HashMap<Uuid, usize> = HashMap::new();
    for (index, entry) in in_order {
        match take(transaction, keyring, entry, actor).await {
            Ok((id, imported)) => {
                places.insert(id.0, index);
                taken.push((index, imported));
            }
            Err(Refusal::Entry(problems)) => refused.push(RefusedImport { index, problems }),
            Err(Refusal::Database(StoreError::Violated(violation))) => {
                // The transaction is done for: what comes behind cannot be looked at.
                let problems = vec![violation.to_string()];
                refused.push(RefusedImport { index, problems });
                break;
            }
            Err(Refusal::Database(error)) => return Err(error.into()),
        }
    }
    if refused.is_empty() {
        // As all of them are to be: names may change hands within one document.
        let ids: Vec<Uuid> = places.keys().copied().collect();
        let same = twins(transaction, &ids).await?;
        refused.extend(same.into_iter().map(|twin| RefusedImport {
            index: places.get(&twin.id.0).copied().unwrap_or_default(),
            problems: vec![twin.to_string()],
        }));
    }
    if refused.is_empty() {
        taken.sort_by_key(|(index, _)| *index);
        Ok(taken.into_iter().map(|(_, imported)| imported).collect())
    } else {
        refused.sort_by_key(|refused| refused.index);
        Err(ImportError::Refused(refused))
    }
}

enum Refusal {
    Entry(Vec<String>),
    Database(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Database(error)
    }
}

impl From<InvalidTenant> for Refusal {
    fn from(invalid: InvalidTenant) -> Self {
        Self::Entry(invalid.problems)
    }
}

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Invalid(invalid) => invalid.into(),
            ChangeError::Store(error) => Self::Database(error),
            other => Self::Entry(vec![other.to_string()]),
        }
    }
}

async fn take(
    transaction: &mut PgConnection,
    keyring: &Keyring,
    entry: TenantImport,
    actor: &Actor,
) -> Result<(TenantId, Imported), Refusal> {
    match hold(transaction, &entry.slug, entry.expected).await {
        Ok((id, version)) => {
            // Only what is to be told from another recording is read.
            let recordings = match entry.change.apology_audio {
                Some(_) => Recordings::Read,
                None => Recordings::Left,
            };
            let selection = Selection {
                recordings,
                ..Selection::of(&entry.slug)
            };
            let rows = select(transaction, selection).await?;
            let Some(row) = rows.into_iter().next() else {
                unreachable!("the row is held by this transaction");
            };
            let (now, unopened) = row.into_fields(keyring);
            let mut change = entry.change;
            let mut changes = keep_same_secrets(&mut change, &now);
            let fields = check(&change, now.clone(), &unopened, actor)?;
            changes.extend(differences(&now, &fields));
            let sealed = SealedChanges::of(keyring, id, &change)?;
            let action = if changes.is_empty() {
                ImportAction::Unchanged
            } else {
                ImportAction::Changed
            };
            let new_version = write(transaction, &fields, &change, sealed).await?;
            let imported = Imported {
                slug: entry.slug,
                action,
                version: new_version.unwrap_or(version).0,
                changes,
            };
            Ok((id, imported))
        }
        Err(ChangeError::NoSuchTenant { .. }) => create(transaction, keyring, entry).await,
        Err(error) => Err(error.into()),
    }
}

async fn create(
    transaction: &mut PgConnection,
    keyring: &Keyring,
    entry: TenantImport,
) -> Result<(TenantId, Imported), Refusal> {
    let (slug, mut problems) = (entry.slug.clone(), missing(&entry));
    let id = TenantId(Uuid::new_v4());
    let new = NewTenant::of(entry.slug, entry.change);
    if let Err(invalid) = judge_new(&new.fields(id)) {
        // What is missing was told already, in better words.
        let told = |problem: &String| {
            let field = problem.split(' ').next();
            problems.iter().any(|told| told.split(' ').next() == field)
        };
        let others: Vec<String> = invalid.problems.into_iter().filter(|p| !told(p)).collect();
        problems.extend(others);
    }
    if !problems.is_empty() {
        return Err(Refusal::Entry(problems));
    }
    let sealed = Sealed::of(keyring, id, &new)
        .map_err(|error: AddError| Refusal::Entry(vec![error.to_string()]))?;
    let version = insert(transaction, id, &new, &sealed).await?;
    let version = version.ok_or_else(|| {
        let taken = "slug is being taken by somebody else just now; import again";
        Refusal::Entry(vec![taken.to_owned()])
    })?;
    let imported = Imported {
        slug,
        action: ImportAction::Created,
        version: version.0,
        changes: Map::new(),
    };
    Ok((id, imported))
}

/// What a new tenant must be given, and was not.
fn missing(entry: &TenantImport) -> Vec<String> {
    let change = &entry.change;
    let mut missing = Vec::new();
    if let Expected::Version(version) = entry.expected {
        missing.push(format!(
            "version is {version} in the document, and there is no such tenant here: it was \
             removed, or this is another database"
        ));
    }
    if change.livekit_url.is_none() {
        missing.push("livekit_url is missing: a new tenant needs it".to_owned());
    }
    if change.livekit_api_key.is_none() {
        missing.push("livekit_api_key is missing: a new tenant needs it".to_owned());
    }
    if change.livekit_api_secret.is_none() {
        missing.push(
            "livekit_api_secret is missing, and there is no such tenant yet whose secret could be \
             kept: add it, as a text or as {\"from\": \"env:NAME\"} or {\"from\": \"file:PATH\"}"
                .to_owned(),
        );
    }
    let optional = [
        (
            Column::CallConfigBearer,
            change.call_config_bearer.is_some(),
        ),
        (
            Column::CallConfigSigningSecret,
            change.call_config_signing_secret.is_some(),
        ),
        (Column::ProviderApiKey, change.provider_api_key.is_some()),
        (
            Column::FallbackProviderApiKey,
            change.fallback_provider_api_key.is_some(),
        ),
    ];
    for (column, is_told) in optional {
        let name = column.name();
        if !is_told && entry.had_secrets.iter().any(|had| had == name) {
            missing.push(format!(
                "{name} was set where the document was made, and is not in it: add it, as a text \
                 or as {{\"from\": \"env:NAME\"}} or {{\"from\": \"file:PATH\"}}, or null to do \
                 without"
            ));
        }
    }
    if entry.had_apology && change.apology_audio.is_none() {
        missing.push(
            "apology_audio was set where the document was made, and is not in it: add it as \
             {\"from\": \"file:PATH\"}, or null to do without"
                .to_owned(),
        );
    }
    missing
}

/// Takes the secrets out of a change that are the same as now: sealed anew they would
/// make a new version. What is told of the others is that they change.
fn keep_same_secrets(change: &mut TenantChange, now: &TenantFields) -> Map<String, Value> {
    fn same(a: Option<&SecretString>, b: Option<&SecretString>) -> bool {
        a.map(|s| s.expose_secret()) == b.map(|s| s.expose_secret())
    }
    if same(
        change.livekit_api_secret.as_ref(),
        Some(&now.livekit_api_secret),
    ) {
        change.livekit_api_secret = None;
    }
    let mut changed = Map::new();
    let mut told = |column: Column| {
        changed.insert(column.name().to_owned(), json!({ "changed": true }));
    };
    if change.livekit_api_secret.is_some() {
        told(Column::LiveKitApiSecret);
    }
    for (column, new, old) in [
        (
            Column::CallConfigBearer,
            &mut change.call_config_bearer,
            &now.call_config_bearer,
        ),
        (
            Column::CallConfigSigningSecret,
            &mut change.call_config_signing_secret,
            &now.call_config_signing_secret,
        ),
        (
            Column::ProviderApiKey,
            &mut change.provider_api_key,
            &now.provider_api_key,
        ),
        (
            Column::FallbackProviderApiKey,
            &mut change.fallback_provider_api_key,
            &now.fallback_provider_api_key,
        ),
    ] {
        if new
            .as_ref()
            .is_some_and(|new| same(new.as_ref(), old.as_ref()))
        {
            *new = None;
        }
        if new.is_some() {
            told(column);
        }
    }
    changed
}

/// Old and new value of what is not the same, without secrets.
fn differences(old: &TenantFields, new: &TenantFields) -> Map<String, Value> {
    let pairs = shown(old).into_iter().zip(shown(new));
    // Two recordings can have the same length.
    let is_other_apology = old.apology_audio != new.apology_audio;
    let changed = pairs.filter(|((name, old), (_, new))| {
        old != new || (is_other_apology && *name == "apology_audio")
    });
    changed
        .map(|((name, old), (_, new))| (name.to_owned(), json!({ "old": old, "new": new })))
        .collect()
}

fn shown(fields: &TenantFields) -> [(&'static str, Value); 20] {
    let url = |url: &Option<String>| url.as_deref().map(without_login);
    let length = |apology: &Option<ApologyAudio>| {
        let length = apology.as_ref().map(|apology| apology.as_bytes().len());
        length.map(|length| format!("{length} bytes"))
    };
    let config: Value = serde_json::from_str(&fields.default_config).unwrap_or_default();
    [
        ("enabled", json!(fields.enabled)),
        ("livekit_url", json!(without_login(&fields.livekit_url))),
        ("livekit_api_key", json!(fields.livekit_api_key)),
        ("agent_names", json!(fields.agent_names)),
        ("deployment", json!(fields.deployment)),
        ("call_config_url", json!(url(&fields.call_config_url))),
        (
            "call_config_deadline_ms",
            json!(fields.call_config_deadline_ms),
        ),
        ("answer_deadline_ms", json!(fields.answer_deadline_ms)),
        ("default_config", config),
        ("provider", json!(fields.provider)),
        ("provider_base_url", json!(url(&fields.provider_base_url))),
        ("fallback_provider", json!(fields.fallback_provider)),
        (
            "fallback_provider_base_url",
            json!(url(&fields.fallback_provider_base_url)),
        ),
        ("fallback_model", json!(fields.fallback_model)),
        ("fallback_voice", json!(fields.fallback_voice)),
        ("fallback_transfer_to", json!(fields.fallback_transfer_to)),
        ("apology_audio", json!(length(&fields.apology_audio))),
        ("max_calls", json!(fields.max_calls)),
        ("calls_per_second", json!(fields.calls_per_second)),
        ("max_call_minutes", json!(fields.max_call_minutes)),
    ]
}

impl NewTenant {
    /// A tenant that is told of as a change of what a plain `INSERT` gives.
    fn of(slug: String, change: TenantChange) -> Self {
        let new = Self::new(
            slug,
            change.livekit_url.unwrap_or_default(),
            change.livekit_api_key.unwrap_or_default(),
            change.livekit_api_secret.unwrap_or_default(),
        );
        Self {
            enabled: change.enabled.unwrap_or(new.enabled),
            agent_names: change.agent_names.unwrap_or(new.agent_names),
            deployment: change.deployment.flatten(),
            call_config_url: change.call_config_url.flatten(),
            call_config_bearer: change.call_config_bearer.flatten(),
            call_config_signing_secret: change.call_config_signing_secret.flatten(),
            call_config_deadline_ms: change
                .call_config_deadline_ms
                .unwrap_or(new.call_config_deadline_ms),
            answer_deadline_ms: change.answer_deadline_ms.unwrap_or(new.answer_deadline_ms),
            default_config: change.default_config.unwrap_or(new.default_config),
            provider: change.provider.unwrap_or(new.provider),
            provider_base_url: change.provider_base_url.flatten(),
            provider_api_key: change.provider_api_key.flatten(),
            fallback_provider: change.fallback_provider.flatten(),
            fallback_provider_base_url: change.fallback_provider_base_url.flatten(),
            fallback_provider_api_key: change.fallback_provider_api_key.flatten(),
            fallback_model: change.fallback_model.flatten(),
            fallback_voice: change.fallback_voice.flatten(),
            fallback_transfer_to: change.fallback_transfer_to.flatten(),
            apology_audio: change.apology_audio.flatten(),
            max_calls: change.max_calls.flatten(),
            calls_per_second: change.calls_per_second.flatten(),
            max_call_minutes: change.max_call_minutes.flatten(),
            ..new
        }
    }
}
