//! Records as a person reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use saas_backup_core::{
    BlobId, BlobStatus, Catalog, Collection, Key, Markup, Principal, Record, RecordState, Reference, Result,
};
use serde_json::value::RawValue;
use url::Url;

use super::clean::{Cleaned, Setting, clean, plain_text};
use super::escape::escape;
use super::json::indented;
use super::media::{Media, is_unsafe_to_open, size_text};
use super::time::time_view;
use super::view::{Attachment, Link, Permission, Related, Version, View};
use crate::dataset::Dataset;
use crate::form::Losses;
use crate::form::value::{
    Text, author, body_of, excerpt, key_text, raw_at, refs, shortened, status_text, text_at, text_of, time_text,
    title_of, url_of,
};
use crate::pages::{Here, Linker, MAX_RELATED, Past, Placed, anchor_of};
use crate::text::{markdown_to_html, plain_from_html, relative};

/// Longest JSON that is shown, in bytes.
const MAX_JSON: usize = 256 * 1024;
/// The same for a row or a comment, of which a page has many.
const MAX_JSON_SMALL: usize = 8 * 1024;

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    Page,
    Comment,
    Row,
}

/// A record as it is shown, and what the search and other pages make of it.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) view: View,
    /// The words of its text.
    pub(super) plain: String,
    /// The names of its files.
    pub(super) files: String,
    /// Records that its text leads to.
    pub(super) reached: BTreeSet<String>,
}

/// Renders records.
#[derive(Debug)]
pub(super) struct Renderer<'a> {
    pub(super) dataset: &'a Dataset,
    pub(super) catalog: &'a Catalog,
    pub(super) linker: Linker<'a>,
    pub(super) losses: &'a mut Losses,
    /// How often each thing did not arrive.
    pub(super) lost: BTreeMap<String, u64>,
}

impl Renderer<'_> {
    /// A record as it stands on the page at `path`.
    pub(super) fn render(&mut self, record: &Record, path: &str, stand: Stand) -> Result<Option<Rendered>> {
        let Some(collection) = self.catalog.get(&record.key.collection) else { return Ok(None) };
        let fields = &collection.fields;
        let address = url_of(collection, record);
        let mut here = self.here(record, path, address.as_deref())?;
        let body = self.body(collection, record, &mut here, stand)?;
        let attachments = self.attachments(record, &here, stand)?;
        let title = title_of(collection, record);
        let summary =
            body_of(record, fields.summary.as_ref()).map_or_else(String::new, |(text, markup)| match markup {
                Markup::Html => plain_from_html(&text),
                _ => text,
            });
        let mut properties = Vec::new();
        for (name, at) in &fields.properties {
            let value = raw_at(&record.data, at).map(|raw| shown(raw.get())).unwrap_or_default();
            properties.push((name.clone(), shortened(&value)));
        }
        let mut labels = Vec::new();
        for label in fields.labels.iter().flat_map(|name| refs(record, Some(name))) {
            labels.push(self.link(label, path)?);
        }
        let author = match author(collection, record) {
            Some(author) => Some(self.link(author, path)?),
            None => None,
        };
        let version_of = match Past::of(collection, record) {
            Some((of, past)) => Some(Version::new(self.link(of, path)?, past)),
            None => None,
        };
        let limit = if stand == Stand::Page { MAX_JSON } else { MAX_JSON_SMALL };
        let json = record.data.as_str();
        let json_cut = json.len() > limit;
        let address = address.filter(|url| Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https")));
        let view = View {
            anchor: anchor_of(&key_text(&record.key)),
            id: record.key.id.as_str().to_owned(),
            has_title: title != record.key.id.as_str(),
            title,
            state: state_text(record.state, version_of.as_ref()).map(str::to_owned),
            version_of,
            purged: record.purge_at.map(|time| time_view(&time_text(time))),
            author,
            created: record.created.map(|time| time_view(&time_text(time))),
            modified: record.modified.map(|time| time_view(&time_text(time))),
            time: fields.time.as_deref().and_then(|at| text_at(&record.data, at)).map(|time| time_view(&time)),
            version: record.version.clone(),
            address,
            labels,
            properties,
            summary: summary.trim().to_owned(),
            body: body.html,
            attachments,
            related: self.related(collection, record, path)?,
            access: self.access(record, path)?,
            json: if json_cut { String::new() } else { indented(json) },
            json_cut,
            lossy: body.lost.into_iter().collect(),
        };
        let files: Vec<&str> = record.blobs.iter().filter_map(|blob| blob.name.as_deref()).collect();
        Ok(Some(Rendered { view, plain: body.plain, files: files.join("\n"), reached: here.reached }))
    }

    fn here(&mut self, record: &Record, path: &str, url: Option<&str>) -> Result<Here> {
        let base = url.and_then(|url| Url::parse(url).ok());
        let mut here = Here { path: path.to_owned(), base, ..Here::default() };
        for blob in &record.blobs {
            let (BlobStatus::Available, Some(digest)) = (blob.status, &blob.digest) else { continue };
            let Some(to) = self.linker.attachment(digest)? else { continue };
            let names = blob.id.iter().map(BlobId::as_str).chain(blob.name.as_deref());
            here.own.extend(names.map(|name| (name.to_owned(), to.clone())));
        }
        Ok(here)
    }

    fn body(&mut self, collection: &Collection, record: &Record, here: &mut Here, stand: Stand) -> Result<Cleaned> {
        let body = collection.fields.body.as_ref();
        if stand == Stand::Row {
            let html = escape(&excerpt(collection, record).unwrap_or_default());
            let plain = match body_of(record, body) {
                Some((text, Markup::Html)) => plain_from_html(&text),
                Some((text, _)) => text,
                None if collection.fields.is_empty() => record.data.as_str().to_owned(),
                None => String::new(),
            };
            return Ok(Cleaned { html, plain, ..Cleaned::default() });
        }
        let Some(Text { words: text, markup, lost }) = text_of(record, body) else { return Ok(Cleaned::default()) };
        let setting = match stand {
            Stand::Comment => Setting { level: 3, ids: false, bare_links: markup == Markup::Markdown },
            _ => Setting { level: 1, ids: true, bare_links: markup == Markup::Markdown },
        };
        let removed = self.linker.counts.removed;
        let linker = &mut self.linker;
        let mut resolve = |address: &str, is_image: bool| linker.resolve(here, address, is_image);
        let mut cleaned = match markup {
            Markup::Html => clean(&text, setting, &mut resolve),
            Markup::Markdown => clean(&markdown_to_html(&text), setting, &mut resolve),
            _ => plain_text(&text, &mut resolve),
        };
        cleaned.lost.extend(lost);
        self.linker.check()?;
        if self.linker.counts.removed > removed {
            let what = "links that lead nowhere or could do harm: their addresses stand as text";
            cleaned.lost.insert(what.to_owned());
        }
        let path = body.map(|body| format!("/data/{}", body.path.replace('.', "/"))).unwrap_or_default();
        for reason in &cleaned.lost {
            self.lose(&record.key, &path, reason)?;
        }
        Ok(cleaned)
    }

    fn lose(&mut self, key: &Key, path: &str, reason: &str) -> Result<()> {
        *self.lost.entry(reason.to_owned()).or_default() += 1;
        self.losses.part(key, path, reason)
    }

    /// The attachments that the text does not show.
    fn attachments(&mut self, record: &Record, here: &Here, stand: Stand) -> Result<Vec<Attachment>> {
        let mut found: Vec<Attachment> = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, blob) in record.blobs.iter().enumerate() {
            let held = match (blob.status, &blob.digest) {
                (BlobStatus::Available, Some(digest)) => self.linker.attachment(digest)?,
                _ => None,
            };
            let external = blob.external_url.as_deref().and_then(|url| Url::parse(url).ok());
            let external = external.filter(|url| matches!(url.scheme(), "http" | "https"));
            let name = blob.name.clone().filter(|name| !name.trim().is_empty());
            found.push(match (held, external) {
                (Some(path), _) if here.used.contains(&path) || !seen.insert(path.clone()) => continue,
                (Some(path), _) => {
                    let media = Media::of(&path);
                    let bytes = self.dataset.blob(blob).and_then(|(file, _)| fs::metadata(file).ok());
                    let mut note: Vec<String> = bytes.iter().map(|bytes| size_text(bytes.len())).collect();
                    note.extend(blob.media_type.clone().filter(|kind| !kind.is_empty() && kind.len() < 100));
                    let last = path.rsplit('/').next().unwrap_or(&path);
                    Attachment {
                        name: name.unwrap_or_else(|| last.to_owned()),
                        href: Some(relative(&here.path, &path)),
                        kind: media.word().to_owned(),
                        note: note.join(", "),
                        shown_only: is_unsafe_to_open(&path),
                    }
                }
                (None, Some(url)) => Attachment {
                    name: name.unwrap_or_else(|| url.to_string()),
                    href: Some(url.into()),
                    kind: "elsewhere".to_owned(),
                    note: "lies elsewhere: not in the archive".to_owned(),
                    shown_only: false,
                },
                (None, None) => {
                    let reason = format!("attachment not held: {}", status_text(blob.status));
                    if stand != Stand::Row {
                        self.lose(&record.key, &format!("/blobs/{index}"), &reason)?;
                    }
                    Attachment {
                        name: name.unwrap_or_else(|| "attachment".to_owned()),
                        href: None,
                        kind: "missing".to_owned(),
                        note: format!("not held: {}", status_text(blob.status)),
                        shown_only: false,
                    }
                }
            });
        }
        Ok(found)
    }

    fn related(&mut self, collection: &Collection, record: &Record, path: &str) -> Result<Vec<Related>> {
        let fields = &collection.fields;
        let shown = |name: &String| {
            let elsewhere = [&fields.author, &fields.version_of].into_iter().flatten();
            fields.labels.iter().chain(elsewhere).any(|shown| shown == name)
        };
        let mut related = Vec::new();
        for (name, targets) in record.refs.iter().filter(|(name, _)| !shown(name)) {
            let mut links = Vec::new();
            for to in targets.iter().take(MAX_RELATED) {
                links.push(self.link(to, path)?);
            }
            if !links.is_empty() {
                let more = targets.iter().count().saturating_sub(MAX_RELATED);
                related.push(Related { name: name.clone(), links, more });
            }
        }
        Ok(related)
    }

    fn access(&mut self, record: &Record, path: &str) -> Result<Vec<Permission>> {
        let mut permissions = Vec::new();
        for access in record.access.iter().take(MAX_RELATED) {
            permissions.push(Permission {
                who: match &access.principal {
                    Principal::Record(to) => self.link(to, path)?,
                    Principal::Named(name) => Link { text: name.clone(), href: None },
                },
                role: access.role.clone(),
                from: match &access.inherited_from {
                    Some(from) => Some(self.link(from, path)?),
                    None => None,
                },
                until: access.expires.map(|time| time_view(&time_text(time))),
            });
        }
        if record.access.len() > MAX_RELATED {
            self.lose(&record.key, "/access", "permissions: only the first hundred are shown")?;
        }
        Ok(permissions)
    }

    /// A link to a record; its collection and id if it is not here.
    pub(super) fn link(&mut self, to: &Reference, path: &str) -> Result<Link> {
        Ok(match self.linker.place(to)? {
            Some(placed) => link_to(&placed, path),
            None => Link { text: format!("{}/{}", to.collection, to.id), href: None },
        })
    }
}

/// A link to a place; what a browser would run is named and not linked to.
pub(super) fn link_to(placed: &Placed, path: &str) -> Link {
    let href = Some(placed.link(path)).filter(|_| !is_unsafe_to_open(&placed.path));
    Link { text: placed.title.clone(), href }
}

/// A value for a person: texts without quotes, lists without brackets, nothing where there is nothing.
fn shown(json: &str) -> String {
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str(json).unwrap_or_else(|_| json.trim_matches('"').to_owned()),
        Some(b'[') => match serde_json::from_str::<Vec<&RawValue>>(json) {
            Ok(items) => items.into_iter().map(|item| shown(item.get())).collect::<Vec<_>>().join(", "),
            Err(_) => json.to_owned(),
        },
        _ if matches!(json, "null" | "{}") => String::new(),
        _ => json.to_owned(),
    }
}

fn state_text(state: RecordState, version_of: Option<&Version>) -> Option<&'static str> {
    match state {
        _ if version_of.is_some_and(|version| version.is_deleted) => Some("deleted"),
        _ if version_of.is_some() => Some("earlier version"),
        RecordState::Trashed => Some("in the trash"),
        RecordState::Archived => Some("archived"),
        _ => None,
    }
}
