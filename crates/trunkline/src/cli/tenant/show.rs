//! `trunkline tenant show`

use anyhow::Context;
use chrono::{SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use trunkline_domain::{Tenant, TenantSlug};
use trunkline_store::{ChangeError, RefusalTotal, Store, TenantSettings};

use super::Output;
use super::view::TenantView;
use crate::cli::report;
use crate::config::Config;

/// Of refused offers those are shown that a person who looks now may ask about.
const LATELY: TimeDelta = TimeDelta::hours(24);

pub(super) async fn run(
    config: &Config,
    store: &Store,
    slug: &str,
    output: &Output,
) -> anyhow::Result<()> {
    let record = store
        .tenant_record(slug)
        .await?
        .ok_or_else(|| ChangeError::NoSuchTenant {
            slug: slug.to_owned(),
        })?;
    let states = store.states().await?;
    let row = record.row();
    let view = TenantView::new(&row, &states, Utc::now());
    let mut shown = serde_json::to_value(&view)?;
    let fields = shown
        .as_object_mut()
        .context("a tenant's view is an object")?;
    let settings = match &record.tenant {
        Ok(tenant) => settings(tenant, &record.settings),
        // Right or wrong, so that it can be mended.
        Err(_) => serde_json::to_value(&record.settings)?,
    };
    if let Value::Object(settings) = settings {
        fields.extend(settings);
    }
    fields.insert(
        "created_at".to_owned(),
        record
            .created_at
            .to_rfc3339_opts(SecondsFormat::Secs, true)
            .into(),
    );
    fields.insert(
        "updated_at".to_owned(),
        row.updated_at
            .to_rfc3339_opts(SecondsFormat::Secs, true)
            .into(),
    );
    let from = Utc::now() - LATELY;
    fields.insert(
        "refused_offers_last_24h".to_owned(),
        refused(&store.refusal_totals(row.id, from).await?),
    );
    if output.json {
        return report::json(&shown);
    }
    let raw = serde_json::to_value(&record.settings)?;
    let mut text = String::new();
    lines(&shown, "", &mut |name, value| {
        let is_default = name
            .strip_prefix("default_config.")
            .is_some_and(|field| raw["default_config"][field].is_null());
        text.push_str(&match value {
            Some(value) if is_default => format!("{name}: {value} (not set)\n"),
            Some(value) => format!("{name}: {value}\n"),
            None => match in_its_place(name, config) {
                Some(default) => format!("{name}: (not set: {default})\n"),
                None => return,
            },
        });
    });
    report::result(&text)
}

/// What holds where a setting is not set. `None`: it is none.
fn in_its_place(name: &str, config: &Config) -> Option<String> {
    Some(match name {
        "deployment" => "none is asked for".to_owned(),
        "call_config_url" => "every call runs with the default configuration".to_owned(),
        "call_config_bearer" => "the backend is sent no token".to_owned(),
        "call_config_signing_secret" => "requests are not signed".to_owned(),
        "call_config_deadline_ms" => "no backend is asked".to_owned(),
        "default_config.temperature" => "the model's own".to_owned(),
        "provider_base_url" => {
            let url = &config.provider.base_url;
            format!("the process's provider.base_url, {url} here")
        }
        "provider_api_key" => match config.provider.api_key {
            Some(_) => "the process's provider.api_key, which is set here".to_owned(),
            None => "the process's provider.api_key, which is not set here".to_owned(),
        },
        "fallback_provider" => "there is no second model".to_owned(),
        "fallback_transfer_to" => "after the apology the call ends".to_owned(),
        "apology_audio_bytes" => "callers hear the built-in apology".to_owned(),
        "max_calls" => {
            let most = config.worker.max_calls();
            format!("as many as the process takes, worker.max_calls, {most} here")
        }
        "calls_per_second" => "as many as come".to_owned(),
        "max_call_minutes" => "as long as it takes".to_owned(),
        _ => return None,
    })
}

/// By the reason, how many and when the last.
fn refused(totals: &[RefusalTotal]) -> Value {
    let by_reason = totals.iter().map(|total| {
        let last_at = total.last_at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let told = json!({"count": total.count, "last_at": last_at});
        (total.reason.clone(), told)
    });
    Value::Object(by_reason.collect())
}

/// What the row says. Of a secret only whether there is one.
fn settings(tenant: &Tenant, row: &TenantSettings) -> Value {
    let second_key = row.secrets.contains(&"fallback_provider_api_key");
    let lookup = tenant.lookup.as_ref();
    let config = &tenant.default_config;
    let slug: &TenantSlug = &tenant.slug;
    json!({
        "slug": slug,
        "livekit_url": tenant.project.url,
        "livekit_api_key": tenant.project.api_key,
        "livekit_api_secret": "(sealed)",
        "agent_names": tenant.agent_names,
        "deployment": tenant.deployment,
        "call_config_url": lookup.map(|l| &l.url),
        "call_config_bearer": lookup.and_then(|l| l.bearer.as_ref()).map(|_| "(sealed)"),
        "call_config_signing_secret": lookup
            .and_then(|l| l.signing_secret.as_ref())
            .map(|_| "(sealed)"),
        "call_config_deadline_ms": lookup.map(|l| l.deadline.as_millis()),
        "answer_deadline_ms": tenant.answer_deadline.as_millis(),
        "default_config": {
            "systemPrompt": config.system_prompt,
            "model": config.model,
            "voice": config.voice,
            "temperature": config.temperature,
            "startMessage": config.start_message,
        },
        "provider": tenant.provider.kind.as_str(),
        "provider_base_url": tenant.provider.base_url,
        "provider_api_key": tenant.provider.api_key.as_ref().map(|_| "(sealed)"),
        "fallback_provider": row.fallback_provider,
        "fallback_provider_base_url": row.fallback_provider_base_url,
        "fallback_provider_api_key": second_key.then_some("(sealed)"),
        "fallback_model": row.fallback_model,
        "fallback_voice": row.fallback_voice,
        "fallback_transfer_to": row.fallback_transfer_to,
        "apology_audio_bytes": row.apology_audio_bytes,
        "max_calls": tenant.limits.max_calls,
        "calls_per_second": tenant.limits.calls_per_second.map(|rate| rate.get()),
        "max_call_minutes": tenant.limits.max_call_duration.map(|limit| limit.as_secs() / 60),
    })
}

/// Gives each value with its name, as text; of null there is none.
fn lines(value: &Value, name: &str, give: &mut impl FnMut(&str, Option<String>)) {
    match value {
        Value::Null => give(name, None),
        Value::Object(fields) => {
            for (field, value) in fields {
                lines(value, &join(name, field), give);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                lines(item, &join(name, &index.to_string()), give);
            }
        }
        Value::String(content) => give(name, Some(content.replace('\n', "\n    "))),
        other => give(name, Some(other.to_string())),
    }
}

fn join(name: &str, field: &str) -> String {
    if name.is_empty() {
        field.to_owned()
    } else {
        format!("{name}.{field}")
    }
}
