//! The parts of a record that a person reads, by the field mapping.

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};
use saas_backup_core::{BlobStatus, Body, Collection, FieldMapping, Json, Key, Markup, Record, Reference, References};
use serde_json::value::RawValue;

use crate::text::{confluence_to_html, lexical_to_html, notion_to_html, plain_from_html};

/// Longest title that is shown, in characters.
const MAX_TITLE: usize = 300;
/// Longest text in a table, in characters.
const MAX_EXCERPT: usize = 200;

/// The key of a record in a store.
pub(crate) fn key_text(key: &Key) -> String {
    format!("{}\0{}", key.collection, key.id)
}

/// The key of a record that a reference points to, if it is of this account.
pub(crate) fn reference_text(reference: &Reference) -> Option<String> {
    reference.account.is_none().then(|| key_text(&reference.key()))
}

/// The value at a path, as it stands there.
pub(crate) fn raw_at(data: &Json, path: &str) -> Option<Box<RawValue>> {
    data.member(path).ok().flatten()
}

/// The value at a path as text, if it is a text, a number or a truth value.
pub(crate) fn text_at(data: &Json, path: &str) -> Option<String> {
    let raw = raw_at(data, path)?;
    match raw.get().as_bytes().first()? {
        // Half a surrogate pair has no place in a text; it stays in the source as it is.
        b'"' => Some(serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().trim_matches('"').to_owned())),
        b'{' | b'[' => None,
        _ => Some(raw.get().to_owned()),
    }
}

/// A text, its markup, and what of its own format did not arrive.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) words: String,
    /// Plain text, Markdown or HTML: other markups have become HTML.
    pub(crate) markup: Markup,
    pub(crate) lost: BTreeSet<String>,
}

/// A text of a record in one of the markups that formats write.
pub(crate) fn text_of(record: &Record, body: Option<&Body>) -> Option<Text> {
    let body = body?;
    let trees = matches!(body.markup, Markup::Lexical | Markup::NotionBlocks);
    let tree = || raw_at(&record.data, &body.path).filter(|raw| trees && raw.get() != "null");
    let text = text_at(&record.data, &body.path).filter(|text| !trees || text != "null");
    let text = text.or_else(|| tree().map(|raw| raw.get().to_owned()))?;
    let converted = match body.markup {
        Markup::Confluence => Some(confluence_to_html(&text)),
        Markup::Lexical => lexical_to_html(&text),
        Markup::NotionBlocks => notion_to_html(&text),
        markup => return Some(Text { words: text, markup, lost: BTreeSet::new() }),
    };
    let unread = || {
        let lost = BTreeSet::from(["formatting: the text is not in the markup that it should be in".to_owned()]);
        Text { words: text.clone(), markup: Markup::Plain, lost }
    };
    Some(converted.map_or_else(unread, |(words, lost)| Text { words, markup: Markup::Html, lost }))
}

/// A text and its markup.
pub(crate) fn body_of(record: &Record, body: Option<&Body>) -> Option<(String, Markup)> {
    text_of(record, body).map(|Text { words, markup, .. }| (words, markup))
}

/// The title of a record; its id where the mapping names none.
pub(crate) fn title_of(collection: &Collection, record: &Record) -> String {
    let FieldMapping { title, body, .. } = &collection.fields;
    let mut text = title.as_deref().and_then(|path| text_at(&record.data, path)).unwrap_or_default();
    if body.as_ref().is_some_and(|body| body.markup == Markup::Html) {
        text = plain_from_html(&text);
    }
    let mut title = String::new();
    for word in text.split_whitespace() {
        if !title.is_empty() {
            title.push(' ');
        }
        title.push_str(word);
    }
    if let Some((end, _)) = title.char_indices().nth(MAX_TITLE) {
        title.truncate(end);
        title.push('…');
    }
    if title.is_empty() { record.key.id.as_str().to_owned() } else { title }
}

/// The public address of a record.
pub(crate) fn url_of(collection: &Collection, record: &Record) -> Option<String> {
    text_at(&record.data, collection.fields.url.as_deref()?).filter(|url| !url.is_empty())
}

/// What a table shows of a text, or of a record that nothing is mapped of: its beginning, on one line.
pub(crate) fn excerpt(collection: &Collection, record: &Record) -> Option<String> {
    let text = match body_of(record, collection.fields.body.as_ref()) {
        Some((text, Markup::Html)) => plain_from_html(&text),
        Some((text, _)) => text,
        None if collection.fields.is_empty() => record.data.as_str().to_owned(),
        None => return None,
    };
    Some(shortened(&text))
}

/// The beginning of a text.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_EXCERPT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The records that a relationship points to.
pub(crate) fn refs<'a>(record: &'a Record, name: Option<&str>) -> impl Iterator<Item = &'a Reference> {
    name.and_then(|name| record.refs.get(name)).into_iter().flat_map(References::iter)
}

/// Who wrote it.
pub(crate) fn author<'a>(collection: &Collection, record: &'a Record) -> Option<&'a Reference> {
    record.by.as_ref().or_else(|| refs(record, collection.fields.author.as_deref()).next())
}

/// The text of a time: UTC, as short as it is exact.
pub(crate) fn time_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// The time that a person sorts by.
pub(crate) fn time_of(collection: &Collection, record: &Record) -> Option<String> {
    let mapped = collection.fields.time.as_deref().and_then(|path| text_at(&record.data, path));
    mapped.or_else(|| record.created.or(record.modified).map(time_text))
}

/// Why the bytes of an attachment are not there, for a person.
pub(crate) fn status_text(status: BlobStatus) -> &'static str {
    match status {
        BlobStatus::Available => "its bytes never came",
        BlobStatus::Pending => "the provider was still making it",
        BlobStatus::External => "it lies elsewhere",
        BlobStatus::Blocked => "the provider refuses it",
        BlobStatus::TooLarge => "it is larger than a limit",
        _ => "it could not be read",
    }
}
