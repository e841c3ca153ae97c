//! `docs/metrics.md` is written by the code: what it describes, in a table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parking_lot::Mutex;

/// Set, the page is written and not compared.
const WRITE: &str = "TRUNKLINE_WRITE_DOCS";

const HEAD: &str = "\
# Metrics

`GET /metrics` on the admin address, in Prometheus' text form. This page is written by the code
(`TRUNKLINE_WRITE_DOCS=1 cargo test -p trunkline --lib telemetry`), and a test holds it to it. What
is worth an alert stands in [operations.md](operations.md#metrics-worth-an-alert).

Durations are in seconds. Series of a tenant have the label `tenant`, its slug, unless
`metrics.tenant_label` is off, which very many tenants want: each has some thirty series. No label
ever holds a phone number or the id of a call.

| metric | type | meaning |
|---|---|---|
";

/// What was described, by name: type and meaning.
#[derive(Default)]
struct Described(Mutex<BTreeMap<String, (&'static str, String)>>);

impl Described {
    fn note(&self, kind: &'static str, key: &KeyName, description: &SharedString) {
        let meaning = (kind, description.to_string());
        let twice = self.0.lock().insert(key.as_str().to_owned(), meaning);
        assert!(twice.is_none(), "{} is described twice", key.as_str());
    }
}

impl Recorder for Described {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.note("counter", &key, &description);
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.note("gauge", &key, &description);
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.note("histogram", &key, &description);
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn the_page_is_what_the_code_says() {
    let described = Described::default();
    metrics::with_local_recorder(&described, super::metrics::describe);
    let mut page = HEAD.to_owned();
    for (name, (kind, meaning)) in &*described.0.lock() {
        writeln!(page, "| `{name}` | {kind} | {meaning} |").unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(
        page == written,
        "docs/metrics.md is out of date; write it with {WRITE}=1"
    );
}
