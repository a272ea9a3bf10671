use std::collections::BTreeSet;
use std::fmt::Write as _;

use saas_backup_core::{
    BlobId, BlobStatus, Catalog, Collection, Key, Markup, Record, RecordState, Reference, References, Result,
};
use url::Url;

use super::front_matter::FrontMatter;
use super::thread::Thread;
use crate::form::Losses;
use crate::form::value::{
    Text, author, body_of, excerpt, raw_at, refs, shortened, status_text, text_at, text_of, time_of, time_text,
    title_of, url_of,
};
use crate::pages::{Here, Linker, MAX_RELATED, Past};
use crate::text::{Resolution, code, html_to_markdown, inline, paragraphs, relative, rewrite, without_shortcodes};

/// Longest data that is shown on a page that has no text, in bytes.
const MAX_DATA: usize = 64 * 1024;

/// Renders records as Markdown.
#[derive(Debug)]
pub(super) struct Renderer<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) linker: Linker<'a>,
    pub(super) losses: &'a mut Losses,
}

/// The columns of a table of records.
pub(super) fn columns(collection: &Collection) -> Vec<String> {
    let mut columns = vec!["Title".to_owned(), "Time".to_owned()];
    columns.extend(collection.fields.properties.keys().cloned());
    if has_excerpt(collection) {
        columns.push(if collection.fields.is_empty() { "Data".to_owned() } else { "Text".to_owned() });
    }
    columns.push("Attachments".to_owned());
    columns
}

fn has_excerpt(collection: &Collection) -> bool {
    collection.fields.body.is_some() || collection.fields.is_empty()
}

/// What a page says of a record besides its text.
struct Facts {
    author: Option<String>,
    parent: Option<String>,
    labels: Vec<String>,
    url: Option<String>,
}

impl Renderer<'_> {
    /// The page of a record with what others said about it, and the records that its texts lead to.
    pub(super) fn page(
        &mut self,
        record: &Record,
        path: &str,
        thread: &Thread,
    ) -> Result<Option<(String, BTreeSet<String>)>> {
        let Some(collection) = self.catalog.get(&record.key.collection) else { return Ok(None) };
        let facts = self.facts(collection, record)?;
        let mut here = self.here(record, path, facts.url.as_deref())?;
        let (body, mut lossy) = self.body(collection, record, &mut here)?;
        let mut sections = String::new();
        let attachments = self.attachments(record, &here)?;
        if !attachments.is_empty() {
            let _ = write!(sections, "\n## Attachments\n\n{}\n", attachments.join("\n"));
        }
        self.related(collection, record, path, &mut sections)?;
        if !thread.days.is_empty() {
            let _ = write!(sections, "\n## Days\n\n");
        }
        for (day, link, messages) in &thread.days {
            let _ = writeln!(sections, "- [{day}]({link}) ({messages})");
        }
        if !thread.comments.is_empty() {
            let _ = write!(sections, "\n## Comments\n");
        }
        for comment in &thread.comments {
            here.reached.append(&mut self.comment(comment, path, &mut sections)?);
        }
        if !record.access.is_empty() {
            let reason = "permissions: in the source alone";
            self.losses.part(&record.key, "/access", reason)?;
            lossy.insert(reason.to_owned());
        }
        let title = title_of(collection, record);
        let mut page = Self::front_matter(collection, record, &title, &facts, &lossy)?;
        let _ = write!(page, "\n# {}\n", inline(&title));
        for part in [body.trim_matches('\n'), sections.trim_matches('\n')] {
            if !part.is_empty() {
                let _ = write!(page, "\n{part}\n");
            }
        }
        Ok(Some((page, here.reached)))
    }

    /// The cells of a record in a table, as [`columns`] names them.
    pub(super) fn row(&mut self, record: &Record, path: &str) -> Result<Vec<String>> {
        let Some(collection) = self.catalog.get(&record.key.collection) else { return Ok(Vec::new()) };
        let mut cells = vec![inline(&title_of(collection, record)), time_of(collection, record).unwrap_or_default()];
        for property in collection.fields.properties.values() {
            let raw = raw_at(&record.data, property);
            let text = text_at(&record.data, property).or_else(|| raw.map(|raw| raw.get().to_owned()));
            cells.push(inline(&shortened(&text.unwrap_or_default())));
        }
        if has_excerpt(collection) {
            let excerpt = excerpt(collection, record).unwrap_or_default();
            cells.push(if collection.fields.is_empty() {
                code(&excerpt).replace('|', "\\|")
            } else {
                inline(&excerpt)
            });
        }
        let mut links = Vec::new();
        for blob in record.blobs.iter().take(MAX_RELATED) {
            if let (BlobStatus::Available, Some(digest)) = (blob.status, &blob.digest)
                && let Some(to) = self.linker.attachment(digest)?
            {
                links.push(format!("[{}]({})", inline(shown_name(&to)), relative(path, &to)));
            }
        }
        cells.push(links.join(", "));
        Ok(cells)
    }

    fn facts(&mut self, collection: &Collection, record: &Record) -> Result<Facts> {
        let author = match author(collection, record) {
            Some(author) => Some(self.title(author)?),
            // Guests are no records: their names stand in what they wrote.
            None => collection.fields.properties.get("author").and_then(|path| text_at(&record.data, path)),
        };
        let parent = match refs(record, collection.fields.parent.as_deref()).next() {
            Some(parent) => Some(self.title(parent)?),
            None => None,
        };
        let mut labels = Vec::new();
        for label in collection.fields.labels.iter().flat_map(|name| refs(record, Some(name))) {
            labels.push(self.title(label)?);
        }
        Ok(Facts { author, parent, labels, url: url_of(collection, record) })
    }

    fn title(&mut self, to: &Reference) -> Result<String> {
        let placed = self.linker.place(to)?;
        Ok(placed.map_or_else(|| to.id.as_str().to_owned(), |placed| placed.title))
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

    fn body(
        &mut self,
        collection: &Collection,
        record: &Record,
        here: &mut Here,
    ) -> Result<(String, BTreeSet<String>)> {
        let fields = &collection.fields;
        let path = fields.body.as_ref().map(|body| format!("/data/{}", body.path.replace('.', "/")));
        if let (Some(text), Some(path)) = (text_of(record, fields.body.as_ref()), path) {
            return self.text(&record.key, here, &path, text);
        }
        // A record that the mapping says nothing about is shown as it is rather than as an empty page.
        let data = record.data.as_str();
        let shown = fields.body.is_none() && fields.title.is_none() && data.len() <= MAX_DATA;
        let mut lost = BTreeSet::new();
        let block = if shown { format!("```json\n{data}\n```") } else { String::new() };
        let block = without_shortcodes(block, &mut lost);
        for reason in &lost {
            self.losses.part(&record.key, "/data", reason)?;
        }
        Ok((block, lost))
    }

    fn text(&mut self, key: &Key, here: &mut Here, path: &str, text: Text) -> Result<(String, BTreeSet<String>)> {
        let Text { words: text, markup, mut lost } = text;
        let converted = match markup {
            Markup::Html => {
                let (converted, losses) = html_to_markdown(&text);
                lost.extend(losses);
                converted
            }
            Markup::Markdown => text.replace("\r\n", "\n"),
            _ => paragraphs(&text),
        };
        let removed = self.linker.counts.removed;
        let linker = &mut self.linker;
        let mut resolve = |address: &str, is_image: bool| -> Resolution { linker.resolve(here, address, is_image) };
        let rewritten = without_shortcodes(rewrite(&converted, &mut lost, &mut resolve), &mut lost);
        self.linker.check()?;
        if self.linker.counts.removed > removed {
            lost.insert("links that lead nowhere or could do harm: their addresses stand as text".to_owned());
        }
        for reason in &lost {
            self.losses.part(key, path, reason)?;
        }
        Ok((rewritten, lost))
    }

    /// The attachments that the text does not lead to, a line each.
    fn attachments(&mut self, record: &Record, here: &Here) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for (index, blob) in record.blobs.iter().enumerate() {
            let held = match (blob.status, &blob.digest) {
                (BlobStatus::Available, Some(digest)) => self.linker.attachment(digest)?,
                _ => None,
            };
            let external = blob.external_url.as_deref().and_then(|url| Url::parse(url).ok());
            let external = external.filter(|url| matches!(url.scheme(), "http" | "https"));
            let name = blob.name.as_deref().unwrap_or("attachment");
            match (held, external) {
                (Some(path), _) if here.used.contains(&path) => {}
                (Some(path), _) => {
                    lines.push(format!(
                        "- [{}]({})",
                        inline(blob.name.as_deref().unwrap_or(shown_name(&path))),
                        relative(&here.path, &path)
                    ));
                }
                (None, Some(url)) => {
                    let url = url.as_str().replace('(', "%28").replace(')', "%29");
                    lines.push(format!("- [{}]({url})", inline(blob.name.as_deref().unwrap_or(&url))));
                }
                (None, None) => {
                    let reason = format!("attachment not held: {}", status_text(blob.status));
                    lines.push(format!("- {} ({reason})", inline(name)));
                    self.losses.part(&record.key, &format!("/blobs/{index}"), &reason)?;
                }
            }
        }
        lines.dedup();
        Ok(lines)
    }

    fn related(&mut self, collection: &Collection, record: &Record, path: &str, out: &mut String) -> Result<()> {
        let fields = &collection.fields;
        let shown = |name: &String| fields.labels.contains(name) || fields.author.as_ref() == Some(name);
        let mut list = Vec::new();
        for (name, targets) in record.refs.iter().filter(|(name, _)| !shown(name)) {
            let links = self.links(targets, path)?;
            if !links.is_empty() {
                let more = targets.iter().count().saturating_sub(MAX_RELATED);
                let more = if more > 0 { format!(", and {more} more") } else { String::new() };
                list.push(format!("- {}: {}{more}", inline(name), links.join(", ")));
            }
        }
        if !list.is_empty() {
            let _ = write!(out, "\n## Related\n\n{}\n", list.join("\n"));
        }
        Ok(())
    }

    fn links(&mut self, targets: &References, path: &str) -> Result<Vec<String>> {
        let mut links = Vec::new();
        for to in targets.iter().take(MAX_RELATED) {
            links.push(match self.linker.place(to)? {
                Some(placed) => format!("[{}]({})", inline(&placed.title), placed.link(path)),
                None => code(&format!("{}/{}", to.collection, to.id)),
            });
        }
        Ok(links)
    }

    /// Adds what somebody said, and tells which records it leads to.
    pub(super) fn comment(&mut self, comment: &Record, path: &str, out: &mut String) -> Result<BTreeSet<String>> {
        let Some(collection) = self.catalog.get(&comment.key.collection) else { return Ok(BTreeSet::new()) };
        let facts = self.facts(collection, comment)?;
        let mut here = self.here(comment, path, facts.url.as_deref())?;
        let (body, _) = self.body(collection, comment, &mut here)?;
        let mut heading: Vec<String> = facts.author.iter().map(|author| inline(author)).collect();
        let title = title_of(collection, comment);
        if title != comment.key.id.as_str() && facts.author.as_ref() != Some(&title) {
            heading.push(inline(&title));
        }
        heading.extend(time_of(collection, comment));
        heading.extend(state_text(comment.state).map(str::to_owned));
        if heading.is_empty() {
            heading.push(inline(comment.key.id.as_str()));
        }
        let _ = write!(out, "\n### {}\n\n{}\n", heading.join(" · "), body.trim_matches('\n'));
        let attachments = self.attachments(comment, &here)?;
        if !attachments.is_empty() {
            let _ = write!(out, "\n{}\n", attachments.join("\n"));
        }
        Ok(here.reached)
    }

    fn front_matter(
        collection: &Collection,
        record: &Record,
        title: &str,
        facts: &Facts,
        lossy: &BTreeSet<String>,
    ) -> Result<String> {
        let fields = &collection.fields;
        let mut matter = FrontMatter::new();
        matter.text("title", title);
        matter.text("id", record.key.id.as_str());
        matter.text("collection", record.key.collection.as_str());
        matter.optional("source", facts.url.as_deref());
        matter.optional("created", record.created.map(time_text).as_deref());
        matter.optional("modified", record.modified.map(time_text).as_deref());
        matter.optional("time", fields.time.as_deref().and_then(|path| text_at(&record.data, path)).as_deref());
        matter.optional("version", record.version.as_deref());
        let past = Past::of(collection, record).map(|(_, past)| past.state());
        matter.optional("state", past.or_else(|| state_text(record.state)));
        matter.optional("author", facts.author.as_deref());
        matter.optional("parent", facts.parent.as_deref());
        matter.list("tags", &facts.labels);
        if let Some((summary, markup)) = body_of(record, fields.summary.as_ref()).filter(|(text, _)| !text.is_empty()) {
            let plain = if markup == Markup::Html { crate::text::plain_from_html(&summary) } else { summary };
            matter.text("summary", plain.trim());
        }
        for (name, path) in &fields.properties {
            if let Some(value) = raw_at(&record.data, path) {
                matter.property(name, &value)?;
            }
        }
        matter.list("lossy", lossy);
        Ok(matter.finish())
    }
}

fn state_text(state: RecordState) -> Option<&'static str> {
    match state {
        RecordState::Trashed => Some("trashed"),
        RecordState::Archived => Some("archived"),
        _ => None,
    }
}

fn shown_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
