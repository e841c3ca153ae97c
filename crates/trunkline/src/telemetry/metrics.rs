//! Metrics of the process, in Prometheus' form.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;
use trunkline_supervisor::{Handle, ProjectState};

use super::without_tenant::WithoutTenant;
use super::{catalogue, process};
use crate::config::Metrics;

/// How often histograms are folded and the process's own figures read. Prometheus
/// scrapes every 15 s or more.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// From a local database's answer to a caller's patience, in seconds.
const SECONDS_BUCKETS: [f64; 15] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// Why metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The recorder could not be built.
    #[error("the metrics recorder could not be built")]
    Build(#[from] BuildError),
    /// Another recorder was installed in this process.
    #[error("metrics have been set up by something else in this process")]
    Taken,
}

/// Installs the process's recorder. A second call gives the same one, because
/// there is one recorder to a process, however many services run in it.
///
/// # Errors
/// When another recorder was installed.
pub fn install(options: &Metrics) -> Result<PrometheusHandle, MetricsError> {
    static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*installed {
        return Ok(handle.clone());
    }
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)?
        .build_recorder();
    let handle = recorder.handle();
    if options.tenant_label {
        metrics::set_global_recorder(recorder).map_err(|_| MetricsError::Taken)?;
    } else {
        let recorder = WithoutTenant(recorder);
        metrics::set_global_recorder(recorder).map_err(|_| MetricsError::Taken)?;
    }
    describe();
    begin();
    *installed = Some(handle.clone());
    Ok(handle)
}

pub(super) fn describe() {
    metrics::describe_gauge!(
        "trunkline_build_info",
        "Always 1; what runs, in its labels."
    );
    catalogue::describe();
    process::describe();
}

/// Brings to life what is there from the start.
fn begin() {
    metrics::gauge!(
        "trunkline_build_info",
        "version" => env!("CARGO_PKG_VERSION"),
        "commit" => option_env!("TRUNKLINE_COMMIT").unwrap_or("unknown"),
    )
    .set(1.0);
    catalogue::register();
}

/// Keeps the recorder small and the process's figures fresh, and gives each tenant
/// that takes calls its series, until told to stop.
pub async fn upkeep(handle: PrometheusHandle, projects: Handle, stop: CancellationToken) {
    let mut known = HashSet::new();
    let mut tick = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {
                handle.run_upkeep();
                process::measure();
                for project in projects.projects() {
                    // The slug of a row that cannot be run can be anything.
                    let takes_calls = matches!(project.state, ProjectState::Worker(_));
                    if takes_calls && known.insert(project.slug.clone()) {
                        catalogue::register_tenant(&project.slug);
                    }
                }
            }
        }
    }
}
