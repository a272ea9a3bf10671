//! A package that is in the graph more than once costs time and bytes: each one is listed with its reason.

use std::collections::{BTreeMap, BTreeSet};

use crate::metadata::Metadata;

/// Compares the graph with the lines of `xtask/duplicates.txt`.
pub(crate) fn check(metadata: &Metadata, list: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut listed: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for line in list.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let (head, reason) = line.split_once('|').unwrap_or((line, ""));
        let mut words = head.split_whitespace();
        let Some(name) = words.next() else { continue };
        if reason.trim().is_empty() {
            problems.push(format!("{name}: the line gives no reason: `{name} VERSION VERSION… | REASON`"));
        }
        if listed.insert(name, words.map(str::to_owned).collect()).is_some() {
            problems.push(format!("{name} is listed twice"));
        }
    }

    let mut found: BTreeMap<&str, BTreeMap<String, &[String]>> = BTreeMap::new();
    for package in metadata.resolved() {
        found.entry(&package.name).or_default().insert(line_of(&package.version), &package.dependents);
    }
    found.retain(|_, versions| versions.len() > 1);

    for (name, versions) in &found {
        let names: BTreeSet<String> = versions.keys().cloned().collect();
        let line = format!("{name} {}", names.iter().cloned().collect::<Vec<_>>().join(" "));
        match listed.get(name) {
            Some(expected) if *expected == names => {}
            Some(expected) => problems.push(format!(
                "{name} is in the graph as {}, and listed as {}: change its line to `{line} | REASON`",
                names.iter().cloned().collect::<Vec<_>>().join(", "),
                expected.iter().cloned().collect::<Vec<_>>().join(", ")
            )),
            None => {
                let through: Vec<String> =
                    versions.iter().map(|(version, by)| format!("{version} through {}", by.join(", "))).collect();
                problems.push(format!("{name} is new: {}. Avoid it, or add `{line} | REASON`", through.join("; ")));
            }
        }
    }
    for name in listed.keys().filter(|name| !found.contains_key(*name)) {
        problems.push(format!("{name} is no longer there twice: remove its line"));
    }
    problems
}

/// The part of a version that compatible releases share: two of them are never in one graph.
fn line_of(version: &str) -> String {
    let mut line = Vec::new();
    for number in version.split(['-', '+']).next().unwrap_or(version).split('.') {
        line.push(number);
        if number != "0" {
            break;
        }
    }
    line.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::{foreign, graph};

    fn two() -> Metadata {
        graph(vec![foreign("syn", "2.0.119"), foreign("syn", "3.0.2"), foreign("bytes", "1.12.1")])
    }

    #[test]
    fn a_listed_duplicate_passes_whatever_its_patch_version() {
        assert!(check(&two(), "# comment\n\nsyn 2 3 | derive macros move one by one\n").is_empty());
    }

    #[test]
    fn a_new_duplicate_is_named() {
        let problems = check(&two(), "");
        assert!(problems.len() == 1 && problems[0].contains("add `syn 2 3 | REASON`"), "{problems:?}");
    }

    #[test]
    fn a_stale_line_is_named() {
        assert!(check(&two(), "syn 2 3 | x\nrand 0.8 0.9 | y")[0].contains("remove its line"));
        assert!(check(&two(), "syn 1 2 3 | x")[0].contains("change its line"));
    }

    #[test]
    fn a_line_needs_a_reason_and_stands_once() {
        assert!(check(&two(), "syn 2 3")[0].contains("no reason"));
        assert!(check(&two(), "syn 2 3 | x\nsyn 2 3 | x")[0].contains("listed twice"));
    }

    #[test]
    fn compatible_versions_share_a_line() {
        assert_eq!(line_of("1.2.3"), "1");
        assert_eq!(line_of("0.2.17"), "0.2");
        assert_eq!(line_of("0.0.3-rc.1"), "0.0.3");
        assert_eq!(line_of("0.11.1+wasi-0.2"), "0.11");
    }
}
