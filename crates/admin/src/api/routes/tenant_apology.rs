//! `PUT` and `DELETE /v1/tenants/{slug}/apology`: what callers of a tenant hear when there
//! is no model.

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use trunkline_call::check_apology;
use trunkline_domain::ApologyAudio;
use trunkline_store::TenantChange;

use super::tenant_view::{Tagged, Tenant, expected, find, not_changed, tagged};
use crate::api::audit::Target;
use crate::api::auth::{Administrator, Identity};
use crate::api::extract::{Path, Wav};
use crate::api::openapi::Problems;
use crate::api::problem::{FieldProblem, Problem};
use crate::api::state::ApiState;

/// Give a tenant an apology of its own
///
/// Callers hear it when no model can be had: a WAV file of 60 seconds and 2 MiB at most,
/// with 1 or 2 channels of 8, 16, 24 or 32 bits at 8,000 to 48,000 Hz.
#[utoipa::path(
    put, path = "/v1/tenants/{slug}/apology", tag = "tenants", operation_id = "tenant.apology.set",
    params(
        ("slug" = String, Path, description = "The tenant's name"),
        ("if-match" = Option<String>, Header, description = "The version that is to be changed"),
    ),
    request_body(content = Vec<u8>, content_type = "audio/wav", description = "The recording"),
    responses(
        (status = 200, body = Tenant, description = "The tenant as it is now",
            headers(("etag" = String, description = "Its version"))),
        Problems,
    ),
)]
pub(crate) async fn put(
    State(state): State<ApiState>,
    Administrator(identity): Administrator,
    Path(slug): Path<String>,
    headers: HeaderMap,
    Wav(file): Wav,
) -> Result<(Extension<Target>, Tagged), Problem> {
    check_apology(&file).map_err(|problem| {
        Problem::invalid(vec![FieldProblem::new(
            "body",
            format!("cannot be played: {problem}"),
            "send a WAV file with the header content-type: audio/wav",
        )])
    })?;
    let audio = ApologyAudio::from(file);
    change(&state, &identity, &slug, &headers, Some(audio)).await
}

/// Take a tenant's own apology away
///
/// Callers hear the built-in one again.
#[utoipa::path(
    delete, path = "/v1/tenants/{slug}/apology", tag = "tenants",
    operation_id = "tenant.apology.remove",
    params(
        ("slug" = String, Path, description = "The tenant's name"),
        ("if-match" = Option<String>, Header, description = "The version that is to be changed"),
    ),
    responses(
        (status = 200, body = Tenant, description = "The tenant as it is now",
            headers(("etag" = String, description = "Its version"))),
        Problems,
    ),
)]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    Administrator(identity): Administrator,
    Path(slug): Path<String>,
    headers: HeaderMap,
) -> Result<(Extension<Target>, Tagged), Problem> {
    change(&state, &identity, &slug, &headers, None).await
}

async fn change(
    state: &ApiState,
    identity: &Identity,
    slug: &str,
    headers: &HeaderMap,
    audio: Option<ApologyAudio>,
) -> Result<(Extension<Target>, Tagged), Problem> {
    let expected = expected(headers)?;
    let before = find(state, identity, slug).await?;
    let change = TenantChange {
        apology_audio: Some(audio),
        ..TenantChange::default()
    };
    let actor = identity.writer(state.inner_urls());
    let changing = state.store().update_tenant(slug, change, expected, &actor);
    changing
        .await
        .map_err(|error| not_changed(identity, error))?;
    let target = Target {
        name: Some(slug.to_owned()),
        tenant_id: Some(before.id.0),
    };
    let record = find(state, identity, slug).await?;
    Ok((Extension(target), tagged(record)))
}
