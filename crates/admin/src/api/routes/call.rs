//! `GET /v1/calls/{id}`: one call, under way or over.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use trunkline_domain::{CallId, TenantId};
use utoipa::IntoParams;
use uuid::Uuid;

use super::view::Call;
use crate::api::auth::Reader;
use crate::api::extract::{Path, Query};
use crate::api::openapi::Problems;
use crate::api::phone::Numbers;
use crate::api::problem::{Kind, Problem};
use crate::api::state::ApiState;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// How numbers are shown: redacted, or full, which needs the scope operator.
    #[serde(default)]
    #[param(inline)]
    numbers: Numbers,
}

pub(super) fn no_call(id: Uuid) -> Problem {
    Problem::new(
        Kind::NotFound,
        format!("there is no call {id} under way here, and none in the records"),
    )
}

/// One call with its timeline
///
/// A call that has just ended is in the records a moment later.
#[utoipa::path(
    get, path = "/v1/calls/{id}", tag = "calls", operation_id = "call.show",
    params(("id" = Uuid, Path, description = "The call"), Parameters),
    responses((status = 200, body = Call, description = "The call"), Problems),
)]
pub(crate) async fn get(
    State(state): State<ApiState>,
    Reader(identity): Reader,
    Path(id): Path<Uuid>,
    Query(asked): Query<Parameters>,
) -> Result<Json<Call>, Problem> {
    let numbers = asked.numbers.for_whom(&identity)?;
    if let Some(call) = state.calls().get(CallId(id)) {
        return if identity.sees(call.tenant_id) {
            Ok(Json(Call::live(&call, &state.replica().name, numbers)))
        } else {
            Err(no_call(id))
        };
    }
    let call = state.store().call(id).await?;
    let call = call.filter(|call| identity.sees(TenantId(call.tenant_id)));
    let call = call.ok_or_else(|| no_call(id))?;
    let slugs = state.store().slugs(&[call.tenant_id]).await?;
    let tenant = slugs.get(&call.tenant_id).cloned();
    Ok(Json(Call::past(call, tenant, numbers)))
}
