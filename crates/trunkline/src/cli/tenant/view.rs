//! What people and scripts see of a tenant: what its row says, and what the
//! replicas say that they do with it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_call::Registration;
use trunkline_domain::TenantId;
use trunkline_store::{Store, TenantRow, TenantState};

use crate::states::REPORT_INTERVAL;

/// After three reports that did not come, a replica is taken for gone.
const STALE_AFTER: Duration = REPORT_INTERVAL.saturating_mul(3);

/// One tenant.
#[derive(Debug, Serialize)]
pub(super) struct TenantView {
    pub(super) slug: String,
    pub(super) id: TenantId,
    pub(super) version: i64,
    pub(super) enabled: bool,
    /// `parked`, `disabled`, `not_running`, or what the replica says that does best.
    pub(super) state: String,
    pub(super) reason: Option<String>,
    pub(super) replicas: Vec<ReplicaView>,
}

/// One replica's word on it.
#[derive(Debug, Serialize)]
pub(super) struct ReplicaView {
    pub(super) replica: String,
    /// Tells processes of one name apart.
    pub(super) instance: Option<String>,
    pub(super) state: String,
    pub(super) reason: Option<String>,
    pub(super) version: Option<i64>,
    pub(super) since: DateTime<Utc>,
    /// Whether another replica of this name has reported as well.
    #[serde(skip)]
    has_namesake: bool,
}

impl ReplicaView {
    /// Its name, with what tells it apart where several have that name.
    pub(super) fn name(&self) -> String {
        match &self.instance {
            Some(instance) if self.has_namesake => format!("{} ({instance})", self.replica),
            _ => self.replica.clone(),
        }
    }
}

impl TenantView {
    pub(super) fn new(row: &TenantRow, states: &[TenantState], now: DateTime<Utc>) -> Self {
        let mut replicas: Vec<ReplicaView> = states
            .iter()
            .filter(|state| state.tenant_id == row.id.0)
            .filter(|state| {
                // From the future: this machine's clock is behind. It is fresh.
                let age = (now - state.reported_at).to_std().unwrap_or_default();
                age < STALE_AFTER
            })
            .map(|state| ReplicaView {
                replica: state.replica.name.clone(),
                instance: state.replica.instance.clone(),
                state: state.state.clone(),
                reason: state.reason.clone(),
                version: state.version,
                since: state.since,
                has_namesake: false,
            })
            .collect();
        let names: Vec<String> = replicas.iter().map(|r| r.replica.clone()).collect();
        for replica in &mut replicas {
            let namesakes = names.iter().filter(|name| **name == replica.replica);
            replica.has_namesake = namesakes.count() > 1;
        }
        let (state, reason) = summary(row, &replicas);
        Self {
            slug: row.slug.clone(),
            id: row.id,
            version: row.version.0,
            enabled: row.enabled,
            state,
            reason,
            replicas,
        }
    }
}

/// What the replicas said lately of a tenant's workers.
pub(in crate::cli) async fn registrations(
    store: &Store,
    row: &TenantRow,
) -> anyhow::Result<Vec<Registration>> {
    let states = store.states().await?;
    let view = TenantView::new(row, &states, Utc::now());
    let said = view.replicas.into_iter().map(|replica| Registration {
        replica: replica.replica,
        instance: replica.instance,
        state: replica.state,
        reason: replica.reason,
        version: replica.version,
    });
    Ok(said.collect())
}

fn summary(row: &TenantRow, replicas: &[ReplicaView]) -> (String, Option<String>) {
    if !row.enabled {
        return ("disabled".to_owned(), None);
    }
    let best = replicas
        .iter()
        .find(|replica| replica.state == "registered")
        .or_else(|| replicas.first());
    // The row says it itself, whether a replica runs or not; unless one goes on with the
    // version before.
    if let Err(problem) = &row.tenant
        && best.is_none_or(|best| best.state != "registered")
    {
        return ("parked".to_owned(), Some(problem.to_string()));
    }
    match best {
        Some(replica) => (replica.state.clone(), replica.reason.clone()),
        None => (
            "not_running".to_owned(),
            Some("no replica has reported lately; does `trunkline serve` run?".to_owned()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use trunkline_domain::{InvalidTenant, Tenant, TenantFields, TenantVersion};
    use trunkline_store::{Reporter, RowProblem};

    use super::*;

    const ID: TenantId = TenantId(uuid::Uuid::nil());

    fn row(enabled: bool) -> TenantRow {
        let tenant = Tenant::try_from(TenantFields {
            version: TenantVersion(3),
            enabled,
            ..TenantFields::new(ID, "acme", "wss://acme.example", "key", "secret".into())
        });
        TenantRow {
            id: ID,
            slug: "acme".into(),
            version: TenantVersion(3),
            enabled,
            updated_at: Utc::now(),
            tenant: Ok(Arc::new(tenant.unwrap())),
        }
    }

    fn said(replica: &str, state: &str, age: Duration) -> TenantState {
        TenantState {
            tenant_id: ID.0,
            replica: Reporter::starting(replica),
            state: state.to_owned(),
            reason: (state != "registered").then(|| "why".to_owned()),
            version: Some(3),
            since: Utc::now(),
            reported_at: Utc::now() - age,
        }
    }

    #[test]
    fn a_tenant_is_registered_when_any_replica_has_it_registered() {
        let states = [
            said("a", "backing_off", Duration::ZERO),
            said("b", "registered", Duration::ZERO),
        ];
        let view = TenantView::new(&row(true), &states, Utc::now());
        assert_eq!((view.state.as_str(), view.reason), ("registered", None));
        assert_eq!(view.replicas.len(), 2);
    }

    #[test]
    fn what_a_replica_said_long_ago_does_not_count() {
        let states = [said("a", "registered", STALE_AFTER)];
        let view = TenantView::new(&row(true), &states, Utc::now());
        assert_eq!(view.state, "not_running");
        assert!(view.replicas.is_empty());
    }

    #[test]
    fn a_row_that_cannot_be_run_is_parked_with_its_reason_whoever_runs() {
        let mut row = row(true);
        row.tenant = Err(RowProblem::Invalid(InvalidTenant {
            problems: vec!["max_calls must be 1 or more, not 0".into()],
        }));
        let view = TenantView::new(&row, &[], Utc::now());
        assert_eq!(view.state, "parked");
        assert_eq!(
            view.reason.as_deref(),
            Some("max_calls must be 1 or more, not 0")
        );
    }

    #[test]
    fn a_replica_that_goes_on_with_the_version_before_is_what_counts() {
        let mut row = row(true);
        row.tenant = Err(RowProblem::Invalid(InvalidTenant {
            problems: vec!["max_calls must be 1 or more, not 0".into()],
        }));
        let mut serving = said("a", "registered", Duration::ZERO);
        serving.reason = Some("row invalid, still on version 2".into());
        let view = TenantView::new(&row, &[serving], Utc::now());
        assert_eq!(view.state, "registered");
        assert!(view.reason.unwrap().contains("still on version 2"));
    }

    #[test]
    fn processes_of_one_name_are_told_apart_and_others_are_called_by_name() {
        let states = [
            said("a", "registered", Duration::ZERO),
            said("a", "registered", Duration::ZERO),
            said("b", "registered", Duration::ZERO),
        ];
        let view = TenantView::new(&row(true), &states, Utc::now());
        let names: Vec<String> = view.replicas.iter().map(ReplicaView::name).collect();
        assert!(
            names[0].starts_with("a (") && names[0] != names[1],
            "{names:?}"
        );
        assert_eq!(names[2], "b");
    }

    #[test]
    fn a_disabled_tenant_is_disabled_whatever_else_is_said() {
        let states = [said("a", "draining", Duration::ZERO)];
        assert_eq!(
            TenantView::new(&row(false), &states, Utc::now()).state,
            "disabled"
        );
    }
}
