//! One phone call: a sans-IO machine, and the task that drives room, backend
//! and model with it.
//!
//! [`run`] takes an assigned job to its end and gives its record. It depends on
//! nothing that may go away in mid-call: not on the worker's socket that brought
//! the job, not on the database, not on another tenant.

mod apology;
mod assignment;
mod check;
mod conversation;
mod drive;
mod held;
mod live;
mod machine;
mod not_joined;
mod playout;
mod recording;
pub mod ring;
mod room;
mod room_api;
mod speaker;
mod transcripts;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use domain::{CallRecord, ProviderSettings, Tenant};
use futures_util::FutureExt as _;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use trunkline_callconfig::Lookup;
use trunkline_domain as domain;
use trunkline_realtime::{Endpoint, Pool};
use url::Url;

use crate::drive::Drive;

pub use assignment::{Assignment, JobReporter, JobStatus};
pub use check::{
    Check, CheckName, CheckReport, CheckStatus, Registration, SampleCall, judge_registrations,
};
pub use live::{CallNews, CallStep, Entered, LiveCall, LiveCalls, Progress};
pub use recording::{InvalidRecording, check_apology};

/// What the calls of a process share.
pub struct Services {
    lookup: Lookup,
    models: Pool,
    default_provider: DefaultProvider,
    rooms: room_api::RoomApi,
    live: LiveCalls,
}

/// The model's provider for tenants that bring none of their own.
#[derive(Debug, Clone)]
pub struct DefaultProvider {
    /// For instance `https://api.openai.com/v1`.
    pub base_url: Url,
    /// `None`: tenants without a key of their own cannot be served.
    pub api_key: Option<SecretString>,
}

impl Services {
    /// Shared by all calls. `cut` is cancelled when the process ends without
    /// waiting for its calls.
    pub fn new(
        lookup: Lookup,
        models: Pool,
        default_provider: DefaultProvider,
        cut: CancellationToken,
    ) -> Self {
        Self {
            lookup,
            models,
            default_provider,
            rooms: room_api::RoomApi::new(cut),
            live: LiveCalls::default(),
        }
    }

    /// The calls that run with these services.
    pub fn live(&self) -> &LiveCalls {
        &self.live
    }

    /// A tenant's model, or what the process has for tenants without their own.
    /// `None`: there is no key for it.
    fn endpoint(&self, provider: &ProviderSettings) -> Option<Endpoint> {
        let default = &self.default_provider;
        let base_url = provider.base_url.as_ref().unwrap_or(&default.base_url);
        // The process's key goes to the process's own address alone: who may write a row
        // could have it sent to his.
        let ours = default.api_key.as_ref();
        let ours = ours.filter(|_| base_url.origin() == default.base_url.origin());
        Some(Endpoint {
            kind: provider.kind,
            base_url: base_url.clone(),
            api_key: provider.api_key.as_ref().or(ours)?.clone(),
        })
    }

    /// What a tenant lacks, or has in a form that is of no use, though its calls are taken.
    pub fn shortfalls(&self, tenant: &Tenant) -> Vec<String> {
        let mut shortfalls = Vec::new();
        let second = tenant.fallback.second_model.as_ref();
        if self.endpoint(&tenant.provider).is_none() {
            let heard = match second {
                Some(_) => "have the second model alone",
                None => "hear the apology",
            };
            shortfalls.push(format!(
                "there is no key for the model, so callers {heard}; set provider_api_key of the \
                 row, or provider.api_key of the process"
            ));
        }
        if second.is_some_and(|second| self.endpoint(&second.provider).is_none()) {
            shortfalls.push(
                "there is no key for the second model, so it cannot take over; set \
                 fallback_provider_api_key of the row"
                    .to_owned(),
            );
        }
        let apology = tenant.fallback.apology.as_ref();
        if let Some(Err(problem)) = apology.map(|apology| check_apology(apology.as_bytes())) {
            shortfalls.push(format!(
                "apology_audio cannot be played, so callers hear the built-in apology: {problem}"
            ));
        }
        shortfalls
    }
}

/// Runs one call to its end and gives its record. When `stop` is cancelled, what
/// is being said is said (3 s at most) and the phone side is sent away.
///
/// # Panics
/// Passes a panic of its own on, after the phone side was sent away.
pub async fn run(
    services: Arc<Services>,
    tenant: Arc<Tenant>,
    assignment: Assignment,
    jobs: Arc<dyn JobReporter>,
    stop: CancellationToken,
) -> CallRecord {
    let span = tracing::info_span!(
        "call",
        tenant = %tenant.slug,
        call = %assignment.call_id,
        job = %assignment.job_id,
    );
    async move {
        let slug = tenant.slug.to_string();
        let room = assignment.room.clone();
        let drive = Drive::new(services.clone(), tenant.clone(), assignment, jobs);
        let record = match AssertUnwindSafe(drive.run(stop)).catch_unwind().await {
            Ok(record) => record,
            Err(panic) => {
                // Its phone side would stay in the room, in silence.
                services.rooms.delete_room(&tenant, &room).await;
                std::panic::resume_unwind(panic)
            }
        };
        metrics::counter!(
            "trunkline_calls_total",
            "tenant" => slug,
            "outcome" => record.outcome.as_str(),
            "config_source" => record.config_source.map_or("none", |source| source.as_str()),
        )
        .increment(1);
        if let Some(answered) = record.times.answered {
            metrics::histogram!("trunkline_call_answer_seconds").record(answered.as_secs_f64());
        }
        for (step, after) in record.times.steps() {
            metrics::histogram!("trunkline_call_step_seconds", "step" => step)
                .record(after.as_secs_f64());
        }
        tracing::info!(
            outcome = record.outcome.as_str(),
            config_source = record.config_source.map(|source| source.as_str()),
            fallback_reason = record.fallback_reason.as_deref(),
            detail = record.detail.as_deref(),
            answered_ms = record.times.answered.map(|t| t.as_millis() as u64),
            ended_ms = record.times.ended.map(|t| t.as_millis() as u64),
            "the call is over",
        );
        record
    }
    .instrument(span)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_the_model_s_key() {
        let provider = DefaultProvider {
            base_url: "https://model.example/v1".parse().unwrap(),
            api_key: Some("sk-hunter2".into()),
        };
        let shown = format!("{provider:?}");
        assert!(shown.contains("model.example"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
