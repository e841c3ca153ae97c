//! `POST /v1/calls/{id}/hang-up`: ends a call.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use trunkline_domain::{CallId, TenantId};
use uuid::Uuid;

use super::call::no_call;
use super::view::Call;
use crate::api::audit::Target;
use crate::api::auth::Operator;
use crate::api::extract::Path;
use crate::api::openapi::Problems;
use crate::api::phone::Numbers;
use crate::api::problem::{Kind, Problem};
use crate::api::state::ApiState;

/// Hang up on a call
///
/// It ends as calls end: what is being said is said, for 3 s at the most, then the
/// phone side is hung up on. Its outcome is `ended_by_operator`. Again is harmless.
/// Only the replica that runs a call can hang up on it.
#[utoipa::path(
    post, path = "/v1/calls/{id}/hang-up", tag = "calls", operation_id = "call.hang_up",
    params(("id" = Uuid, Path, description = "The call")),
    responses((status = 202, body = Call, description = "It is ending"), Problems),
)]
pub(crate) async fn post(
    State(state): State<ApiState>,
    Operator(identity): Operator,
    Path(id): Path<Uuid>,
) -> Result<(StatusCode, Extension<Target>, Json<Call>), Problem> {
    let calls = state.calls();
    let seen = |tenant_id| identity.sees(tenant_id);
    let live = calls.get(CallId(id));
    if live.is_some_and(|call| seen(call.tenant_id))
        && let Some(call) = calls.hang_up(CallId(id))
    {
        let target = Target {
            tenant_id: Some(call.tenant_id.0),
            ..Target::default()
        };
        let view = Call::live(&call, &state.replica().name, Numbers::Redacted);
        return Ok((StatusCode::ACCEPTED, Extension(target), Json(view)));
    }
    let over = state.store().call(id).await?;
    match over.filter(|call| seen(TenantId(call.tenant_id))) {
        Some(call) => Err(Problem::new(
            Kind::WrongState,
            format!("the call is over: {}", call.outcome),
        )),
        None => Err(no_call(id)),
    }
}
