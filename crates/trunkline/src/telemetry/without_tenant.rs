//! Metrics of all tenants together.
//!
//! Each tenant has some thirty series. With very many tenants that is more than a
//! Prometheus server wants from one process, so the label can be left out.

use std::borrow::Cow;

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit,
};

/// The label that is left out.
const TENANT: &str = "tenant";

/// A recorder that does not see which tenant it is.
pub(super) struct WithoutTenant<R>(pub(super) R);

fn anonymous(key: &Key) -> Cow<'_, Key> {
    if key.labels().all(|label| label.key() != TENANT) {
        return Cow::Borrowed(key);
    }
    let others = key.labels().filter(|label| label.key() != TENANT);
    let others: Vec<Label> = others.cloned().collect();
    Cow::Owned(Key::from_parts(key.name().to_owned(), others))
}

impl<R: Recorder> Recorder for WithoutTenant<R> {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.0.register_counter(&anonymous(key), metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.0.register_gauge(&anonymous(key), metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.0.register_histogram(&anonymous(key), metadata)
    }
}

#[cfg(test)]
mod tests {
    use metrics::{counter, gauge};
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn what_tenants_count_is_counted_together() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&WithoutTenant(recorder), || {
            for slug in ["acme", "zenith"] {
                counter!("calls_total", "tenant" => slug, "outcome" => "done").increment(2);
                gauge!("calls_active", "tenant" => slug).increment(3.0);
            }
            gauge!("calls_active", "tenant" => "acme").decrement(1.0);
            counter!("reads_total").increment(1);
        });
        let text = handle.render();
        for line in [
            r#"calls_total{outcome="done"} 4"#,
            "calls_active 5",
            "reads_total 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("acme"), "{text}");
    }
}
