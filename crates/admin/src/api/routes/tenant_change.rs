//! `PATCH /v1/tenants/{slug}`: changes a tenant.

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use trunkline_store::{Enablement, TenantChange};
use utoipa::ToSchema;

use super::tenant_view::{Tagged, Tenant, expected, find, not_changed, tagged};
use crate::api::audit::Target;
use crate::api::auth::{Administrator, Identity};
use crate::api::extract::{self, Path};
use crate::api::openapi::Problems;
use crate::api::problem::{Kind, Problem};
use crate::api::state::ApiState;

/// What is to be changed. What is left out stays; `null` takes away what may be absent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantPatch {
    /// Another name.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    slug: Option<String>,
    /// Whether calls are taken.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool)]
    enabled: Option<bool>,
    /// Where the LiveKit server is.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    livekit_url: Option<String>,
    /// The public half of the project's API key.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    livekit_api_key: Option<String>,
    /// The secret half.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, write_only)]
    livekit_api_secret: Option<SecretString>,
    /// The names that the project's dispatch rules ask for.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<String>)]
    agent_names: Option<Vec<String>>,
    /// The rest of LiveKit's routing key.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    deployment: Option<Option<String>>,
    /// Where POST asks for the configuration of each call.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    call_config_url: Option<Option<String>>,
    /// Sent there as Authorization: Bearer.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, write_only)]
    call_config_bearer: Option<Option<SecretString>>,
    /// What the requests there are signed with.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, write_only)]
    call_config_signing_secret: Option<Option<SecretString>>,
    /// How long the answer may take, in milliseconds.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = i32, minimum = 100, maximum = 30_000)]
    call_config_deadline_ms: Option<i32>,
    /// How long the phone may ring, in milliseconds.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = i32, minimum = 500, maximum = 60_000)]
    answer_deadline_ms: Option<i32>,
    /// What a call runs with when the lookup gives nothing. It is replaced as a whole.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Object)]
    default_config: Option<Map<String, Value>>,
    /// The wire of the speech model.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    provider: Option<String>,
    /// Where it is.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    provider_base_url: Option<Option<String>>,
    /// Its key.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, write_only)]
    provider_api_key: Option<Option<SecretString>>,
    /// The wire of a second model. `null`: there is none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    fallback_provider: Option<Option<String>>,
    /// Where the second model is.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    fallback_provider_base_url: Option<Option<String>>,
    /// Its key.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, write_only)]
    fallback_provider_api_key: Option<Option<SecretString>>,
    /// Its name. `null`: as default_config says.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    fallback_model: Option<Option<String>>,
    /// Its voice. `null`: as default_config says.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    fallback_voice: Option<Option<String>>,
    /// To whom a call is passed on after the apology. `null`: it ends.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    fallback_transfer_to: Option<Option<String>>,
    /// Calls at the same time on one replica. Not for a tenant's own token.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i32>, minimum = 1)]
    max_calls: Option<Option<i32>>,
    /// New calls per second on one replica. Not for a tenant's own token.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>)]
    calls_per_second: Option<Option<f64>>,
    /// How long a call may be, in minutes. Not for a tenant's own token.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 1_440)]
    max_call_minutes: Option<Option<i32>>,
}

/// A field that is there, so that `null` can be told from what is left out.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl TenantPatch {
    /// What a tenant shares with the others is not for its own token to change.
    fn may_be_asked_by(&self, identity: &Identity) -> Result<(), Problem> {
        let shared = [
            ("slug", self.slug.is_some()),
            ("max_calls", self.max_calls.is_some()),
            ("calls_per_second", self.calls_per_second.is_some()),
            ("max_call_minutes", self.max_call_minutes.is_some()),
        ];
        match shared.into_iter().find(|(_, is_given)| *is_given) {
            Some((field, _)) if identity.tenant.is_some() => Err(Problem::new(
                Kind::Forbidden,
                format!("{field} cannot be changed with the tenant's own token"),
            )),
            _ => Ok(()),
        }
    }
}

impl From<TenantPatch> for TenantChange {
    fn from(patch: TenantPatch) -> Self {
        Self {
            slug: patch.slug,
            enabled: patch.enabled.map(|enabled| match enabled {
                true => Enablement::Enabled,
                false => Enablement::Disabled,
            }),
            livekit_url: patch.livekit_url,
            livekit_api_key: patch.livekit_api_key,
            livekit_api_secret: patch.livekit_api_secret,
            agent_names: patch.agent_names,
            deployment: patch.deployment,
            call_config_url: patch.call_config_url,
            call_config_bearer: patch.call_config_bearer,
            call_config_signing_secret: patch.call_config_signing_secret,
            call_config_deadline_ms: patch.call_config_deadline_ms,
            answer_deadline_ms: patch.answer_deadline_ms,
            default_config: patch.default_config.map(Value::Object),
            provider: patch.provider,
            provider_base_url: patch.provider_base_url,
            provider_api_key: patch.provider_api_key,
            fallback_provider: patch.fallback_provider,
            fallback_provider_base_url: patch.fallback_provider_base_url,
            fallback_provider_api_key: patch.fallback_provider_api_key,
            fallback_model: patch.fallback_model,
            fallback_voice: patch.fallback_voice,
            fallback_transfer_to: patch.fallback_transfer_to,
            // It comes by itself: see `tenant_apology`.
            apology_audio: None,
            max_calls: patch.max_calls,
            calls_per_second: patch.calls_per_second,
            max_call_minutes: patch.max_call_minutes,
        }
    }
}

/// Change a tenant
///
/// A token of one tenant that gives a URL another origin must send the secret that goes
/// there anew, and leads it to no internal address unless that is allowed.
///
/// It takes effect at once, and no call under way notices. With `if-match`, only when
/// the tenant is still of that version.
#[utoipa::path(
    patch, path = "/v1/tenants/{slug}", tag = "tenants", operation_id = "tenant.change",
    params(
        ("slug" = String, Path, description = "Its name"),
        ("if-match" = Option<String>, Header, description = "The version that is to be changed"),
    ),
    request_body = TenantPatch,
    responses(
        (status = 200, body = Tenant, description = "The tenant as it is now",
            headers(("etag" = String, description = "Its version"))),
        Problems,
    ),
)]
pub(crate) async fn patch(
    State(state): State<ApiState>,
    Administrator(identity): Administrator,
    Path(slug): Path<String>,
    headers: HeaderMap,
    extract::Json(asked): extract::Json<TenantPatch>,
) -> Result<(Extension<Target>, Tagged), Problem> {
    let expected = expected(&headers)?;
    let before = find(&state, &identity, &slug).await?;
    asked.may_be_asked_by(&identity)?;
    let change = TenantChange::from(asked);
    let named = change.slug.clone().unwrap_or_else(|| slug.clone());
    let actor = identity.writer(state.inner_urls());
    let store = state.store();
    let changing = store.update_tenant(&slug, change, expected, &actor);
    changing
        .await
        .map_err(|error| not_changed(&identity, error))?;
    let target = Target {
        name: Some(slug),
        tenant_id: Some(before.id.0),
    };
    let record = find(&state, &identity, &named).await?;
    Ok((Extension(target), tagged(record)))
}
