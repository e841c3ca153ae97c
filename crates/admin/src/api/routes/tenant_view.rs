//! How a tenant is shown: everything but its secrets.

use axum::Json;
use axum::http::header::ETAG;
use axum::http::{HeaderMap, HeaderName, header};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use trunkline_domain::{InvalidTenant, TenantId, TenantVersion};
use trunkline_store::{AddError, ChangeError, Expected, StoreError, TenantRecord, Twin};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::auth::Identity;
use crate::api::problem::{FieldProblem, Kind, Problem};
use crate::api::state::ApiState;

/// A tenant: a LiveKit project, and how its calls are run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tenant {
    /// Identity.
    id: Uuid,
    /// Name for people.
    #[schema(example = "acme")]
    slug: String,
    /// Raised with every change. For `if-match`, and the answer's `etag`.
    version: i64,
    /// Whether calls are taken.
    enabled: bool,
    /// When it was written first.
    created_at: DateTime<Utc>,
    /// When it changed last.
    updated_at: DateTime<Utc>,
    /// Why it cannot be run, with everything that is wrong with it. `null`: it can.
    problem: Option<String>,
    /// Where the LiveKit server is.
    #[schema(example = "wss://acme.livekit.cloud")]
    livekit_url: String,
    /// The public half of the project's API key.
    livekit_api_key: String,
    /// The secret half.
    livekit_api_secret: Secret,
    /// The names that the project's dispatch rules ask for.
    agent_names: Vec<String>,
    /// The rest of LiveKit's routing key.
    deployment: Option<String>,
    /// Where POST asks for the configuration of each call.
    call_config_url: Option<String>,
    /// Sent there as Authorization: Bearer.
    call_config_bearer: Secret,
    /// What the requests there are signed with.
    call_config_signing_secret: Secret,
    /// How long the answer may take, in milliseconds.
    call_config_deadline_ms: i32,
    /// How long the phone may ring, in milliseconds.
    answer_deadline_ms: i32,
    /// What a call runs with when the lookup gives nothing.
    #[schema(value_type = Object)]
    default_config: Value,
    /// The wire of the speech model.
    #[schema(example = "openai")]
    provider: String,
    /// Where it is. `null`: as the process is configured.
    provider_base_url: Option<String>,
    /// Its key.
    provider_api_key: Secret,
    /// The wire of a second model, for when the first cannot be had. `null`: there is none.
    fallback_provider: Option<String>,
    /// Where the second model is. `null`: as the process is configured.
    fallback_provider_base_url: Option<String>,
    /// Its key.
    fallback_provider_api_key: Secret,
    /// Its name. `null`: as default_config says.
    fallback_model: Option<String>,
    /// Its voice. `null`: as default_config says.
    fallback_voice: Option<String>,
    /// To whom a call is passed on after the apology. `null`: it ends.
    fallback_transfer_to: Option<String>,
    /// How long the tenant's own apology is, a WAV file. `null`: callers hear the built-in
    /// one.
    apology_audio_bytes: Option<i32>,
    /// Calls at the same time on one replica. `null`: as many as the process takes.
    max_calls: Option<i32>,
    /// New calls per second on one replica. `null`: as many as come.
    calls_per_second: Option<f64>,
    /// How long a call may be, in minutes. `null`: as long as it takes.
    max_call_minutes: Option<i32>,
}

/// A secret. Its value goes in and never comes out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Secret {
    /// Whether there is one.
    set: bool,
}

impl From<TenantRecord> for Tenant {
    fn from(record: TenantRecord) -> Self {
        let settings = record.settings;
        let secret = |name: &str| Secret {
            set: settings.secrets.contains(&name),
        };
        Self {
            id: record.id.0,
            slug: record.slug,
            version: record.version.0,
            enabled: record.enabled,
            created_at: record.created_at,
            updated_at: record.updated_at,
            problem: record.tenant.err().map(|problem| problem.to_string()),
            livekit_api_secret: secret("livekit_api_secret"),
            call_config_bearer: secret("call_config_bearer"),
            call_config_signing_secret: secret("call_config_signing_secret"),
            provider_api_key: secret("provider_api_key"),
            fallback_provider_api_key: secret("fallback_provider_api_key"),
            livekit_url: settings.livekit_url,
            livekit_api_key: settings.livekit_api_key,
            agent_names: settings.agent_names,
            deployment: settings.deployment,
            call_config_url: settings.call_config_url,
            call_config_deadline_ms: settings.call_config_deadline_ms,
            answer_deadline_ms: settings.answer_deadline_ms,
            // What cannot be read is told by `problem`.
            default_config: match settings.default_config {
                Value::Object(map) => Value::Object(map),
                _ => Value::Object(serde_json::Map::new()),
            },
            provider: settings.provider,
            provider_base_url: settings.provider_base_url,
            fallback_provider: settings.fallback_provider,
            fallback_provider_base_url: settings.fallback_provider_base_url,
            fallback_model: settings.fallback_model,
            fallback_voice: settings.fallback_voice,
            fallback_transfer_to: settings.fallback_transfer_to,
            apology_audio_bytes: settings.apology_audio_bytes,
            max_calls: settings.max_calls,
            calls_per_second: settings.calls_per_second,
            max_call_minutes: settings.max_call_minutes,
        }
    }
}

/// A tenant with its version as the answer's tag.
pub(super) type Tagged = ([(HeaderName, String); 1], Json<Tenant>);

pub(super) fn tagged(record: TenantRecord) -> Tagged {
    let tag = format!("\"{}\"", record.version);
    ([(ETAG, tag)], Json(record.into()))
}

/// The tenant of this name, for who sees it.
pub(super) async fn find(
    state: &ApiState,
    identity: &Identity,
    slug: &str,
) -> Result<TenantRecord, Problem> {
    let reading = state.store().tenant_record(slug);
    find_as(identity, slug, reading, |record| record.id).await
}

/// The same in another form: what `reading` reads of this name, and is not begun for a stranger.
pub(super) async fn find_as<T>(
    identity: &Identity,
    slug: &str,
    reading: impl Future<Output = Result<Option<T>, StoreError>>,
    id: impl Fn(&T) -> TenantId,
) -> Result<T, Problem> {
    let none = || Problem::no_tenant(slug);
    if !identity.sees_slug(slug) {
        return Err(none());
    }
    let found = reading.await?;
    found
        .filter(|found| identity.sees(id(found)))
        .ok_or_else(none)
}

/// Which version a change is meant for: that of `if-match`.
pub(super) fn expected(headers: &HeaderMap) -> Result<Expected, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(Expected::Any);
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(Expected::Any);
    }
    let version = text.trim_matches('"').parse().ok();
    version
        .map(|version| Expected::Version(TenantVersion(version)))
        .ok_or_else(|| {
            Problem::invalid(vec![FieldProblem::new(
                "if-match",
                "is no version",
                "take the etag of the tenant, such as \"42\", or leave it out",
            )])
        })
}

fn invalid(invalid: &InvalidTenant) -> Problem {
    let problems = invalid.problems.iter();
    Problem::invalid(
        problems
            .map(|text| {
                let mut problem = FieldProblem::of_text(text);
                // The domain speaks of one of them.
                if problem.field == "agent_name" {
                    "agent_names".clone_into(&mut problem.field);
                }
                problem
            })
            .collect(),
    )
}

fn taken(text: String) -> Problem {
    Problem::new(Kind::NameTaken, text)
}

/// A token of one tenant does not read the name of another.
fn twin(identity: &Identity, twin: &Twin) -> Problem {
    let other = match identity.tenant {
        None => format!("the tenant {}", twin.other),
        Some(_) => "another tenant".to_owned(),
    };
    Problem::new(
        Kind::AgentTaken,
        format!(
            "{other} has the same project (livekit_url and livekit_api_key) and the agent name {}: \
             LiveKit would spread the calls over both; take another agent name",
            twin.agent_name
        ),
    )
}

fn unsealed() -> Problem {
    tracing::error!("a tenant's secrets could not be sealed");
    Problem::new(Kind::Internal, "the secrets could not be sealed")
}

/// Why a tenant was not added, for who asked for it.
pub(super) fn not_added(identity: &Identity, error: AddError) -> Problem {
    match error {
        AddError::Invalid(problems) => invalid(&problems),
        AddError::SlugTaken { .. } => taken(error.to_string()),
        AddError::Twin(other) => twin(identity, &other),
        AddError::Unsealed => unsealed(),
        AddError::Store(error) => error.into(),
    }
}

/// Why a tenant was not changed, for who asked for it.
pub(super) fn not_changed(identity: &Identity, error: ChangeError) -> Problem {
    match error {
        ChangeError::NoSuchTenant { slug } => Problem::no_tenant(&slug),
        ChangeError::Conflict { current, .. } => Problem::version_conflict(current.0),
        ChangeError::Invalid(problems) => invalid(&problems),
        ChangeError::SlugTaken { .. } => taken(error.to_string()),
        ChangeError::Twin(other) => twin(identity, &other),
        ChangeError::Unsealed => unsealed(),
        ChangeError::Store(error) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_taken_from_if_match_in_every_spelling() {
        let with = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, text.parse().unwrap());
            expected(&headers).ok()
        };
        let version = Some(Expected::Version(TenantVersion(42)));
        assert_eq!(with("\"42\""), version);
        assert_eq!(with("42"), version);
        assert_eq!(with("*"), Some(Expected::Any));
        assert_eq!(expected(&HeaderMap::new()).ok(), Some(Expected::Any));
        assert_eq!(with("W/\"42\""), None);
        assert_eq!(with("latest"), None);
    }
}
