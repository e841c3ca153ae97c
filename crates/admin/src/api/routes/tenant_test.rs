//! `POST /v1/tenants/{slug}/test`: would the tenant's calls work?

use std::time::Duration;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use trunkline_call::{CheckReport, SampleCall};
use utoipa::ToSchema;

use super::tenant_view::find_as;
use super::workers;
use crate::api::REQUEST_LIMIT;
use crate::api::audit::Target;
use crate::api::auth::Operator;
use crate::api::extract::Path;
use crate::api::openapi::Problems;
use crate::api::problem::Problem;
use crate::api::state::ApiState;

/// How long the checks may take together. What is not found out by then is said so, in time
/// for the answer: the database is asked before, and the audit is written after.
const CHECK_LIMIT: Duration = REQUEST_LIMIT.saturating_sub(Duration::from_secs(6));

/// What was found of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantTest {
    /// The tenant's slug.
    tenant: String,
    /// The version of the tenant that was checked.
    version: i64,
    /// The checks, in the order in which a call needs what they look at.
    checks: Vec<TestCheck>,
}

/// One check.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TestCheck {
    /// What was checked: row (it cannot be run), url, key, agent, sip, backend or model.
    #[schema(example = "backend")]
    name: &'static str,
    /// ok; warning: worth a look, or not to be found out; failed: callers notice it.
    #[schema(example = "ok")]
    status: &'static str,
    /// What was found, in words.
    detail: String,
    /// What to do about it. `null`: nothing.
    remedy: Option<String>,
    /// How long it took, in milliseconds.
    took_ms: u64,
}

impl From<CheckReport> for TenantTest {
    fn from(report: CheckReport) -> Self {
        let checks = report.checks.into_iter().map(|check| TestCheck {
            name: check.name.as_str(),
            status: check.status.as_str(),
            detail: check.detail,
            remedy: check.remedy,
            took_ms: check.took_ms,
        });
        Self {
            tenant: report.tenant,
            version: report.version,
            checks: checks.collect(),
        }
    }
}

/// Check whether a tenant's calls would work
///
/// From this replica, with what its calls have: the project and its key, the agent's
/// registration, the way of phone calls to it, the backend (which is told that it is a
/// test) and the model. Nothing is changed anywhere, and nobody is rung. It takes a
/// second or two, and 24 s at the most. One check of a tenant runs at a time, and a few of
/// all; more are answered with 429.
#[utoipa::path(
    post, path = "/v1/tenants/{slug}/test", tag = "tenants", operation_id = "tenant.test",
    params(("slug" = String, Path, description = "Its name")),
    responses((status = 200, body = TenantTest, description = "What was found"), Problems),
)]
pub(crate) async fn post(
    State(state): State<ApiState>,
    Operator(identity): Operator,
    Path(slug): Path<String>,
) -> Result<(Extension<Target>, Json<TenantTest>), Problem> {
    let row = find_as(&identity, &slug, state.store().tenant(&slug), |row| row.id).await?;
    let _under_way = state.checks().begin(row.id)?;
    let report = match &row.tenant {
        Ok(tenant) => {
            let registrations = workers::registrations(&state, row.id).await?;
            let services = state.services();
            let sample = SampleCall::default();
            services
                .check(tenant, &registrations, &sample, CHECK_LIMIT)
                .await
        }
        Err(problem) => {
            CheckReport::of_unusable_row(&row.slug, row.version.0, &problem.to_string())
        }
    };
    let target = Target {
        name: None,
        tenant_id: Some(row.id.0),
    };
    Ok((Extension(target), Json(report.into())))
}
