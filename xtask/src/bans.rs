//! Packages and feature switches that must not be in the graph.

use crate::metadata::{Metadata, Package};

/// A package that is not to be used.
struct Ban {
    name: &'static str,
    /// The versions that begin like this; all if empty.
    version: &'static str,
    reason: &'static str,
    /// Packages that may bring it all the same.
    through: &'static [&'static str],
}

const BANS: &[Ban] = &[
    Ban {
        name: "openssl-sys",
        version: "",
        reason: "TLS is rustls everywhere: no system library, one list of authorities",
        through: &[],
    },
    Ban {
        name: "native-tls",
        version: "",
        reason: "TLS is rustls everywhere: no system library, one list of authorities",
        through: &[],
    },
    Ban {
        name: "ring",
        version: "",
        reason: "rustls panics when two providers are compiled in, and ours is aws-lc-rs: switch the feature of whoever brings it",
        through: &[],
    },
    Ban {
        name: "rsa",
        version: "",
        reason: "RUSTSEC-2023-0071: its private-key operations leak by their timing; sign with aws-lc-rs",
        through: &[],
    },
    Ban { name: "serde_yaml", version: "", reason: "it is no longer maintained; take serde-saphyr", through: &[] },
    Ban { name: "reqwest", version: "0.12.", reason: "one HTTP client in the tree, and it is 0.13", through: &[] },
];

/// A feature that changes what other packages of the same build see.
const SWITCHES: &[(&str, &str, &str)] = &[
    (
        "serde_json",
        "preserve_order",
        "features unify: everybody's maps would change their order, and with it our bytes",
    ),
    ("serde_json", "arbitrary_precision", "features unify: everybody's numbers would change their representation"),
];

/// Names every banned package and switch, and who brings it.
pub(crate) fn check(metadata: &Metadata) -> Vec<String> {
    let banned = metadata.resolved().filter_map(|package| {
        let ban = BANS.iter().find(|ban| ban.name == package.name && package.version.starts_with(ban.version))?;
        let through: Vec<&str> =
            package.dependents.iter().map(String::as_str).filter(|name| !ban.through.contains(name)).collect();
        (!through.is_empty()).then(|| {
            format!(
                "{} {} is banned: {}. It comes through {}",
                package.name,
                package.version,
                ban.reason,
                through.join(", ")
            )
        })
    });
    let switched = SWITCHES.iter().filter_map(|&(name, feature, reason)| {
        let on = |package: &&Package| package.name == name && package.enabled.iter().any(|enabled| enabled == feature);
        metadata.resolved().find(on)?;
        let mut by: Vec<&str> = metadata
            .resolved()
            .filter(|package| {
                package.dependencies.iter().any(|dependency| {
                    dependency.name == name && dependency.features.iter().any(|enabled| enabled == feature)
                })
            })
            .map(|package| package.name.as_str())
            .collect();
        by.dedup();
        let by = if by.is_empty() {
            format!("another feature (see `cargo tree -e features -i {name}`)")
        } else {
            by.join(", ")
        };
        Some(format!("{name} is built with `{feature}`: {reason}. It is switched on by {by}"))
    });
    banned.chain(switched).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::{depends, foreign, graph};

    fn brought(name: &str, version: &str) -> Package {
        Package { dependents: vec!["someone".to_owned()], ..foreign(name, version) }
    }

    #[test]
    fn a_banned_package_is_named_with_whoever_brings_it() {
        for name in ["openssl-sys", "native-tls", "rsa", "ring", "serde_yaml"] {
            let problems = check(&graph(vec![brought(name, "0.9.1")]));
            assert!(problems[0].contains(name) && problems[0].contains("someone"), "{problems:?}");
        }
    }

    #[test]
    fn a_ban_may_name_versions() {
        assert_eq!(check(&graph(vec![brought("reqwest", "0.12.9")])).len(), 1);
        assert!(check(&graph(vec![brought("reqwest", "0.13.5")])).is_empty());
    }

    #[test]
    fn what_is_not_in_the_graph_is_not_used() {
        assert!(check(&graph(vec![Package { resolved: false, ..brought("ring", "0.17.14") }])).is_empty());
    }

    #[test]
    fn a_banned_switch_is_named_with_whoever_turns_it() {
        for feature in ["preserve_order", "arbitrary_precision"] {
            let json =
                Package { enabled: vec!["std".to_owned(), feature.to_owned()], ..foreign("serde_json", "1.0.0") };
            let user = Package { dependencies: vec![depends("serde_json", &[feature])], ..foreign("culprit", "1.0.0") };
            let problems = check(&graph(vec![user, json]));
            assert!(problems.len() == 1 && problems[0].contains("culprit"), "{problems:?}");
        }
    }
}
