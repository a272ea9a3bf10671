//! Who may import whom.

use crate::metadata::Metadata;

const CORE: &str = "saas-backup-core";
const HTTP: &str = "saas-backup-http";
const REPOSITORY: &str = "saas-backup-repository";
const FACADE: &str = "saas-backup";

/// The members that a member may depend on; `None` for all. Tests may use more.
const LAYERS: &[(&str, Option<&[&str]>)] = &[
    (CORE, Some(&[])),
    (REPOSITORY, Some(&[CORE])),
    (HTTP, Some(&[CORE])),
    ("saas-backup-connectors", Some(&[CORE, HTTP])),
    ("saas-backup-declarative", Some(&[CORE, HTTP])),
    ("saas-backup-formats", Some(&[CORE])),
    ("saas-backup-export-api", Some(&[CORE])),
    ("saas-backup-ops", Some(&[CORE, HTTP, REPOSITORY])),
    (FACADE, None),
    ("saas-backup-cli", Some(&[FACADE])),
    // Programs for people take what they need, and build nothing else.
    ("examples", None),
    ("benches", None),
    ("s3-server", Some(&[])),
    ("xtask", Some(&[])),
];

/// Names every member that reaches past its layer, and every member that has none.
pub(crate) fn check(metadata: &Metadata) -> Vec<String> {
    let mut problems = Vec::new();
    for member in metadata.members() {
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == member.name) else {
            problems.push(format!("{} has no layer: add it to LAYERS in xtask/src/layers.rs", member.name));
            continue;
        };
        let Some(allowed) = allowed else { continue };
        for dependency in member.dependencies.iter().filter(|dependency| !dependency.dev) {
            let sibling = metadata.members().any(|other| other.name == dependency.name);
            if sibling && !allowed.contains(&dependency.name.as_str()) {
                let may = if allowed.is_empty() { "no member".to_owned() } else { allowed.join(", ") };
                problems.push(format!(
                    "{} depends on {}, but may know {may} alone: move what both need into {CORE}, or the caller up",
                    member.name, dependency.name
                ));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::{depends, graph, member};
    use crate::metadata::{Dependency, Package};

    fn problems(name: &str, dependency: Dependency) -> Vec<String> {
        let sibling = member(&dependency.name);
        check(&graph(vec![Package { dependencies: vec![dependency], ..member(name) }, sibling]))
    }

    #[test]
    fn each_layer_knows_what_lies_below() {
        assert!(problems("saas-backup-formats", depends(CORE, &[])).is_empty());
        assert!(problems("saas-backup-ops", depends(REPOSITORY, &[])).is_empty());
        assert!(problems(FACADE, depends("saas-backup-ops", &[])).is_empty());
        assert!(problems("examples", depends(FACADE, &[])).is_empty());
    }

    #[test]
    fn no_layer_knows_its_neighbour_or_what_lies_above() {
        for (name, dependency) in [
            (CORE, REPOSITORY),
            ("saas-backup-formats", "saas-backup-connectors"),
            ("saas-backup-connectors", REPOSITORY),
            ("saas-backup-export-api", "saas-backup-formats"),
            ("saas-backup-ops", "saas-backup-connectors"),
            ("saas-backup-cli", CORE),
        ] {
            assert_eq!(problems(name, depends(dependency, &[])).len(), 1, "{name} on {dependency}");
        }
    }

    #[test]
    fn tests_may_use_a_sibling() {
        assert!(problems("saas-backup-formats", Dependency { dev: true, ..depends(REPOSITORY, &[]) }).is_empty());
    }

    #[test]
    fn a_member_without_a_layer_is_named() {
        assert!(check(&graph(vec![member("saas-backup-new")]))[0].contains("LAYERS"));
    }
}
