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
    pub replica: String,
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
    /// Writes one report over an earlier one of the same replica and tenant.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn report_state(&self, replica: &str, report: StateReport) -> Result<(), StoreError> {
        self.report_states(replica, vec![report]).await
    }

    /// Writes reports over earlier ones of the same replica and tenants, and
    /// forgets those of replicas that have long been gone. One tenant may be
    /// there once only.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn report_states(
        &self,
        replica: &str,
        reports: Vec<StateReport>,
    ) -> Result<(), StoreError> {
        let mut columns = Columns::default();
        reports.into_iter().for_each(|report| columns.push(report));
        self.with(async |connection: &mut PgConnection| columns.write(connection, replica).await)
            .await
    }

    /// Takes back what this replica said, as it stops.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn retract_states(&self, replica: &str) -> Result<(), StoreError> {
        self.with(async |connection: &mut PgConnection| {
            sqlx::query!("DELETE FROM tenant_states WHERE replica = $1", replica)
                .execute(connection)
                .await?;
            Ok(())
        })
        .await
    }

    /// What all replicas said of the tenants that there are, by tenant and replica.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn states(&self) -> Result<Vec<TenantState>, StoreError> {
        self.with(async |connection: &mut PgConnection| {
            Ok(sqlx::query_as!(
                TenantState,
                r#"
                SELECT s.tenant_id, s.replica, s.state, s.reason, s.version, s.since, s.reported_at
                FROM tenant_states s JOIN tenants t ON t.id = s.tenant_id
                ORDER BY t.slug, s.replica
                "#,
            )
            .fetch_all(connection)
            .await?)
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

    async fn write(&self, connection: &mut PgConnection, replica: &str) -> Result<(), StoreError> {
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
            replica,
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
