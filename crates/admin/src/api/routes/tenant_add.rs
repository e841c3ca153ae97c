//! `POST /v1/tenants`: adds a tenant.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value};
use trunkline_store::{Enablement, NewTenant};
use utoipa::ToSchema;

use super::tenant_view::{Tagged, Tenant, find, not_added, tagged};
use crate::api::audit::Target;
use crate::api::auth::Administrator;
use crate::api::extract;
use crate::api::openapi::Problems;
use crate::api::problem::Problem;
use crate::api::state::ApiState;

/// A tenant to be added. What is left out has the value that a plain INSERT gives it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantRequest {
    /// Name for people: 1 to 63 of a-z, 0-9 and '-'.
    #[schema(example = "acme")]
    slug: String,
    /// Whether calls are taken. Left out: they are.
    enabled: Option<bool>,
    /// Where the LiveKit server is: wss, ws, https or http.
    #[schema(example = "wss://acme.livekit.cloud")]
    livekit_url: String,
    /// The public half of the project's API key.
    livekit_api_key: String,
    /// The secret half.
    #[schema(value_type = String, write_only)]
    livekit_api_secret: SecretString,
    /// The names that the project's dispatch rules ask for. Left out: pstn-voice-agent.
    agent_names: Option<Vec<String>>,
    /// The rest of LiveKit's routing key.
    deployment: Option<String>,
    /// Where POST asks for the configuration of each call. Left out: every call runs
    /// with default_config.
    call_config_url: Option<String>,
    /// Sent there as Authorization: Bearer.
    #[schema(value_type = Option<String>, write_only)]
    call_config_bearer: Option<SecretString>,
    /// What the requests there are signed with, by HMAC-SHA256.
    #[schema(value_type = Option<String>, write_only)]
    call_config_signing_secret: Option<SecretString>,
    /// How long the answer may take, in milliseconds.
    #[schema(minimum = 100, maximum = 30_000)]
    call_config_deadline_ms: Option<i32>,
    /// How long the phone may ring, in milliseconds.
    #[schema(minimum = 500, maximum = 60_000)]
    answer_deadline_ms: Option<i32>,
    /// What a call runs with when the lookup gives nothing: systemPrompt, model, voice,
    /// temperature, startMessage.
    #[schema(value_type = Option<Object>)]
    default_config: Option<Map<String, Value>>,
    /// The wire of the speech model: openai.
    provider: Option<String>,
    /// Where it is. Left out: as the process is configured.
    provider_base_url: Option<String>,
    /// Its key. Left out: as the process is configured.
    #[schema(value_type = Option<String>, write_only)]
    provider_api_key: Option<SecretString>,
    /// The wire of a second model, which takes over when the first cannot be had: openai.
    /// Left out: there is none.
    fallback_provider: Option<String>,
    /// Where the second model is. Left out: as the process is configured.
    fallback_provider_base_url: Option<String>,
    /// Its key. Left out: as the process is configured, for the process's own provider.
    #[schema(value_type = Option<String>, write_only)]
    fallback_provider_api_key: Option<SecretString>,
    /// Its name. Left out: as default_config says.
    #[schema(min_length = 1, max_length = 128)]
    fallback_model: Option<String>,
    /// Its voice. Left out: as default_config says.
    #[schema(min_length = 1, max_length = 128)]
    fallback_voice: Option<String>,
    /// To whom a call is passed on after the apology: a number (+15551234567), a tel: or a
    /// sip: address. Left out: it ends.
    #[schema(example = "+15551234567")]
    fallback_transfer_to: Option<String>,
    /// Calls at the same time on one replica. Left out: as many as the process takes.
    #[schema(minimum = 1)]
    max_calls: Option<i32>,
    /// New calls per second on one replica. Left out: as many as come.
    calls_per_second: Option<f64>,
    /// How long a call may be, in minutes. Left out: as long as it takes.
    #[schema(minimum = 1, maximum = 1_440)]
    max_call_minutes: Option<i32>,
}

impl From<TenantRequest> for NewTenant {
    fn from(asked: TenantRequest) -> Self {
        let new = Self::new(
            asked.slug,
            asked.livekit_url,
            asked.livekit_api_key,
            asked.livekit_api_secret,
        );
        Self {
            enabled: match asked.enabled {
                Some(false) => Enablement::Disabled,
                Some(true) | None => Enablement::Enabled,
            },
            agent_names: asked.agent_names.unwrap_or(new.agent_names),
            deployment: asked.deployment,
            call_config_url: asked.call_config_url,
            call_config_bearer: asked.call_config_bearer,
            call_config_signing_secret: asked.call_config_signing_secret,
            call_config_deadline_ms: asked
                .call_config_deadline_ms
                .unwrap_or(new.call_config_deadline_ms),
            answer_deadline_ms: asked.answer_deadline_ms.unwrap_or(new.answer_deadline_ms),
            default_config: asked
                .default_config
                .map_or(new.default_config, Value::Object),
            provider: asked.provider.unwrap_or(new.provider),
            provider_base_url: asked.provider_base_url,
            provider_api_key: asked.provider_api_key,
            fallback_provider: asked.fallback_provider,
            fallback_provider_base_url: asked.fallback_provider_base_url,
            fallback_provider_api_key: asked.fallback_provider_api_key,
            fallback_model: asked.fallback_model,
            fallback_voice: asked.fallback_voice,
            fallback_transfer_to: asked.fallback_transfer_to,
            // It comes by itself: see `tenant_apology`.
            apology_audio: None,
            max_calls: asked.max_calls,
            calls_per_second: asked.calls_per_second,
            max_call_minutes: asked.max_call_minutes,
            slug: new.slug,
            livekit_url: new.livekit_url,
            livekit_api_key: new.livekit_api_key,
            livekit_api_secret: new.livekit_api_secret,
        }
    }
}

/// Add a tenant
///
/// It is registered with its LiveKit project at once. Its secrets are sealed before
/// they reach the database.
#[utoipa::path(
    post, path = "/v1/tenants", tag = "tenants", operation_id = "tenant.add",
    request_body = TenantRequest,
    responses(
        (status = 201, body = Tenant, description = "The tenant",
            headers(("etag" = String, description = "Its version"))),
        Problems,
    ),
)]
pub(crate) async fn post(
    State(state): State<ApiState>,
    Administrator(identity): Administrator,
    extract::Json(asked): extract::Json<TenantRequest>,
) -> Result<(StatusCode, Extension<Target>, Tagged), Problem> {
    identity.of_all_tenants()?;
    let new = NewTenant::from(asked);
    let slug = new.slug.clone();
    let actor = identity.writer(state.inner_urls());
    let added = state.store().add_tenant(new, &actor).await;
    let (id, _) = added.map_err(|error| not_added(&identity, error))?;
    let target = Target {
        name: Some(slug.clone()),
        tenant_id: Some(id.0),
    };
    let record = find(&state, &identity, &slug).await?;
    Ok((StatusCode::CREATED, Extension(target), tagged(record)))
}

#[cfg(test)]
mod tests {
    use super::super::tenant_change::TenantPatch;
    use super::*;

    #[test]
    fn debug_of_what_is_asked_for_shows_no_secret() {
        let secrets = serde_json::json!({
            "livekit_api_secret": "hunter2",
            "call_config_bearer": "hunter2",
            "call_config_signing_secret": "hunter2",
            "provider_api_key": "hunter2",
            "fallback_provider_api_key": "hunter2",
        });
        let patch: TenantPatch = serde_json::from_value(secrets.clone()).unwrap();
        let mut whole = secrets;
        whole["slug"] = "acme".into();
        whole["livekit_url"] = "wss://acme.example".into();
        whole["livekit_api_key"] = "APIkey".into();
        let request: TenantRequest = serde_json::from_value(whole).unwrap();
        let shown = format!("{patch:?} {request:?}");
        assert!(shown.contains("APIkey"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
