//! Manifests of generated workspaces.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use cargo_metadata::{DependencyKind, Metadata};

/// What the crates of a workspace ask of one outside crate, together.
#[derive(Default)]
struct Wish {
    default_features: bool,
    features: BTreeSet<String>,
}

/// The manifest of a package, `name`, that depends on everything that the
/// workspace's crates depend on, with the same features. Built beside others, it
/// makes cargo select the features that the workspace is built with, so that
/// what was compiled for it is used again.
#[must_use]
pub fn same_features(name: &str, metadata: &Metadata) -> String {
    let mut wishes = BTreeMap::<(String, String), Wish>::new();
    for package in metadata.workspace_packages() {
        for dependency in &package.dependencies {
            let local = dependency.source.is_none();
            if local
                || dependency.optional
                || dependency.kind == DependencyKind::Build
                || dependency.target.is_some()
            {
                continue;
            }
            let key = (dependency.name.clone(), dependency.req.to_string());
            let wish = wishes.entry(key).or_default();
            wish.default_features |= dependency.uses_default_features;
            wish.features.extend(dependency.features.iter().cloned());
        }
    }
    let mut manifest = format!(
        "[package]\nname = {name:?}\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = false\n"
    );
    for (index, ((name, requirement), wish)) in wishes.iter().enumerate() {
        let features: Vec<_> = wish.features.iter().collect();
        // Infallible: a String grows.
        let _ = write!(
            manifest,
            "\n[dependencies.d{index}]\npackage = {name:?}\nversion = {requirement:?}\n\
             default-features = {}\nfeatures = {features:?}\n",
            wish.default_features
        );
    }
    manifest
}

/// The `[profile.…]` tables of a manifest, with their comments.
#[must_use]
pub fn profiles(manifest: &str) -> String {
    tables(manifest)
        .filter(|table| table.starts_with("[profile."))
        .collect()
}

/// The workspace's manifest without its patches, and with its crates in the
/// directory `place` where they were in `crates`: a path of their own keeps what
/// is compiled from them apart from the workspace's.
#[must_use]
pub(crate) fn swapped(manifest: &str, place: &str) -> String {
    tables(manifest)
        .filter(|table| !table.starts_with("[patch."))
        .collect::<String>()
        .replace("\"crates/", &format!("\"{place}/"))
}

/// A manifest in pieces, each beginning with a table's head.
fn tables(manifest: &str) -> impl Iterator<Item = &str> {
    let mut heads: Vec<usize> = manifest
        .match_indices("\n[")
        .map(|(at, _)| at + 1)
        .collect();
    heads.insert(0, 0);
    heads.push(manifest.len());
    heads
        .windows(2)
        .filter_map(|ends| manifest.get(ends[0]..ends[1]))
        .collect::<Vec<_>>()
        .into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[workspace]\nmembers = [\"crates/*\", \"tests\"]\n\n\
        [workspace.dependencies]\nours = { path = \"crates/ours\" }\n\n\
        [patch.crates-io]\nx = { path = \"crates/x\" }\n\n\
        [profile.dev]\nopt-level = 1\n[profile.dev.package.\"*\"]\nopt-level = 2\n";

    #[test]
    fn the_profiles_are_taken_alone() {
        assert_eq!(
            profiles(MANIFEST),
            "[profile.dev]\nopt-level = 1\n[profile.dev.package.\"*\"]\nopt-level = 2\n"
        );
    }

    #[test]
    fn a_swapped_manifest_has_no_patch_and_other_places() {
        let swapped = swapped(MANIFEST, "ours");
        assert!(!swapped.contains("patch"), "{swapped}");
        assert!(
            swapped.contains("members = [\"ours/*\", \"tests\"]"),
            "{swapped}"
        );
        assert!(swapped.contains("path = \"ours/ours\""), "{swapped}");
    }
}
