//! What each replica does with each tenant, for people to read.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use sqlx::postgres::types::PgInterval;
use trunkline_domain::{TenantId, TenantVersion};
use uuid::Uuid;

use crate::error::StoreError;
use crate::store::Store;

/// What a replica has not repeated for so long goes: the replica is gone. So a
/// replica repeats all its reports well within this time.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How recent a word is of a process that runs: one that runs repeats its reports
/// every 30 s.
const RECENT: Duration = Duration::from_secs(45);

/// Between a name and an instance in the column `replica`. A version that knows
/// nothing of instances shows both, and takes back the states of its bare name only.
const INSTANCE_MARK: char = '#';

/// How many characters an instance has.
const INSTANCE_CHARS: usize = 8;

/// Who reports: a process, by its name for people and by what tells it from
/// another process that was given the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reporter {
    /// For people.
    pub name: String,
    /// Drawn by the process as it starts; `None` of a version that draws none.
    pub instance: Option<String>,
}

impl Reporter {
    /// A process of this name that has just started.
    pub fn starting(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            instance: Some(format!("{:08x}", rand::random::<u32>())),
        }
    }

    fn key(&self) -> String {
        match &self.instance {
            Some(instance) => format!("{}{INSTANCE_MARK}{instance}", self.name),
            None => self.name.clone(),
        }
    }

    fn of_key(key: &str) -> Self {
        let is_instance = |text: &str| {
            text.len() == INSTANCE_CHARS && text.bytes().all(|b| b.is_ascii_hexdigit())
        };
        match key.rsplit_once(INSTANCE_MARK) {
            Some((name, instance)) if is_instance(instance) => Self {
                name: name.to_owned(),
                instance: Some(instance.to_owned()),
            },
            _ => Self {
                name: key.to_owned(),
                instance: None,
            },
        }
    }
}

/// What this replica does with a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateReport {
    /// Whose state.
    pub tenant_id: TenantId,
    /// For instance `registered`.
    pub state: String,
    /// Why, where the state has a reason.
    pub reason: Option<String>,
    /// The version that is worked with.
    pub version: Option<TenantVersion>,
    /// When this state began.
    pub since: DateTime<Utc>,
}

/// What a replica said of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TenantState {
    /// Whose state.
    pub tenant_id: Uuid,
    /// Who said it.
    pub replica: Reporter,
    /// For instance `registered`.
    pub state: String,
    /// Why, where the state has a reason.
    pub reason: Option<String>,
    /// The version that is worked with.
    pub version: Option<i64>,
    /// When this state began.
    pub since: DateTime<Utc>,
    /// When the replica last said so. Old: the replica is gone.
    pub reported_at: DateTime<Utc>,
}

impl Store {
    /// Writes one report over an earlier one of the same process and tenant.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn report_state(
        &self,
        replica: &Reporter,
        report: StateReport,
    ) -> Result<(), StoreError> {
        self.report_states(replica, vec![report]).await
    }

    /// Writes reports over earlier ones of the same process and tenants, and
    /// forgets those of replicas that have long been gone. One tenant may be
    /// there once only.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn report_states(
        &self,
        replica: &Reporter,
        reports: Vec<StateReport>,
    ) -> Result<(), StoreError> {
        let mut columns = Columns::default();
        reports.into_iter().for_each(|report| columns.push(report));
        self.with(async |connection: &mut PgConnection| {
            columns.write(connection, &replica.key()).await
        })
        .await
    }

    /// Takes back what this process said, as it stops. What another process of
    /// the same name said stays.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn retract_states(&self, replica: &Reporter) -> Result<(), StoreError> {
        let key = replica.key();
        self.with(async |connection: &mut PgConnection| {
            sqlx::query!("DELETE FROM tenant_states WHERE replica = $1", key)
                .execute(connection)
                .await?;
            Ok(())
        })
        .await
    }

    /// Other processes of the same name that have reported within 45 s. A process
    /// that died without a word is among them until then.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn namesakes(&self, replica: &Reporter) -> Result<Vec<Reporter>, StoreError> {
        let recent = PgInterval::try_from(RECENT).map_err(sqlx::Error::Encode)?;
        let keys: Vec<String> = self
            .with(async |connection: &mut PgConnection| {
                Ok::<_, StoreError>(
                    sqlx::query_scalar!(
                        "SELECT DISTINCT replica FROM tenant_states \
                         WHERE reported_at > now() - $1::interval",
                        recent
                    )
                    .fetch_all(connection)
                    .await?,
                )
            })
            .await?;
        let others = keys.iter().map(|key| Reporter::of_key(key));
        Ok(others
            .filter(|other| other.name == replica.name && other != replica)
            .collect())
    }

    /// What all replicas said of the tenants that there are, by tenant and replica.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn states(&self) -> Result<Vec<TenantState>, StoreError> {
        self.with(async |connection: &mut PgConnection| {
            let rows = sqlx::query!(
                r#"
                SELECT s.tenant_id, s.replica, s.state, s.reason, s.version, s.since, s.reported_at
                FROM tenant_states s JOIN tenants t ON t.id = s.tenant_id AND t.removed_at IS NULL
                ORDER BY t.slug, s.replica
                "#,
            )
            .fetch_all(connection)
            .await?;
            Ok(rows
                .into_iter()
                .map(|row| TenantState {
                    tenant_id: row.tenant_id,
                    replica: Reporter::of_key(&row.replica),
                    state: row.state,
                    reason: row.reason,
                    version: row.version,
                    since: row.since,
                    reported_at: row.reported_at,
                })
                .collect())
        })
        .await
    }
}

/// Reports in the form that `unnest` takes.
#[derive(Default)]
struct Columns {
    tenant_ids: Vec<Uuid>,
    states: Vec<String>,
    reasons: Vec<Option<String>>,
    versions: Vec<Option<i64>>,
    sinces: Vec<DateTime<Utc>>,
}

impl Columns {
    fn push(&mut self, report: StateReport) {
        self.tenant_ids.push(report.tenant_id.0);
        self.states.push(report.state);
        self.reasons
            .push(report.reason.map(|r| r.replace('\0', "\u{fffd}")));
        self.versions.push(report.version.map(|v| v.0));
        self.sinces.push(report.since);
    }

    async fn write(&self, connection: &mut PgConnection, key: &str) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            INSERT INTO tenant_states (tenant_id, replica, state, reason, version, since)
            SELECT r.tenant_id, $1, r.state, r.reason, r.version, r.since
            FROM unnest($2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[])
                AS r (tenant_id, state, reason, version, since)
            ON CONFLICT (tenant_id, replica) DO UPDATE SET
                state = excluded.state,
                reason = excluded.reason,
                version = excluded.version,
                since = excluded.since,
                reported_at = now()
            "#,
            key,
            &self.tenant_ids,
            &self.states,
            &self.reasons as &[Option<String>],
            &self.versions as &[Option<i64>],
            &self.sinces,
        )
        .execute(&mut *connection)
        .await?;
        let age = PgInterval::try_from(FORGET_AFTER).map_err(sqlx::Error::Encode)?;
        sqlx::query!(
            "DELETE FROM tenant_states WHERE reported_at < now() - $1::interval",
            age
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_whatever_the_name() {
        for name in ["web-1", "", "a#b", "a#0123abcd", "#"] {
            let starting = Reporter::starting(name);
            assert_eq!(Reporter::of_key(&starting.key()), starting);
        }
        let bare = Reporter::of_key("of-an-earlier-version#1");
        assert_eq!(bare.name, "of-an-earlier-version#1");
        assert_eq!(bare.instance, None);
    }

    #[test]
    fn two_processes_of_one_name_are_not_the_same() {
        assert_ne!(Reporter::starting("a").key(), Reporter::starting("a").key());
    }
}
