use std::fmt::Write as _;

use saas_backup::core::Result;
use saas_backup::{ConnectorEntry, FormatEntry, Registry};
use serde_json::{Value, json};

use super::Session;
use crate::args::ConnectorsArgs;
use crate::exit::Outcome;
use crate::output::table;

pub(super) fn connectors(session: &Session, args: &ConnectorsArgs) -> Result<Outcome> {
    let registry = Registry::default();
    let output = session.output;
    if args.schema {
        let schema = registry.config_schema();
        let pretty = serde_json::to_string_pretty(&schema)?;
        output.result(&schema, |_| pretty)?;
        return Ok(Outcome::Done);
    }
    #[cfg(feature = "declarative")]
    if let Some(manifest) = &args.manifest {
        return lint(session, args.name.as_deref().unwrap_or_default(), manifest);
    }
    if let Some(name) = &args.name {
        // A connector and a format may have one name.
        let format = registry.find_format(name).ok();
        let of_format = |format: &FormatEntry| json!({ "name": format.name(), "summary": format.summary(), "settings": format.schema() });
        match (registry.find(name), format) {
            (Ok(entry), format) => {
                let object = json!({
                    "name": entry.name(), "summary": entry.summary(), "documentation": entry.documentation(),
                    "settings": entry.schema(), "format": format.map(of_format),
                });
                let text = format.map_or_else(String::new, |format| format!("\n{}", document_format(format)));
                output.result(&object, |_| document(entry) + &text)?;
            }
            (Err(_), Some(format)) => output.result(&of_format(format), |_| document_format(format))?,
            (Err(error), None) => return Err(error),
        }
        return Ok(Outcome::Done);
    }
    let object = json!({
        "connectors": registry.connectors().map(|one| json!({ "name": one.name(), "summary": one.summary() }))
            .collect::<Vec<_>>(),
        "formats": registry.formats().map(|one| json!({ "name": one.name(), "summary": one.summary() }))
            .collect::<Vec<_>>(),
    });
    output.result(&object, |_| list(&registry))?;
    Ok(Outcome::Done)
}

/// What a manifest needs, and what of it is missing.
#[cfg(feature = "declarative")]
fn lint(session: &Session, word: &str, path: &std::path::Path) -> Result<Outcome> {
    use saas_backup::core::{Error, ErrorKind};
    use saas_backup::declarative::{Lint, Manifest};

    if word != "lint" {
        let error = Error::new(ErrorKind::Configuration, "`connectors` takes one name, or `lint` and a manifest");
        return Err(error.with_context("given", word));
    }
    let found = Manifest::load(path)?.lint()?;
    let shown = |lint: &Lint| {
        let rows: Vec<Vec<String>> = lint
            .collections
            .iter()
            .map(|one| {
                let mut notes: Vec<String> = one.problem.iter().cloned().collect();
                if one.problem.is_none() {
                    notes.extend(one.incremental.then(|| "incremental".to_owned()));
                    notes.extend(
                        (!one.partitions_of.is_empty())
                            .then(|| format!("for each of {}", one.partitions_of.join(", "))),
                    );
                    notes.extend((!one.has_key).then(|| "no key: ids are digests".to_owned()));
                    let files = &one.likely_files;
                    notes.extend((!files.is_empty()).then(|| format!("likely files: {}", files.join(", "))));
                }
                let state = if one.problem.is_some() { "NO" } else { "yes" };
                vec![one.name.clone(), state.to_owned(), notes.join("; ")]
            })
            .collect();
        let mut text = table(&["COLLECTION", "READ", "NOTES"], &rows);
        text.push_str("\nSettings, in `config`:\n\n");
        for setting in &lint.settings {
            let need = if setting.required { "required" } else { "optional" };
            let secret = if setting.secret { ", secret" } else { "" };
            let _ = writeln!(text, "  {}  ({need}{secret})", setting.name);
            for line in setting.description.lines() {
                let _ = writeln!(text, "      {line}");
            }
        }
        if lint.needs_token_file {
            text.push_str("\nThe provider replaces refresh tokens: set `token_file`.\n");
        }
        let readable = lint.collections.iter().filter(|one| one.problem.is_none()).count();
        let _ = writeln!(text, "\n{readable} of {} collections can be read.", lint.collections.len());
        text
    };
    session.output.result(&found, shown)?;
    Ok(if found.is_clean() { Outcome::Done } else { Outcome::Incomplete })
}

fn list(registry: &Registry) -> String {
    let rows = |entries: Vec<(&str, &str)>| -> Vec<Vec<String>> {
        entries.into_iter().map(|(name, summary)| vec![name.to_owned(), summary.to_owned()]).collect()
    };
    let connectors = rows(registry.connectors().map(|one| (one.name(), one.summary())).collect());
    let formats = rows(registry.formats().map(|one| (one.name(), one.summary())).collect());
    format!(
        "{}\n{}\n`saas-backup connectors NAME` documents the settings of a connector or a format.\n",
        table(&["CONNECTOR", "WHAT IT BACKS UP"], &connectors),
        table(&["FORMAT", "WHAT IT IS"], &formats),
    )
}

/// A connector's settings, as a person writes them into a `[[source]]`.
fn document(entry: &ConnectorEntry) -> String {
    let mut text = format!(
        "{}: {}\n\nSettings of a [[source]] with connector = \"{}\":\n\n",
        entry.name(),
        entry.summary(),
        entry.name()
    );
    settings(&mut text, &entry.schema(), &[]);
    text.push_str(
        "\nEvery text may be \"…\", { env = \"NAME\" }, { file = \"PATH\" } or { command = [\"pass\", \"show\", \"x\"] }.\n",
    );
    if !entry.documentation().is_empty() {
        let _ = write!(text, "\n{}\n", entry.documentation().trim_end());
    }
    text
}

/// A format's settings, as a person gives them to `export`.
fn document_format(entry: &FormatEntry) -> String {
    let mut text = format!("{}: {}\n\nSettings, for `export --set KEY=VALUE`:\n\n", entry.name(), entry.summary());
    let before = text.len();
    settings(&mut text, &entry.schema(), &["path"]);
    if text.len() == before {
        text.push_str("  none\n");
    }
    text
}

/// The properties of a schema, the required ones first.
fn settings(text: &mut String, schema: &Value, hidden: &[&str]) {
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let empty = serde_json::Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let shown = properties.iter().filter(|(name, _)| !hidden.contains(&name.as_str()));
    let (needed, optional): (Vec<_>, Vec<_>) = shown.partition(|(name, _)| required.contains(&name.as_str()));
    for (name, property) in needed.into_iter().chain(optional) {
        let need = if required.contains(&name.as_str()) { "required" } else { "optional" };
        let _ = writeln!(text, "  {name}  ({}, {need})", kind(property, schema));
        for line in property.get("description").and_then(Value::as_str).unwrap_or_default().lines() {
            let _ = writeln!(text, "      {line}");
        }
    }
}

/// The type of a property in a person's words.
fn kind(property: &Value, schema: &Value) -> String {
    if let Some(name) = property.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/$defs/")) {
        let target = schema.get("$defs").and_then(|definitions| definitions.get(name));
        return target.map_or_else(|| name.to_owned(), |target| kind(target, schema));
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(choices) = property.get(choice).and_then(Value::as_array) {
            let mut kinds: Vec<String> =
                choices.iter().map(|one| kind(one, schema)).filter(|one| one != "null").collect();
            kinds.dedup();
            return kinds.join(" or ");
        }
    }
    if let Some(value) = property.get("const") {
        return value.to_string();
    }
    if let Some(values) = property.get("enum").and_then(Value::as_array) {
        return values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
    }
    let named = |name: &str| match name {
        "string" => "text".to_owned(),
        "integer" | "number" => "number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => {
            let items = property.get("items").map_or_else(|| "anything".to_owned(), |items| kind(items, schema));
            format!("list of {items}")
        }
        "object" => "table".to_owned(),
        other => other.to_owned(),
    };
    match property.get("type") {
        Some(Value::String(kind)) => named(kind),
        Some(Value::Array(kinds)) => {
            let kinds: Vec<String> =
                kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").map(named).collect();
            kinds.join(" or ")
        }
        _ => "anything".to_owned(),
    }
}
