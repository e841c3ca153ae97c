//! The records of refused offers: counts by tenant, reason, process and minute.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use trunkline_domain::TenantId;
use uuid::Uuid;

use crate::error::StoreError;
use crate::states::Reporter;
use crate::store::Store;

/// What a process has refused of a tenant's offers for one reason within one minute, so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedOffers {
    /// Whose.
    pub tenant_id: TenantId,
    /// The beginning of the minute, in UTC.
    pub minute: DateTime<Utc>,
    /// Why, as in the metrics.
    pub reason: &'static str,
    /// How many, all of that minute.
    pub count: u64,
    /// The first of them.
    pub first_at: DateTime<Utc>,
    /// The last of them.
    pub last_at: DateTime<Utc>,
}

/// The same as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are the columns of `refused_offers`, commented there"
)]
pub struct RecordedRefusals {
    pub tenant_id: Uuid,
    pub minute: DateTime<Utc>,
    pub reason: String,
    pub replica: String,
    pub instance: String,
    pub count: i64,
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
}

/// Which are looked for. `None`: all.
#[derive(Debug, Clone, Default)]
pub struct RefusalFilter {
    /// Whose.
    pub tenant_id: Option<Uuid>,
    /// Why.
    pub reason: Option<String>,
    /// Of this minute or later.
    pub from: Option<DateTime<Utc>>,
    /// Of an earlier minute.
    pub to: Option<DateTime<Utc>>,
}

/// Where a record stands in the order of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalKey {
    /// The minute.
    pub minute: DateTime<Utc>,
    /// Whose.
    pub tenant_id: Uuid,
    /// Why.
    pub reason: String,
    /// Whose word it is.
    pub replica: String,
    /// Which of those of that name.
    pub instance: String,
}

/// What was refused for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusalTotal {
    /// Why.
    pub reason: String,
    /// How many.
    pub count: i64,
    /// The last of them.
    pub last_at: DateTime<Utc>,
}

impl Store {
    /// Writes what a process has counted. A count is the whole of its minute, so it may be
    /// repeated when it is not known whether it arrived. Each of minute, tenant and reason may
    /// be there once only.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn record_refusals(
        &self,
        replica: &Reporter,
        refused: &[RefusedOffers],
    ) -> Result<(), StoreError> {
        let columns = Columns::of(refused);
        self.with(async |connection: &mut PgConnection| columns.write(connection, replica).await)
            .await
    }

    /// Records, those of the latest minute first; those that stand behind `after`.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn refusals(
        &self,
        filter: RefusalFilter,
        after: Option<RefusalKey>,
        limit: u32,
    ) -> Result<Vec<RecordedRefusals>, StoreError> {
        let minute = after.as_ref().map(|key| key.minute);
        let tenant_id = after.as_ref().map(|key| key.tenant_id);
        let reason = after.as_ref().map(|key| key.reason.as_str());
        let replica = after.as_ref().map(|key| key.replica.as_str());
        let instance = after.as_ref().map(|key| key.instance.as_str());
        self.with(async |connection: &mut PgConnection| {
            Ok(sqlx::query_as!(
                RecordedRefusals,
                r#"
                SELECT tenant_id, minute, reason, replica, instance, count, first_at, last_at
                FROM refused_offers
                WHERE ($1::uuid IS NULL OR tenant_id = $1)
                    AND ($2::text IS NULL OR reason = $2)
                    AND ($3::timestamptz IS NULL OR minute >= $3)
                    AND ($4::timestamptz IS NULL OR minute < $4)
                    AND (
                        $5::timestamptz IS NULL
                        OR (minute, tenant_id, reason, replica, instance)
                            < ($5, $6, $7, $8, $9)
                    )
                ORDER BY minute DESC, tenant_id DESC, reason DESC, replica DESC, instance DESC
                LIMIT $10
                "#,
                filter.tenant_id,
                filter.reason,
                filter.from,
                filter.to,
                minute,
                tenant_id,
                reason,
                replica,
                instance,
                i64::from(limit),
            )
            .fetch_all(connection)
            .await?)
        })
        .await
    }

    /// What all replicas refused of a tenant's offers from a time on, by the reason.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn refusal_totals(
        &self,
        tenant: TenantId,
        from: DateTime<Utc>,
    ) -> Result<Vec<RefusalTotal>, StoreError> {
        self.with(async |connection: &mut PgConnection| {
            Ok(sqlx::query_as!(
                RefusalTotal,
                r#"
                SELECT reason, sum(count)::bigint AS "count!", max(last_at) AS "last_at!"
                FROM refused_offers
                WHERE tenant_id = $1 AND minute >= $2
                GROUP BY reason
                ORDER BY reason
                "#,
                tenant.0,
                from,
            )
            .fetch_all(connection)
            .await?)
        })
        .await
    }
}

/// Records in the form that `unnest` takes.
#[derive(Default)]
struct Columns {
    tenant_ids: Vec<Uuid>,
    minutes: Vec<DateTime<Utc>>,
    reasons: Vec<String>,
    counts: Vec<i64>,
    firsts: Vec<DateTime<Utc>>,
    lasts: Vec<DateTime<Utc>>,
}

impl Columns {
    fn of(refused: &[RefusedOffers]) -> Self {
        let mut columns = Self::default();
        for offers in refused {
            columns.tenant_ids.push(offers.tenant_id.0);
            columns.minutes.push(offers.minute);
            columns.reasons.push(offers.reason.to_owned());
            columns
                .counts
                .push(i64::try_from(offers.count).unwrap_or(i64::MAX));
            columns.firsts.push(offers.first_at);
            columns.lasts.push(offers.last_at);
        }
        columns
    }

    async fn write(
        &self,
        connection: &mut PgConnection,
        replica: &Reporter,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            INSERT INTO refused_offers
                (tenant_id, minute, reason, replica, instance, count, first_at, last_at)
            SELECT r.tenant_id, r.minute, r.reason, $1, $2, r.count, r.first_at, r.last_at
            FROM unnest(
                $3::uuid[], $4::timestamptz[], $5::text[], $6::bigint[], $7::timestamptz[],
                $8::timestamptz[]
            ) AS r (tenant_id, minute, reason, count, first_at, last_at)
            ON CONFLICT (minute, tenant_id, reason, replica, instance) DO UPDATE SET
                count = greatest(refused_offers.count, excluded.count),
                first_at = least(refused_offers.first_at, excluded.first_at),
                last_at = greatest(refused_offers.last_at, excluded.last_at)
            "#,
            replica.name,
            replica.instance.as_deref().unwrap_or_default(),
            &self.tenant_ids,
            &self.minutes,
            &self.reasons,
            &self.counts,
            &self.firsts,
            &self.lasts,
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}
