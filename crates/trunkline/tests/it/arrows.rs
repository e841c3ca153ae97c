//! Holds the architecture: which crate may depend on which.
//!
//! `domain ← {store, callconfig, realtime} ← call ← worker ← supervisor ← admin ←
//! trunkline`; `libwebrtc` knows nothing of the rest; nobody depends on `testbed`
//! but tests.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

/// What each crate of ours may depend on, among ours, in its normal and build
/// dependencies. A crate that is not here is a failure, so that a new one is
/// given its place.
const MAY_DEPEND_ON: [(&str, &[&str]); 14] = [
    ("trunkline-domain", &[]),
    ("trunkline-store", &["trunkline-domain"]),
    ("trunkline-callconfig", &["trunkline-domain"]),
    ("trunkline-realtime", &["trunkline-domain"]),
    // Beneath the SDK, and so beneath everything that joins rooms.
    ("trunkline-signalling", &[]),
    (
        "trunkline-call",
        &[
            "trunkline-domain",
            "trunkline-callconfig",
            "trunkline-realtime",
        ],
    ),
    ("trunkline-worker", &["trunkline-domain", "trunkline-call"]),
    (
        "trunkline-supervisor",
        &["trunkline-domain", "trunkline-store", "trunkline-worker"],
    ),
    (
        "trunkline-admin",
        &[
            "trunkline-domain",
            "trunkline-store",
            "trunkline-call",
            "trunkline-supervisor",
        ],
    ),
    (
        "trunkline",
        &[
            "trunkline-domain",
            "trunkline-store",
            "trunkline-callconfig",
            "trunkline-realtime",
            "trunkline-signalling",
            "trunkline-call",
            "trunkline-worker",
            "trunkline-supervisor",
            "trunkline-admin",
        ],
    ),
    ("libwebrtc", &[]),
    // Peers of the product, not parts of it: they know its words only. Its benchmarks measure
    // rooms as the product has them, their sockets included.
    (
        "trunkline-testbed",
        &["trunkline-domain", "trunkline-signalling"],
    ),
    // Names everything that it tests.
    (
        "trunkline-tests",
        &[
            "trunkline",
            "trunkline-domain",
            "trunkline-store",
            "trunkline-testbed",
        ],
    ),
    ("trunkline-bench", &["trunkline-testbed"]),
];

/// Crates from outside that only some of ours may name, dev-dependencies
/// included.
const NAMED_ONLY_BY: [(&str, &[&str]); 5] = [
    // The SDK's rooms. The testbed's caller joins rooms as LiveKit's bridge does.
    (
        "livekit",
        &["trunkline-call", "trunkline-testbed", "libwebrtc"],
    ),
    ("livekit-net", &["trunkline-signalling"]),
    ("str0m", &["libwebrtc"]),
    ("opusic-c", &["libwebrtc", "trunkline-testbed"]),
    ("libwebrtc", &["trunkline-call", "trunkline-testbed"]),
];

/// Crates that reach these from `domain` would have I/O or a clock there.
const NOT_REACHED_BY_DOMAIN: [&str; 6] =
    ["tokio", "sqlx", "sqlx-core", "reqwest", "livekit", "hyper"];

/// The C++ engine. Ours stands in its place.
const NOT_REACHED_BY_THE_BINARY: [&str; 3] = ["webrtc-sys", "openssl-sys", "native-tls"];

fn metadata() -> Metadata {
    // For this platform only: manifests of the others' crates need not be there.
    let version = Command::new(env!("CARGO")).arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"))
        .other_options(vec![
            "--locked".to_owned(),
            "--filter-platform".to_owned(),
            host.to_owned(),
        ])
        .exec()
        .unwrap()
}

fn ours(metadata: &Metadata) -> Vec<&Package> {
    metadata.workspace_packages()
}

/// Everything that is compiled into a package, itself left out.
fn reached<'a>(metadata: &'a Metadata, from: &str) -> BTreeSet<&'a str> {
    let nodes: BTreeMap<&PackageId, _> = metadata
        .resolve
        .as_ref()
        .unwrap()
        .nodes
        .iter()
        .map(|node| (&node.id, node))
        .collect();
    let names: BTreeMap<&PackageId, &str> = metadata
        .packages
        .iter()
        .map(|package| (&package.id, package.name.as_str()))
        .collect();
    let start = ours(metadata)
        .into_iter()
        .find(|package| package.name == from)
        .unwrap();
    let mut seen = BTreeSet::new();
    let mut waiting = vec![&start.id];
    while let Some(id) = waiting.pop() {
        for dependency in &nodes[id].deps {
            let normal = dependency
                .dep_kinds
                .iter()
                .any(|kind| kind.kind == DependencyKind::Normal);
            if normal && seen.insert(&dependency.pkg) {
                waiting.push(&dependency.pkg);
            }
        }
    }
    seen.into_iter().map(|id| names[id]).collect()
}

#[test]
fn every_crate_depends_only_on_those_below_it() {
    let metadata = metadata();
    let rules: BTreeMap<&str, &[&str]> = MAY_DEPEND_ON.into_iter().collect();
    let names: BTreeSet<&str> = ours(&metadata).iter().map(|p| p.name.as_str()).collect();
    let mut wrong = Vec::new();
    for package in ours(&metadata) {
        let Some(allowed) = rules.get(package.name.as_str()) else {
            wrong.push(format!("{} has no place in MAY_DEPEND_ON", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            if names.contains(name)
                // `libwebrtc` is reached through the official SDK: below.
                && name != "libwebrtc"
                && dependency.kind != DependencyKind::Development
                && !allowed.contains(&name)
            {
                wrong.push(format!("{} must not depend on {name}", package.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_tests_depend_on_the_testbed() {
    let metadata = metadata();
    for package in ours(&metadata) {
        for dependency in &package.dependencies {
            if dependency.name == "trunkline-testbed" {
                assert!(
                    dependency.kind == DependencyKind::Development
                        || matches!(package.name.as_str(), "trunkline-tests" | "trunkline-bench"),
                    "{} depends on the testbed outside of its tests",
                    package.name
                );
            }
        }
    }
}

#[test]
fn the_sdk_and_the_engine_are_named_where_they_belong() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for (outside, allowed) in NAMED_ONLY_BY {
        for package in ours(&metadata) {
            let names_it = package.dependencies.iter().any(|d| d.name == outside);
            if names_it && !allowed.contains(&package.name.as_str()) {
                wrong.push(format!("{} must not name {outside}", package.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn domain_reaches_neither_a_runtime_nor_a_database() {
    let metadata = metadata();
    let reached = reached(&metadata, "trunkline-domain");
    for name in NOT_REACHED_BY_DOMAIN {
        assert!(!reached.contains(name), "domain reaches {name}");
    }
    assert!(reached.contains("serde"), "the search finds what is there");
}

#[test]
fn the_binary_is_built_on_our_engine_and_one_tls_stack() {
    let metadata = metadata();
    let reached = reached(&metadata, "trunkline");
    for name in NOT_REACHED_BY_THE_BINARY {
        assert!(!reached.contains(name), "trunkline reaches {name}");
    }
    for name in ["livekit", "libwebrtc", "str0m"] {
        assert!(reached.contains(name), "trunkline does not reach {name}");
    }
    let livekit = metadata
        .packages
        .iter()
        .find(|p| p.name == "livekit")
        .unwrap();
    let source = livekit.source.as_ref().map(ToString::to_string);
    assert!(
        source.is_some_and(|s| s.contains("crates.io")),
        "the SDK is the official one, from crates.io"
    );
}

#[test]
fn every_crate_is_named_in_the_architecture() {
    let page = include_str!("../../../../docs/architecture.md");
    for package in ours(&metadata()) {
        let directory = package.manifest_path.parent().unwrap().file_name().unwrap();
        let named = [
            format!("**{directory}**"),
            format!("`{directory}/`"),
            format!("`crates/{directory}`"),
        ];
        assert!(
            named.iter().any(|name| page.contains(name.as_str())),
            "docs/architecture.md says nothing of {directory}"
        );
    }
}
