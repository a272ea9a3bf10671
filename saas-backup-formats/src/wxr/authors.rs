//! Authors and terms, under the short names that WordPress knows them by.

use std::collections::BTreeSet;

use saas_backup_core::{Catalog, Collection, CollectionName, Kind, Record, Reference, Result};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use crate::form::Store;
use crate::form::value::{key_text, text_at, title_of};
use crate::names::Names;

/// Longest short name that WordPress keeps, in bytes.
const MAX_SLUG: usize = 190;
/// Longest name of a user that it keeps.
const MAX_LOGIN: usize = 60;

/// Short names by record.
#[derive(Debug)]
pub(super) struct Slugs {
    given: Store,
    names: Names,
}

/// What a record is called.
#[derive(Clone, Debug)]
pub(super) struct Called {
    pub(super) slug: String,
    pub(super) title: String,
}

impl Slugs {
    pub(super) fn new(given: Store) -> Self {
        Self { given, names: Names::new() }
    }

    /// Gives a record a short name that no other one of its domain has.
    pub(super) fn give(&mut self, domain: &str, collection: &Collection, record: &Record) -> Result<Called> {
        let title = title_of(collection, record);
        let mapped = collection.fields.slug.as_deref().and_then(|path| text_at(&record.data, path));
        let limit = if domain == "author" { MAX_LOGIN } else { MAX_SLUG };
        // WordPress keeps what is not ASCII as `%e6%97%a5`: such a name is taken as it stands.
        let as_it_is = |slug: &&str| {
            !slug.is_empty() && slug.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"%_-".contains(&byte))
        };
        let wanted = match mapped.as_deref() {
            Some(mapped) if as_it_is(&mapped) => mapped.to_owned(),
            mapped => slug(mapped.filter(|slug| !slug.is_empty()).unwrap_or(&title)),
        };
        let key = key_text(&record.key);
        let slug = self.names.give(domain, &wanted, "", &key, limit).replace('~', "-");
        self.given.put(&key, &(&slug, &title))?;
        Ok(Called { slug, title })
    }

    /// What a record is called; its id if it is not here.
    pub(super) fn get(&mut self, to: &Reference) -> Result<Called> {
        let found: Option<(String, String)> = self.given.get(&key_text(&to.key()))?;
        let id = to.id.as_str();
        Ok(match found {
            Some((slug, title)) => Called { slug, title },
            None => Called { slug: slug(id), title: id.to_owned() },
        })
    }
}

/// A text as part of an address: small letters and digits, with hyphens between words.
pub(super) fn slug(text: &str) -> String {
    let mut out = String::new();
    for character in text.nfkd().filter(|character| !is_combining_mark(*character)).flat_map(char::to_lowercase) {
        if character.is_alphanumeric() || character == '_' {
            out.push(character);
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    let out = out.trim_end_matches('-').to_owned();
    if out.is_empty() { "untitled".to_owned() } else { out }
}

/// The collections whose records are labels of others, each with the taxonomy that it becomes.
pub(super) fn taxonomies(catalog: &Catalog) -> Vec<(CollectionName, &'static str)> {
    let mut names = BTreeSet::new();
    for collection in &catalog.collections {
        let rules = collection.refs.iter().filter(|rule| collection.fields.labels.contains(&rule.name));
        names.extend(rules.flat_map(|rule| rule.to.iter().cloned()));
    }
    let taxonomy = |name: &CollectionName| {
        let of = catalog.get(name);
        let hierarchical =
            of.is_some_and(|of| of.refs.iter().any(|rule| Some(&rule.name) == of.fields.parent.as_ref()));
        let word = name.as_str().to_lowercase();
        match () {
            () if word.contains("categor") => "category",
            () if word.contains("tag") || !hierarchical => "post_tag",
            () => "category",
        }
    };
    names
        .into_iter()
        .map(|name| (name.clone(), taxonomy(&name)))
        .filter(|(name, _)| catalog.get(name).is_some())
        .collect()
}

/// The collections whose records are people.
pub(super) fn people(catalog: &Catalog) -> impl Iterator<Item = &Collection> {
    catalog.collections.iter().filter(|collection| collection.kind == Kind::User)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_is_part_of_an_address() {
        for (text, expected) in [
            ("Zoë Lindqvist", "zoe-lindqvist"),
            ("  ../Cats & Dogs! ", "cats-dogs"),
            ("林小明", "林小明"),
            ("🍅", "untitled"),
        ] {
            assert_eq!(slug(text), expected);
        }
    }
}
