//! What `cargo metadata` says about the workspace and everything it is built from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// The part of the metadata that the checks read.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    /// The folder of the workspace's manifest.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// Members and everything they depend on, sorted by name and version.
    pub(crate) packages: Vec<Package>,
}

/// One package of the graph.
#[derive(Debug, Default, Clone)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The SPDX expression; `None` if the manifest only names a file.
    pub(crate) licence: Option<String>,
    /// The folder of its manifest.
    pub(crate) folder: PathBuf,
    pub(crate) member: bool,
    /// May be published.
    pub(crate) published: bool,
    /// What its manifest asks for.
    pub(crate) dependencies: Vec<Dependency>,
    /// The names of its features, implied ones included.
    pub(crate) features: Vec<String>,
    /// The features that are on in the graph.
    pub(crate) enabled: Vec<String>,
    /// Whether it is part of the graph at all: optional and foreign-platform packages may not be.
    pub(crate) resolved: bool,
    /// The names of the packages that depend on it in the graph.
    pub(crate) dependents: Vec<String>,
    /// Its programs' names: (kind, name).
    pub(crate) targets: Vec<(String, String)>,
}

/// One line of a manifest's dependencies.
#[derive(Debug, Default, Clone)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Only tests, benchmarks and examples use it.
    pub(crate) dev: bool,
    pub(crate) features: Vec<String>,
}

impl Metadata {
    /// Asks cargo about the whole workspace with every feature, on one platform or on all of them.
    pub(crate) fn load(platform: Option<&str>) -> Result<Self, String> {
        let output = ask(&["metadata", "--format-version", "1", "--all-features"])?;
        let value = serde_json::from_slice(&output).map_err(|error| format!("cargo metadata: {error}"))?;
        let mut metadata = Self::parse(&value);
        let target = platform.unwrap_or("all");
        let tree = ["tree", "--workspace", "--all-features", "--target", target];
        let output = ask(&[&tree[..], &["--prefix", "none", "--format", "{p}|{f}"]].concat())?;
        metadata.narrow(&String::from_utf8_lossy(&output));
        Ok(metadata)
    }

    /// Keeps in the graph what `cargo tree` printed: the resolution of the metadata also holds what only a
    /// feature that nobody enables would bring.
    fn narrow(&mut self, tree: &str) {
        let mut found: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        for line in tree.lines() {
            let Some((package, features)) = line.rsplit_once('|') else { continue };
            let mut words = package.split_whitespace();
            let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
            let features = features.trim_end_matches(" (*)").split(',').filter(|feature| !feature.is_empty());
            found.entry((name, version.trim_start_matches('v'))).or_default().extend(features);
        }
        for package in &mut self.packages {
            let features = found.get(&(package.name.as_str(), package.version.as_str()));
            package.resolved = features.is_some();
            package.enabled = features.into_iter().flatten().map(|&feature| feature.to_owned()).collect();
            package.dependents.retain(|name| found.keys().any(|(found, _)| found == name));
        }
    }

    /// Reads the manifests.
    fn parse(value: &Value) -> Self {
        let members = strings(&value["workspace_members"]);
        let nodes = array(&value["resolve"]["nodes"]);
        let name_of = |id: &str| {
            array(&value["packages"])
                .iter()
                .find(|package| package["id"] == id)
                .map_or_else(|| id.to_owned(), |package| text(&package["name"]))
        };
        let mut packages: Vec<Package> = array(&value["packages"])
            .iter()
            .map(|package| {
                let id = text(&package["id"]);
                let mut dependents: Vec<String> = nodes
                    .iter()
                    .filter(|other| array(&other["deps"]).iter().any(|dep| dep["pkg"] == package["id"]))
                    .map(|other| name_of(&text(&other["id"])))
                    .collect();
                dependents.sort();
                Package {
                    name: text(&package["name"]),
                    version: text(&package["version"]),
                    licence: package["license"].as_str().map(str::to_owned),
                    folder: PathBuf::from(text(&package["manifest_path"]))
                        .parent()
                        .map(PathBuf::from)
                        .unwrap_or_default(),
                    member: members.contains(&id),
                    published: package["publish"] != Value::Array(Vec::new()),
                    dependencies: array(&package["dependencies"]).iter().map(Dependency::parse).collect(),
                    features: package["features"]
                        .as_object()
                        .map(|features| features.keys().cloned().collect())
                        .unwrap_or_default(),
                    enabled: Vec::new(),
                    resolved: false,
                    dependents,
                    targets: array(&package["targets"])
                        .iter()
                        .flat_map(|target| {
                            strings(&target["kind"]).into_iter().map(|kind| (kind, text(&target["name"])))
                        })
                        .collect(),
                }
            })
            .collect();
        packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        Self {
            root: PathBuf::from(text(&value["workspace_root"])),
            target: PathBuf::from(text(&value["target_directory"])),
            packages,
        }
    }

    /// The members of the workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.member)
    }

    /// The packages of the graph, members included.
    pub(crate) fn resolved(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.resolved)
    }
}

impl Dependency {
    fn parse(value: &Value) -> Self {
        Self { name: text(&value["name"]), dev: value["kind"] == "dev", features: strings(&value["features"]) }
    }
}

/// What one command of cargo prints.
fn ask(arguments: &[&str]) -> Result<Vec<u8>, String> {
    let output = Command::new(crate::cargo())
        .args(arguments)
        .args(["--locked", "--quiet"])
        .output()
        .map_err(|error| format!("cargo {}: {error}", arguments[0]))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(format!(
        "cargo {} failed; if Cargo.lock is out of date, run `cargo check` once and commit it\n{}",
        arguments[0],
        String::from_utf8_lossy(&output.stderr)
    ))
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn strings(value: &Value) -> Vec<String> {
    array(value).iter().map(text).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A member with nothing in it, for the checks' tests.
    pub(crate) fn member(name: &str) -> Package {
        Package {
            member: true,
            published: true,
            licence: Some("Apache-2.0 OR MIT".to_owned()),
            ..foreign(name, "0.1.0")
        }
    }

    /// A package from elsewhere, in the graph.
    pub(crate) fn foreign(name: &str, version: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            licence: Some("MIT".to_owned()),
            resolved: true,
            ..Package::default()
        }
    }

    /// A dependency on `name` with `features`.
    pub(crate) fn depends(name: &str, features: &[&str]) -> Dependency {
        Dependency {
            name: name.to_owned(),
            dev: false,
            features: features.iter().map(|&feature| feature.to_owned()).collect(),
        }
    }

    pub(crate) fn graph(packages: Vec<Package>) -> Metadata {
        Metadata { packages, ..Metadata::default() }
    }

    #[test]
    fn the_graph_is_what_cargo_builds() {
        let value = serde_json::json!({
            "workspace_root": "/home/x", "target_directory": "/home/x/target", "workspace_members": ["a"],
            "packages": [
                {"id": "b", "name": "bb", "version": "1.0.0", "license": "MIT", "manifest_path": "/r/b/Cargo.toml",
                 "publish": null, "dependencies": [], "features": {"x": []}, "targets": []},
                {"id": "c", "name": "cc", "version": "1.0.0", "license": null, "manifest_path": "/r/c/Cargo.toml",
                 "publish": null, "dependencies": [], "features": {}, "targets": []},
                {"id": "a", "name": "aa", "version": "0.1.0", "license": "MIT", "manifest_path": "/home/x/a/Cargo.toml",
                 "publish": [], "features": {},
                 "dependencies": [{"name": "bb", "kind": null, "features": ["x"]}, {"name": "dd", "kind": "dev", "features": []}],
                 "targets": [{"kind": ["example"], "name": "quickstart"}]},
            ],
            "resolve": {"nodes": [
                {"id": "a", "deps": [{"pkg": "b"}]},
                {"id": "b", "deps": [{"pkg": "c"}]},
                {"id": "c", "deps": [{"pkg": "b"}]},
            ]},
        });
        let mut metadata = Metadata::parse(&value);
        metadata.narrow("aa v0.1.0 (/home/x/a)|\nbb v1.0.0 (proc-macro)|x,y\nbb v1.0.0 (proc-macro)|x (*)\n");
        let [a, b, c] = metadata.packages.as_slice() else { panic!("three packages") };
        assert!(a.member && !a.published && a.dependencies[1].dev);
        assert_eq!(a.targets, [("example".to_owned(), "quickstart".to_owned())]);
        assert_eq!((b.enabled.join(" "), b.dependents.join(" ")), ("x y".to_owned(), "aa".to_owned()));
        assert!(b.resolved && !c.resolved && c.licence.is_none());
    }
}
