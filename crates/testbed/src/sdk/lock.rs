//! Lock files, as text: one `[[package]]` block after the other.

use std::collections::BTreeSet;

const BLOCK: &str = "[[package]]\n";

/// `ours`, with the packages of `theirs` of which ours has no version that cargo
/// would take for the same. What is not needed cargo removes, and an edge to
/// a package that is not there it resolves again.
pub(crate) fn merge(ours: &str, theirs: &str) -> String {
    let known: BTreeSet<_> = blocks(ours).filter_map(compatibility).collect();
    let mut merged = ours.trim_end().to_owned();
    for block in blocks(theirs) {
        if compatibility(block).is_some_and(|key| !known.contains(&key)) {
            merged.push_str("\n\n");
            merged.push_str(BLOCK);
            merged.push_str(block.trim_end());
        }
    }
    merged.push('\n');
    merged
}

/// `lock` without the local package of this name: so that one from a registry
/// takes its place.
pub(crate) fn without_local(lock: &str, name: &str) -> String {
    let head = lock.split(BLOCK).next().unwrap_or_default();
    let kept = blocks(lock)
        .filter(|block| field(block, "name") != Some(name) || field(block, "source").is_some())
        .map(|block| format!("{BLOCK}{block}"));
    std::iter::once(head.to_owned()).chain(kept).collect()
}

/// The packages of `made` that came from a registry and are in none of `known`.
pub(crate) fn strangers(made: &str, known: &[&str]) -> Vec<String> {
    let known: BTreeSet<_> = known
        .iter()
        .flat_map(|lock| blocks(lock))
        .filter_map(name_and_version)
        .collect();
    blocks(made)
        .filter(|block| field(block, "source").is_some())
        .filter_map(name_and_version)
        .filter(|package| !known.contains(package))
        .map(|(name, version)| format!("{name} {version}"))
        .collect()
}

fn blocks(lock: &str) -> impl Iterator<Item = &str> {
    lock.split(BLOCK).skip(1)
}

fn field<'a>(block: &'a str, name: &str) -> Option<&'a str> {
    block.lines().find_map(|line| {
        line.strip_prefix(name)?
            .strip_prefix(" = \"")?
            .strip_suffix('"')
    })
}

fn name_and_version(block: &str) -> Option<(&str, &str)> {
    Some((field(block, "name")?, field(block, "version")?))
}

/// The name, and the part of the version that a caret requirement holds fast.
fn compatibility(block: &str) -> Option<(&str, &str)> {
    let (name, version) = name_and_version(block)?;
    let mut ends = version.match_indices('.').map(|(at, _)| at);
    let end = match version.strip_prefix("0.") {
        Some(_) => ends.nth(1),
        None => ends.next(),
    };
    Some((name, &version[..end?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "version = 4\n\n\
        [[package]]\nname = \"a\"\nversion = \"1.2.0\"\nsource = \"r\"\n\n\
        [[package]]\nname = \"b\"\nversion = \"0.3.1\"\nsource = \"r\"\n";
    const THEIRS: &str = "version = 4\n\n\
        [[package]]\nname = \"a\"\nversion = \"1.9.0\"\nsource = \"r\"\n\n\
        [[package]]\nname = \"b\"\nversion = \"0.2.7\"\nsource = \"r\"\n\n\
        [[package]]\nname = \"c\"\nversion = \"2.0.0\"\nsource = \"r\"\n";

    #[test]
    fn what_ours_has_stays_and_the_rest_is_taken_from_theirs() {
        let merged = merge(OURS, THEIRS);
        let packages: Vec<_> = blocks(&merged).filter_map(name_and_version).collect();
        assert_eq!(
            packages,
            [
                ("a", "1.2.0"),
                ("b", "0.3.1"),
                ("b", "0.2.7"),
                ("c", "2.0.0")
            ]
        );
    }

    #[test]
    fn a_local_package_makes_room_for_one_of_the_registry() {
        let lock = format!("{OURS}\n[[package]]\nname = \"engine\"\nversion = \"0.1.0\"\n");
        let without = without_local(&lock, "engine");
        assert_eq!(without.trim_end(), OURS.trim_end());
        assert_eq!(without_local(&lock, "a"), lock);
    }

    #[test]
    fn a_version_of_neither_is_a_stranger_unless_it_is_local() {
        let made = "[[package]]\nname = \"a\"\nversion = \"1.9.1\"\nsource = \"r\"\n\n\
            [[package]]\nname = \"c\"\nversion = \"2.0.0\"\nsource = \"r\"\n\n\
            [[package]]\nname = \"local\"\nversion = \"0.0.0\"\n";
        assert_eq!(strangers(made, &[OURS, THEIRS]), ["a 1.9.1"]);
    }
}
