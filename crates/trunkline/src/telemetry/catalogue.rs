//! What every metric means, and the ones that are there before they first happen:
//! an alert on a series that does not exist yet never fires, and the rise from
//! nothing to 1 is none to Prometheus.

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};
use trunkline_callconfig::FallbackReason;
use trunkline_domain::{CallOutcome, ConfigSource};
use trunkline_worker::{Refusal, Strain, WorkerState};

/// Why a worker is started again.
const RESTARTS: [&str; 3] = ["panic", "stall", "unasked"];

/// The rungs of the ladder; `none` when a call ended before one was reached.
const SOURCES: [&str; 5] = [
    ConfigSource::Fresh.as_str(),
    ConfigSource::LastKnown.as_str(),
    ConfigSource::TenantDefault.as_str(),
    ConfigSource::NoLookup.as_str(),
    "none",
];

/// Describes the metrics of all crates.
pub(super) fn describe() {
    tenants();
    headroom();
    calls();
    lookups_and_models();
    records_and_feed();
    api();
}

fn tenants() {
    describe_gauge!(
        "trunkline_tenants",
        "Tenants by what their rows ask for: serving, parked (the row cannot be run), disabled."
    );
    describe_gauge!(
        "trunkline_workers",
        "Tenants' workers by the state of the one that serves, whatever the number of agent names."
    );
    describe_gauge!(
        "trunkline_workers_full",
        "Workers whose tenant's max_calls is reached: LiveKit was told so and offers them nothing, \
         so no refused offer is counted."
    );
    describe_gauge!(
        "trunkline_workers_on_older_version",
        "Tenants that are served with an earlier version of their row: the present one has refused \
         credentials, is not registered yet, or cannot be run."
    );
    describe_counter!(
        "trunkline_worker_restarts_total",
        "Workers that were started again, by the cause: panic, stall, unasked (it ended without an \
         order)."
    );
    describe_counter!(
        "trunkline_worker_stalls_total",
        "Workers whose loop stood still and which were replaced."
    );
    describe_counter!(
        "trunkline_worker_connect_failures_total",
        "Connections to LiveKit that failed or were lost, by the cause."
    );
    describe_counter!(
        "trunkline_worker_bad_frames_total",
        "Messages of LiveKit that could not be read."
    );
    describe_counter!(
        "trunkline_job_events_dropped_total",
        "News of calls that LiveKit was not told."
    );
    describe_counter!(
        "trunkline_tenants_sealed_total",
        "Rows whose secrets in clear were sealed and erased."
    );
}

fn headroom() {
    describe_gauge!(
        "trunkline_event_loop_delay_seconds",
        "How late tasks run, averaged over 5 s."
    );
    describe_gauge!(
        "trunkline_headroom_used_ratio",
        "The used part of what the process may use, by the resource: cpu, memory, descriptors."
    );
    describe_gauge!(
        "trunkline_process_full",
        "1 while worker.max_calls is reached, else 0: every project was told so, and LiveKit \
         offers this replica nothing."
    );
    describe_gauge!(
        "trunkline_process_strained",
        "1 while no offer is taken for want of this resource, else 0."
    );
}

fn calls() {
    describe_counter!(
        "trunkline_offers_total",
        "Calls that LiveKit offered, by the answer and the reason of a refusal."
    );
    describe_gauge!("trunkline_calls_active", "Calls under way.");
    describe_counter!(
        "trunkline_calls_total",
        "Calls that are over, by how they ended and where their configuration was from."
    );
    describe_counter!(
        "trunkline_calls_crashed_total",
        "Calls that a fault of ours ended."
    );
    describe_histogram!(
        "trunkline_call_answer_seconds",
        "From a call's assignment to its answer: how long the caller hears ringing."
    );
    describe_histogram!(
        "trunkline_call_step_seconds",
        "From a call's assignment to each step: joined, configured, model_ready, answered, active, first_sound, ended."
    );
}

fn lookups_and_models() {
    describe_counter!(
        "trunkline_lookups_total",
        "Configurations of calls, by where they were from and why it was not the backend."
    );
    describe_counter!(
        "trunkline_lookup_retries_total",
        "Backends that were asked once more, by what went wrong before."
    );
    describe_counter!(
        "trunkline_lookup_hedges_total",
        "Second requests that went out because the first was silent."
    );
    describe_gauge!(
        "trunkline_lookup_breakers_open",
        "Backends that are left in peace because they did not answer."
    );
    describe_counter!(
        "trunkline_lookup_breaker_opened_total",
        "How often a tenant's backend was found not to answer, and was left in peace."
    );
    describe_histogram!(
        "trunkline_lookup_duration_seconds",
        "How long the configuration of a call took."
    );
    describe_counter!(
        "trunkline_realtime_connects_total",
        "Connections to models, by what came of them."
    );
    describe_histogram!(
        "trunkline_realtime_connect_duration_seconds",
        "How long a connection to a model took."
    );
    describe_counter!(
        "trunkline_realtime_sessions_taken_total",
        "Sessions with models that calls took, by whether one was open in reserve."
    );
    describe_counter!(
        "trunkline_realtime_sessions_closed_total",
        "Sessions with models that ended, by the reason."
    );
    describe_counter!(
        "trunkline_realtime_audio_dropped_total",
        "Pieces of callers' speech that the model was not sent, because it was behind."
    );
}

fn records_and_feed() {
    describe_gauge!(
        "trunkline_records_waiting",
        "Records of calls that are not yet in the database."
    );
    describe_counter!(
        "trunkline_records_lost_total",
        "Records of calls that will never be in the database."
    );
    describe_counter!(
        "trunkline_refusals_lost_total",
        "Refused offers that will never be in the database's records."
    );
    describe_gauge!(
        "trunkline_feed_connected",
        "1 while changes of tenants are seen as they happen, else 0."
    );
    describe_counter!(
        "trunkline_feed_reads_total",
        "Readings of all tenants, by what asked for them."
    );
    describe_counter!(
        "trunkline_feed_outages_total",
        "How often the database went away."
    );
}

fn api() {
    describe_counter!(
        "trunkline_api_requests_total",
        "Requests to the API, by method, route and status."
    );
    describe_histogram!(
        "trunkline_api_request_seconds",
        "How long requests to the API took."
    );
    describe_counter!(
        "trunkline_api_rejections_total",
        "Requests to the API that were not let in: without a valid token, after too many failures, too many of one token."
    );
    describe_counter!(
        "trunkline_api_audit_lost_total",
        "Entries of the API's audit that are in the log only."
    );
}

/// Brings the series of the process to life that one can be alerted by. Called
/// once, before anything counts.
pub(super) fn register() {
    for state in WorkerState::COUNTED {
        gauge!("trunkline_workers", "state" => state).set(0.0);
    }
    for state in ["serving", "parked", "disabled"] {
        gauge!("trunkline_tenants", "state" => state).set(0.0);
    }
    for strain in Strain::ALL {
        gauge!("trunkline_process_strained", "resource" => strain.as_str()).set(0.0);
    }
    gauge!("trunkline_process_full").set(0.0);
    gauge!("trunkline_workers_full").set(0.0);
    gauge!("trunkline_workers_on_older_version").set(0.0);
    counter!("trunkline_lookup_hedges_total").increment(0);
    gauge!("trunkline_lookup_breakers_open").set(0.0);
    gauge!("trunkline_records_waiting").set(0.0);
    counter!("trunkline_records_lost_total").increment(0);
    counter!("trunkline_refusals_lost_total").increment(0);
    gauge!("trunkline_feed_connected").set(0.0);
    counter!("trunkline_feed_outages_total").increment(0);
    counter!("trunkline_api_audit_lost_total").increment(0);
    for reason in ["token", "failures", "rate"] {
        counter!("trunkline_api_rejections_total", "reason" => reason).increment(0);
    }
}

/// The same for a tenant: 39 series.
pub(super) fn register_tenant(slug: &str) {
    let slug = slug.to_owned();
    let lookups = |source: ConfigSource, reason: &'static str| {
        counter!(
            "trunkline_lookups_total",
            "tenant" => slug.clone(), "source" => source.as_str(), "reason" => reason
        )
        .increment(0);
    };
    lookups(ConfigSource::Fresh, "none");
    lookups(ConfigSource::NoLookup, "none");
    for reason in FallbackReason::LABELS {
        lookups(ConfigSource::TenantDefault, reason);
    }
    for reason in ["timeout", "connect", "status_5xx", "breaker_open"] {
        lookups(ConfigSource::LastKnown, reason);
    }
    for cause in RESTARTS {
        counter!("trunkline_worker_restarts_total", "tenant" => slug.clone(), "cause" => cause)
            .increment(0);
    }
    counter!("trunkline_worker_stalls_total", "tenant" => slug.clone()).increment(0);
    counter!("trunkline_calls_crashed_total", "tenant" => slug.clone()).increment(0);
    counter!("trunkline_lookup_breaker_opened_total", "tenant" => slug.clone()).increment(0);
    for refusal in Refusal::OF_ROOM {
        counter!(
            "trunkline_offers_total",
            "tenant" => slug.clone(), "answer" => "declined", "reason" => refusal.as_str()
        )
        .increment(0);
    }
    for source in SOURCES {
        counter!(
            "trunkline_calls_total",
            "tenant" => slug.clone(),
            "outcome" => CallOutcome::ModelFailed.as_str(),
            "config_source" => source,
        )
        .increment(0);
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    /// The metrics in the first column of the table of alerts.
    fn alerts() -> Vec<String> {
        let page = include_str!("../../../../docs/operations.md");
        let (_, table) = page.split_once("## Metrics worth an alert").unwrap();
        let (table, _) = table.split_once("\n## ").unwrap();
        table
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .flat_map(|line| {
                let cell = line.split(" | ").next().unwrap_or_default();
                let names = cell
                    .split('`')
                    .filter(|text| text.starts_with("trunkline_"));
                names.map(str::to_owned).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn every_metric_worth_an_alert_is_there_from_the_start_and_says_what_it_is() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            describe();
            register();
            register_tenant("acme");
        });
        let text = handle.render();
        let alerts = alerts();
        assert!(alerts.len() >= 10, "{alerts:?}");
        for alert in alerts {
            // `name` or `name{label="value"}`
            let (name, label) = match alert.split_once('{') {
                Some((name, label)) => (name, label.trim_end_matches('}')),
                None => (alert.as_str(), ""),
            };
            assert!(text.contains(&format!("# HELP {name} ")), "{name}\n{text}");
            let zero = |line: &str| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(['{', ' ']))
                    && line.contains(label)
                    && line.ends_with(" 0")
            };
            assert!(text.lines().any(zero), "{alert} is not in\n{text}");
        }
    }
}
