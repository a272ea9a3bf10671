use saas_backup_core::{Body, Collection, FieldMapping, Record, Reference};
use serde::{Deserialize, Serialize};

use crate::form::value::{raw_at, refs, text_at, time_of, time_text};

/// Changed members that are named.
const MAX_CHANGED: usize = 6;

/// What makes a record an earlier version of another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Past {
    /// When it came.
    pub(crate) since: Option<String>,
    /// When it went, if that is known.
    pub(crate) until: Option<String>,
    /// Whether nothing came after it.
    pub(crate) is_deleted: bool,
    /// What the next version changed, as a person would call it.
    pub(crate) changed: Vec<String>,
    pub(crate) more_changed: usize,
}

impl Past {
    /// What the record is an earlier version of, and what it says of that; `None` if it is no version.
    pub(crate) fn of<'a>(collection: &Collection, record: &'a Record) -> Option<(&'a Reference, Self)> {
        let fields = &collection.fields;
        let of = refs(record, fields.version_of.as_deref()).find(|to| to.account.is_none())?;
        let told = |name: &str| fields.properties.get(name);
        let changed = told("changed").and_then(|at| raw_at(&record.data, at));
        let changed: Vec<String> = changed.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        let changed = named(fields, &changed);
        let past = Self {
            since: time_of(collection, record).or_else(|| record.modified.map(time_text)),
            until: told("until").and_then(|at| text_at(&record.data, at)),
            is_deleted: told("ended").and_then(|at| text_at(&record.data, at)).is_some_and(|ended| ended == "deleted"),
            more_changed: changed.len().saturating_sub(MAX_CHANGED),
            changed: changed.into_iter().take(MAX_CHANGED).collect(),
        };
        Some((of, past))
    }

    /// The word for the state of the record.
    pub(crate) fn state(&self) -> &'static str {
        if self.is_deleted { "deleted" } else { "earlier version" }
    }
}

/// Members by their JSON pointers, as a person would call them: first those that the mapping has a name for.
fn named(fields: &FieldMapping, pointers: &[String]) -> Vec<String> {
    let body = |body: &Option<Body>| body.as_ref().map(|body| body.path.clone());
    let own = [
        ("title", fields.title.clone()),
        ("text", body(&fields.body)),
        ("summary", body(&fields.summary)),
        ("slug", fields.slug.clone()),
        ("address", fields.url.clone()),
    ];
    let own = own.into_iter().filter_map(|(name, path)| Some((name.to_owned(), path?)));
    // The mapping of a version leads into the record that it holds.
    let known: Vec<(String, String)> = own
        .chain(fields.properties.clone())
        .map(|(name, path)| (name, format!("/{}", path.replace('.', "/"))))
        .collect();
    let name_of = |pointer: &String| known.iter().find(|(_, path)| path == pointer).map(|(name, _)| name.clone());
    let (mut names, mut others) = (Vec::new(), Vec::new());
    for pointer in pointers {
        match name_of(pointer) {
            Some(name) if !names.contains(&name) => names.push(name),
            Some(_) => {}
            None => others.push(pointer.strip_prefix("/data/").unwrap_or(pointer.trim_start_matches('/')).to_owned()),
        }
    }
    names.extend(others);
    names
}
