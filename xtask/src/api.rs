//! The public items of each library, one a line, compared with the committed `public-api.txt`.
//!
//! They come from rustdoc's JSON, which the stable rustdoc writes when it is told that it may.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::process::{Command, ExitCode};

use serde_json::Value;

use crate::metadata::{Metadata, Package};
use crate::signature::{Signatures, list, text, variant};

/// Set while this program stands in for rustdoc; its value is the real one.
pub(crate) const WRAPPER: &str = "XTASK_RUSTDOC";

const FILE: &str = "public-api.txt";

/// Runs rustdoc with unstable options allowed, for it alone: set for the whole build, the permission would make
/// cargo compile every dependency anew.
pub(crate) fn rustdoc(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let rustdoc = env::var_os(WRAPPER).unwrap_or_else(|| "rustdoc".into());
    match Command::new(rustdoc).args(arguments).env_remove(WRAPPER).env("RUSTC_BOOTSTRAP", "1").status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("rustdoc: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Names every line by which a library differs from its file.
pub(crate) fn check(metadata: &Metadata) -> Result<Vec<String>, String> {
    let mut problems = Vec::new();
    for library in libraries(metadata) {
        let path = library.folder.join(FILE);
        let lines = listing(metadata, library)?;
        match fs::read_to_string(&path) {
            Ok(committed) => problems.extend(difference(&library.name, &committed, &lines)),
            Err(_) => problems.push(format!("{}: {FILE} is missing: run `cargo xtask api --bless`", library.name)),
        }
    }
    Ok(problems)
}

/// Writes the files.
pub(crate) fn bless(metadata: &Metadata) -> Result<Vec<String>, String> {
    for library in libraries(metadata) {
        let path = library.folder.join(FILE);
        let mut lines = Vec::from_iter(listing(metadata, library)?);
        lines.push(String::new());
        fs::write(&path, lines.join("\n")).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(Vec::new())
}

fn libraries(metadata: &Metadata) -> impl Iterator<Item = &Package> {
    metadata.members().filter(|member| member.published && member.targets.iter().any(|(kind, _)| kind == "lib"))
}

/// One message with what came and what went; none if nothing did.
fn difference(name: &str, committed: &str, lines: &BTreeSet<String>) -> Option<String> {
    let committed: BTreeSet<&str> = committed.lines().filter(|line| !line.is_empty()).collect();
    let current: BTreeSet<&str> = lines.iter().map(String::as_str).collect();
    let changes: Vec<String> = committed
        .symmetric_difference(&current)
        .map(|line| format!("    {} {line}\n", if current.contains(line) { '+' } else { '-' }))
        .collect();
    (!changes.is_empty()).then(|| {
        format!(
            "{name}: the public API changed. If that is meant, run `cargo xtask api --bless` and commit {FILE}\n{}",
            changes.concat()
        )
    })
}

/// Lets rustdoc describe one library and reads the description.
fn listing(metadata: &Metadata, library: &Package) -> Result<BTreeSet<String>, String> {
    let own = env::current_exe().map_err(|error| format!("the path of this program: {error}"))?;
    let rustdoc = env::var_os("RUSTDOC").unwrap_or_else(|| "rustdoc".into());
    let output = Command::new(crate::cargo())
        .args(["rustdoc", "--locked", "--quiet", "--all-features", "--lib", "-p", &library.name])
        .args(["--", "-Z", "unstable-options", "--output-format", "json"])
        .env("RUSTDOC", own)
        .env(WRAPPER, rustdoc)
        .output()
        .map_err(|error| format!("cargo rustdoc: {error}"))?;
    if !output.status.success() {
        return Err(format!("{}: cargo rustdoc failed\n{}", library.name, String::from_utf8_lossy(&output.stderr)));
    }
    let path = metadata.target.join("doc").join(format!("{}.json", library.name.replace('-', "_")));
    let content = fs::read(&path)
        .map_err(|error| format!("{}: {error}; run `cargo clean --doc` and try again", path.display()))?;
    let document = serde_json::from_slice(&content).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Listing::new(&document).lines())
}

/// A way to an item: the modules and its name.
type Path = Vec<String>;

/// Reads one document of rustdoc.
struct Listing<'a> {
    index: &'a Value,
    signatures: Signatures<'a>,
    /// Every public path of every item that has one.
    places: BTreeMap<String, BTreeSet<Path>>,
    /// The traits of each type, by the beginning and the end of their line.
    implementations: BTreeMap<(String, String), BTreeSet<String>>,
    lines: BTreeSet<String>,
}

impl<'a> Listing<'a> {
    fn new(document: &'a Value) -> Self {
        let mut listing = Self {
            index: &document["index"],
            signatures: Signatures { paths: &document["paths"] },
            places: BTreeMap::new(),
            implementations: BTreeMap::new(),
            lines: BTreeSet::new(),
        };
        let root = document["root"].to_string();
        listing.walk(&root, &mut Vec::new(), &mut vec![root.clone()]);
        listing
    }

    fn item(&self, id: &str) -> &'a Value {
        &self.index[id]
    }

    /// Notes the places of what a module holds. `within` are the modules above, which are not entered again.
    fn walk(&mut self, module: &str, path: &mut Path, within: &mut Vec<String>) {
        for id in list(&self.item(module)["inner"]["module"]["items"]) {
            let id = id.to_string();
            let item = self.item(&id);
            let (kind, inner) = variant(&item["inner"]);
            if kind == "use" {
                self.follow(inner, path, within);
            } else if let Some(name) = item["name"].as_str() {
                self.place(&id, name, path, within);
            }
        }
    }

    fn place(&mut self, id: &str, name: &str, path: &mut Path, within: &mut Vec<String>) {
        path.push(name.to_owned());
        self.places.entry(id.to_owned()).or_default().insert(path.clone());
        if self.item(id)["inner"].get("module").is_some() && !within.iter().any(|above| above == id) {
            within.push(id.to_owned());
            self.walk(id, path, within);
            within.pop();
        }
        path.pop();
    }

    /// A re-export: of our own item, which is listed here too, or of a foreign one, which is only named.
    fn follow(&mut self, inner: &Value, path: &mut Path, within: &mut Vec<String>) {
        let id = inner["id"].to_string();
        let target = self.item(&id);
        let glob = inner["is_glob"] == true;
        let name = if glob { "*" } else { text(&inner["name"]) };
        if target.is_null() || (glob && target["inner"].get("module").is_none()) {
            let glob = if glob { "::*" } else { "" };
            let at = path.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join("::");
            self.lines.insert(format!("{at} use {}{glob}", text(&inner["source"])));
        } else if glob {
            if !within.contains(&id) {
                within.push(id.clone());
                self.walk(&id, path, within);
                within.pop();
            }
        } else {
            self.place(&id, name, path, within);
        }
    }

    /// The shortest path of an item; it is described there.
    fn home(&self, id: &str) -> Option<&Path> {
        self.places.get(id)?.iter().min_by_key(|path| (path.len(), *path))
    }

    /// Describes everything.
    fn lines(mut self) -> BTreeSet<String> {
        let places = self.places.clone();
        // What lies in a module that is only another name for one is not repeated.
        let mut aliases: BTreeSet<&Path> = BTreeSet::new();
        for (id, paths) in &places {
            if self.item(id)["inner"].get("module").is_some() {
                aliases.extend(paths.iter().filter(|path| self.home(id) != Some(*path)));
            }
        }
        for (id, paths) in &places {
            let Some(home) = self.home(id).map(|path| path.join("::")) else {
                continue;
            };
            for path in paths {
                let written = path.join("::");
                let inside = (1..path.len()).any(|length| aliases.contains(&path[..length].to_vec()));
                if written != home && !inside {
                    self.lines.insert(format!("{written} use {home}"));
                }
            }
            self.describe(&home, self.item(id));
        }
        let index = self.index;
        for item in index.as_object().into_iter().flat_map(serde_json::Map::values) {
            self.implementation(item);
        }
        for ((by, clauses), traits) in &self.implementations {
            self.lines.insert(format!("{by} {}{clauses}", traits.iter().cloned().collect::<Vec<_>>().join(", ")));
        }
        self.lines
    }

    /// Adds one line about an item; marks what its attributes promise.
    fn line(&mut self, path: &str, item: &Value, what: &str) {
        let mut line = format!("{path} {what}");
        if list(&item["attrs"]).iter().any(|attribute| attribute == "non_exhaustive") {
            line += " #[non_exhaustive]";
        }
        if !item["deprecation"].is_null() {
            line += " #[deprecated]";
        }
        self.lines.insert(line);
    }

    fn describe(&mut self, path: &str, item: &'a Value) {
        let signatures = self.signatures;
        let (kind, inner) = variant(&item["inner"]);
        let generics = &inner["generics"];
        let params = signatures.params(&generics["params"]);
        let clauses = signatures.clauses(&generics["where_predicates"]);
        match kind {
            "module" => self.line(path, item, "mod"),
            "function" => self.line(path, item, &signatures.function(inner)),
            "constant" => self.line(path, item, &format!("const: {}", signatures.ty(&inner["type"]))),
            "static" => {
                let mutable = if inner["is_mutable"] == true { " mut" } else { "" };
                self.line(path, item, &format!("static{mutable}: {}", signatures.ty(&inner["type"])));
            }
            "macro" | "proc_macro" => self.line(path, item, "macro"),
            "type_alias" => {
                self.line(path, item, &format!("type{params} = {}{clauses}", signatures.ty(&inner["type"])));
            }
            "struct" | "union" => {
                let (shape, content) = if kind == "union" { ("plain", inner) } else { variant(&inner["kind"]) };
                let fields = if shape == "plain" { &content["fields"] } else { content };
                let private = content["has_stripped_fields"] == true || list(fields).iter().any(Value::is_null);
                let shape = match shape {
                    "tuple" => " tuple",
                    "unit" => " unit",
                    _ => "",
                };
                let private = if private { " with private fields" } else { "" };
                self.line(path, item, &format!("{kind}{params}{shape}{private}{clauses}"));
                self.fields(path, fields);
                self.inherent(path, inner);
            }
            "enum" => {
                self.line(path, item, &format!("enum{params}{clauses}"));
                for id in list(&inner["variants"]) {
                    self.variant(path, self.item(&id.to_string()));
                }
                self.inherent(path, inner);
            }
            "trait" => {
                let bounds = signatures.bounds(&inner["bounds"]);
                let bounds = if bounds.is_empty() { bounds } else { format!(": {bounds}") };
                let safety = if inner["is_unsafe"] == true { "unsafe " } else { "" };
                let object = if inner["is_dyn_compatible"] == true { "" } else { " (not dyn)" };
                self.line(path, item, &format!("{safety}trait{params}{bounds}{clauses}{object}"));
                for id in list(&inner["items"]) {
                    self.associated(path, self.item(&id.to_string()), true);
                }
            }
            _ => self.line(path, item, kind),
        }
    }

    /// The public fields of a struct or variant.
    fn fields(&mut self, path: &str, ids: &Value) {
        for id in list(ids).iter().filter(|id| !id.is_null()) {
            let field = self.item(&id.to_string());
            let written = format!("field: {}", self.signatures.ty(&field["inner"]["struct_field"]));
            self.line(&format!("{path}::{}", text(&field["name"])), field, &written);
        }
    }

    fn variant(&mut self, path: &str, item: &'a Value) {
        let path = format!("{path}::{}", text(&item["name"]));
        let (kind, inner) = variant(&item["inner"]["variant"]["kind"]);
        match kind {
            "tuple" => {
                let types = list(inner).iter().map(|id| match self.item(&id.to_string()) {
                    Value::Null => "_".to_owned(),
                    field => self.signatures.ty(&field["inner"]["struct_field"]),
                });
                let types = types.collect::<Vec<_>>().join(", ");
                self.line(&path, item, &format!("variant({types})"));
            }
            "struct" => {
                let private = if inner["has_stripped_fields"] == true { " with hidden fields" } else { "" };
                self.line(&path, item, &format!("variant struct{private}"));
                self.fields(&path, &inner["fields"]);
            }
            _ => self.line(&path, item, "variant"),
        }
    }

    /// The methods and constants of a type's own `impl` blocks.
    fn inherent(&mut self, path: &str, inner: &'a Value) {
        for id in list(&inner["impls"]) {
            let block = &self.item(&id.to_string())["inner"]["impl"];
            if block["trait"].is_null() {
                for id in list(&block["items"]) {
                    self.associated(path, self.item(&id.to_string()), false);
                }
            }
        }
    }

    /// What belongs to a type or trait. In a trait, an implementor has to write what has no default.
    fn associated(&mut self, path: &str, item: &'a Value, in_trait: bool) {
        let signatures = self.signatures;
        let (kind, inner) = variant(&item["inner"]);
        let (what, default) = match kind {
            "function" => (signatures.function(inner), inner["has_body"] == true),
            "assoc_const" => (format!("const: {}", signatures.ty(&inner["type"])), !inner["value"].is_null()),
            "assoc_type" => {
                let generics = &inner["generics"];
                let bounds = signatures.bounds(&inner["bounds"]);
                let bounds = if bounds.is_empty() { bounds } else { format!(": {bounds}") };
                let clauses = signatures.clauses(&generics["where_predicates"]);
                (format!("type{}{bounds}{clauses}", signatures.params(&generics["params"])), !inner["type"].is_null())
            }
            _ => (kind.to_owned(), true),
        };
        let duty = match (in_trait, default) {
            (false, _) => "",
            (true, true) => "provided ",
            (true, false) => "required ",
        };
        self.line(&format!("{path}::{}", text(&item["name"])), item, &format!("{duty}{what}"));
    }

    /// Notes `Type impl Trait`, for every trait that a public type of ours, or a foreign one, implements here.
    fn implementation(&mut self, item: &Value) {
        let signatures = self.signatures;
        let inner = &item["inner"]["impl"];
        let (of, by) = (&inner["trait"], &inner["for"]);
        // What has no place cannot be named from outside.
        let hidden = |id: &Value| {
            let id = id.to_string();
            signatures.paths[id.as_str()]["crate_id"] == 0 && self.home(&id).is_none()
        };
        if item["crate_id"] != 0
            || of.is_null()
            || !inner["blanket_impl"].is_null()
            || hidden(&of["id"])
            || hidden(&by["resolved_path"]["id"])
        {
            return;
        }
        let name = signatures.path(of);
        let negative = inner["is_negative"] == true;
        // The compiler adds these by itself; worth a line is only that a type cannot cross threads.
        let by_itself = inner["is_synthetic"] == true && !(negative && ["Send", "Sync"].contains(&name.as_str()));
        if by_itself || name == "StructuralPartialEq" {
            return;
        }
        let types: Vec<String> = list(&inner["items"])
            .iter()
            .map(|id| self.item(&id.to_string()))
            .filter(|item| item["inner"].get("assoc_type").is_some())
            .map(|item| format!("{} = {}", text(&item["name"]), signatures.ty(&item["inner"]["assoc_type"]["type"])))
            .collect();
        let types = if types.is_empty() { String::new() } else { format!(" with {}", types.join(", ")) };
        let params = list(&inner["generics"]["params"]);
        // A lifetime alone says nothing that the names do not.
        let lifetimes = params.iter().all(|param| param["kind"].get("lifetime").is_some());
        let params = if lifetimes { String::new() } else { signatures.params(&inner["generics"]["params"]) };
        let clauses = signatures.clauses(&inner["generics"]["where_predicates"]);
        let by = format!("{} impl{params}", signatures.ty(by));
        let sign = if negative { "!" } else { "" };
        self.implementations.entry((by, clauses)).or_default().insert(format!("{sign}{name}{types}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn item(name: &str, inner: &Value) -> Value {
        json!({"crate_id": 0, "name": name, "attrs": [], "deprecation": null, "inner": inner})
    }

    /// A crate with `mod inner { pub struct Thing { pub a: u8, b: u8 } }`, `pub use inner::Thing` at the root and
    /// in a prelude, and a trait with one method.
    fn document() -> Value {
        let generics = json!({"params": [], "where_predicates": []});
        let receiver = json!({"borrowed_ref": {"lifetime": null, "is_mutable": false, "type": {"generic": "Self"}}});
        let function = json!({"function": {
            "sig": {"inputs": [["self", receiver], ["n", {"primitive": "u8"}]], "output": {"primitive": "bool"}},
            "generics": generics, "header": {"abi": "Rust"}, "has_body": false,
        }});
        let reexport = json!({"use": {"source": "inner::Thing", "name": "Thing", "id": 2, "is_glob": false}});
        json!({
            "root": 1,
            "paths": {"2": {"crate_id": 0, "path": ["x", "inner", "Thing"]}, "8": {"crate_id": 1, "path": ["core", "clone", "Clone"]}},
            "index": {
                "1": item("x", &json!({"module": {"items": [3, 4, 6, 9]}})),
                "2": item("Thing", &json!({"struct": {"kind": {"plain": {"fields": [5], "has_stripped_fields": true}}, "generics": generics, "impls": []}})),
                "3": {"crate_id": 0, "name": null, "inner": reexport},
                "4": item("prelude", &json!({"module": {"items": [3]}})),
                "5": item("a", &json!({"struct_field": {"primitive": "u8"}})),
                "6": item("Tr", &json!({"trait": {"items": [7], "generics": generics, "bounds": [], "is_dyn_compatible": true}})),
                "7": item("go", &function),
                "9": {"crate_id": 0, "name": null, "inner": {"use": {"source": "bytes::Bytes", "name": "Bytes", "id": 77, "is_glob": false}}},
                "10": {"crate_id": 0, "name": null, "inner": {"impl": {
                    "generics": generics, "trait": {"path": "Clone", "id": 8, "args": null}, "items": [], "blanket_impl": null,
                    "for": {"resolved_path": {"path": "Thing", "id": 2, "args": null}}, "is_negative": false, "is_synthetic": false,
                }}},
            },
        })
    }

    #[test]
    fn every_public_item_has_a_line_at_its_shortest_path() {
        let lines: Vec<String> = Listing::new(&document()).lines().into_iter().collect();
        assert_eq!(
            lines,
            [
                "Bytes use bytes::Bytes",
                "Thing impl Clone",
                "Thing struct with private fields",
                "Thing::a field: u8",
                "Tr trait",
                "Tr::go required fn(&self, n: u8) -> bool",
                "prelude mod",
                "prelude::Thing use Thing",
            ]
        );
    }

    #[test]
    fn a_change_is_shown_line_by_line() {
        let lines = BTreeSet::from(["a fn()".to_owned(), "c fn()".to_owned()]);
        let message = difference("x", "a fn()\nb fn()\n", &lines).unwrap();
        assert!(
            message.contains("- b fn()") && message.contains("+ c fn()") && !message.contains("a fn()"),
            "{message}"
        );
        assert!(difference("x", "a fn()\nc fn()\n", &lines).is_none());
    }
}
