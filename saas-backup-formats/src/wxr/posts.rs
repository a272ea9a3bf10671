//! Posts and files.

use chrono::DateTime;
use saas_backup_core::{
    BlobRef, BlobStatus, Collection, CollectionName, Digest, Kind, Markup, Record, RecordState, References, Result,
};

use super::authors::{Called, slug};
use super::blog::BlogWriter;
use super::item::{Item, html, status};
use super::own::{OwnPost, Texts};
use super::xml::is_damaged;
use crate::form::value::{
    Text, author, body_of, key_text, raw_at, reference_text, refs, text_at, text_of, title_of, url_of,
};
use crate::pages::{Node, Shape, addresses};
use crate::text::relative;

/// Records above one another that are followed.
const MAX_ANCESTORS: usize = 64;

impl BlogWriter<'_> {
    /// Makes items in the order of the records; they are sorted so that what stands below something comes after it.
    pub(super) fn posts(&mut self) -> Result<()> {
        let dataset = self.dataset;
        let names: Vec<CollectionName> = dataset.records.keys().cloned().collect();
        for name in names {
            let Some(collection) = dataset.catalog.get(&name) else { continue };
            let is_carried = collection.kind == Kind::User || self.taxonomies.contains_key(&name);
            for record in dataset.records(&name)? {
                let record = record?.0;
                match self.survey.shapes.get(&name) {
                    Some(Shape::Pages) if self.is_post(collection) => self.post(collection, &record)?,
                    Some(Shape::Thread { via }) if refs(&record, Some(via)).any(|to| to.account.is_none()) => {}
                    _ if matches!(collection.kind, Kind::Media | Kind::File) => self.file(collection, &record)?,
                    _ if is_carried => {}
                    _ => self.losses.part(&record.key, "", "WordPress has no place for it: in the source alone")?,
                }
            }
        }
        while let Some(entry) = self.threads.next() {
            self.orphan(entry?.line)?;
        }
        Ok(())
    }

    fn post(&mut self, collection: &Collection, record: &Record) -> Result<()> {
        let own = OwnPost::of(record);
        if own.as_ref().is_some_and(OwnPost::is_of_theme) {
            return self.losses.part(&record.key, "", "a template as its theme has it: in the source alone");
        }
        let key = key_text(&record.key);
        let id = self.ids.give(&key, record.key.id.as_str())?;
        let chain = self.chain(&key, id)?;
        let parent = self.parent(record, collection)?;
        let post_type = self.post_type(collection, own.as_ref());
        let (mut meta, mut mapped) = (Vec::new(), None);
        for (name, path) in &collection.fields.properties {
            let raw = raw_at(&record.data, path).map(|raw| raw.get().to_owned());
            let Some(value) = text_at(&record.data, path).or(raw).filter(|value| value != "null") else { continue };
            if name == "status" { mapped = Some(value) } else { meta.push((name.clone(), value)) }
        }
        if let Some(cover) = self.cover(collection, record)? {
            meta.push(("_thumbnail_id".to_owned(), cover.to_string()));
        }
        let comments = self.comments(record)?;
        let mut terms = self.terms_of(collection, record)?;
        let mut status = status(record, mapped.as_deref());
        if record.state == RecordState::Archived {
            self.losses.part(&record.key, "/state", "archived: WordPress knows only private posts")?;
        }
        // WordPress's own are what its states and passwords say.
        if !record.access.is_empty() && own.is_none() {
            self.losses.part(&record.key, "/access", "permissions: in the source alone")?;
        }
        let link = url_of(collection, record).unwrap_or_default();
        let mut item = self.item(collection, record, own.as_ref())?;
        item.link.clone_from(&link);
        // Importers take two posts of one `guid` for the same.
        item.guid =
            if link.is_empty() { format!("saas-backup:{}/{}", record.key.collection, record.key.id) } else { link };
        if let Some(own) = &own {
            let named = own
                .terms()
                .map(|(taxonomy, name)| (taxonomy, Called { slug: name.to_owned(), title: name.to_owned() }));
            terms.extend(named);
            status.clone_from(&own.status);
            if let Some(guid) = own.guid.as_ref().and_then(Texts::any) {
                guid.clone_into(&mut item.guid);
            }
        }
        item.own = own;
        item.id = id;
        item.post_type = post_type;
        item.parent = parent;
        item.status = status;
        item.terms = terms;
        item.meta = meta;
        item.comments = comments;
        self.keep(&chain, &item)?;
        for blob in &record.blobs {
            self.attachment(record, blob, id, &chain)?;
        }
        Ok(())
    }

    /// A record that is a file.
    fn file(&mut self, collection: &Collection, record: &Record) -> Result<()> {
        let key = key_text(&record.key);
        let id = self.ids.give(&key, record.key.id.as_str())?;
        let Some((blob, url, guid)) = self.held(record, record.blobs.first())? else {
            return self.losses.part(&record.key, "/blobs", "a file without its bytes: in the source alone");
        };
        let owner = record
            .refs
            .values()
            .flat_map(References::iter)
            .find(|to| self.survey.shapes.get(&to.collection) == Some(&Shape::Pages));
        let own = OwnPost::of(record);
        let owner = match owner.and_then(reference_text) {
            Some(owner) => Some(owner),
            None => self.attached_to(own.as_ref().and_then(|own| own.post))?,
        };
        let parent = match &owner {
            Some(owner) => self.ids.get(owner)?.unwrap_or(0),
            None => 0,
        };
        let chain = match &owner {
            Some(owner) if parent > 0 => format!("{}{}", self.chain(owner, parent)?, step(id)),
            _ => step(id),
        };
        let terms = self.terms_of(collection, record)?;
        let link = url_of(collection, record).unwrap_or_default();
        let mut item = self.item(collection, record, own.as_ref())?;
        item.id = id;
        "attachment".clone_into(&mut item.post_type);
        item.link = link;
        item.guid = guid;
        item.parent = parent;
        "inherit".clone_into(&mut item.status);
        item.attachment_url = Some(url);
        item.terms = terms;
        item.meta = vec![("_wp_attached_file".to_owned(), blob)];
        if let Some(alternative) = own.as_ref().and_then(|own| own.alt_text.clone()).filter(|text| !text.is_empty()) {
            item.meta.push(("_wp_attachment_image_alt".to_owned(), alternative));
        }
        item.own = own;
        self.keep(&chain, &item)
    }

    /// The post of this number, of whichever type it is: WordPress counts all of them together.
    fn attached_to(&mut self, number: Option<u64>) -> Result<Option<String>> {
        let Some(number) = number else { return Ok(None) };
        for collection in &self.dataset.catalog.collections {
            let key = format!("{}\0{number}", collection.name);
            if self.is_post(collection) && self.ids.get(&key)?.is_some() {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// An attachment of a post that is no record of its own.
    fn attachment(&mut self, record: &Record, blob: &BlobRef, owner: u32, chain: &str) -> Result<()> {
        let Some((path, url, guid)) = self.held(record, Some(blob))? else {
            if blob.status != BlobStatus::External {
                self.losses.part(&record.key, "/blobs", "attachment not held")?;
            }
            return Ok(());
        };
        let Some(digest) = blob.digest else { return Ok(()) };
        let key = file_key(&digest);
        if self.ids.get(&key)?.is_some() {
            return Ok(());
        }
        let id = self.ids.give(&key, "")?;
        let name = blob.name.clone().unwrap_or_else(|| path.rsplit('/').next().unwrap_or_default().to_owned());
        let item = Item {
            id,
            post_type: "attachment".to_owned(),
            slug: slug(&name),
            title: name,
            guid,
            created: blob.created.or(record.created),
            parent: owner,
            status: "inherit".to_owned(),
            attachment_url: Some(url),
            meta: vec![("_wp_attached_file".to_owned(), path)],
            ..Item::default()
        };
        self.keep(&format!("{chain}{}", step(id)), &item)
    }

    /// The path of a file, its address for WordPress and the one that texts know it by.
    fn held(&mut self, record: &Record, blob: Option<&BlobRef>) -> Result<Option<(String, String, String)>> {
        let Some((blob, (_, digest))) = blob.and_then(|blob| Some((blob, self.dataset.blob(blob)?))) else {
            return Ok(None);
        };
        let Some(path) = self.survey.index.attachments.get::<String>(&digest.to_string())? else { return Ok(None) };
        let mut old = addresses(record, blob).into_iter().find(|url| matches!(url.scheme(), "http" | "https"));
        // Some sources tell versions of a file apart behind a `#`. It is no part of the file's name.
        if let Some(old) = &mut old {
            old.set_fragment(None);
        }
        let link = relative("", &path);
        let url = match (&self.config.media_url, &old) {
            (Some(base), _) => format!("{}/{link}", base.trim_end_matches('/')),
            (None, Some(old)) => old.to_string(),
            (None, None) => {
                self.losses.part(&record.key, "/blobs", "the address of an attachment: set `media_url`")?;
                link
            }
        };
        let guid = old.map_or_else(|| url.clone(), |old| old.to_string());
        Ok(Some((path, url, guid)))
    }

    /// What all items have.
    fn item(&mut self, of: &Collection, record: &Record, own: Option<&OwnPost>) -> Result<Item> {
        // Titles are HTML in WordPress: its own are taken as they are, the texts of others escaped.
        let shown = title_of(of, record);
        let title = match own.and_then(|own| own.title.any()) {
            Some(title) => title.to_owned(),
            None => shown.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
        };
        let (text, markup) = self.text(record, of)?;
        let summary = body_of(record, of.fields.summary.as_ref());
        let mapped = of.fields.slug.as_deref().and_then(|path| text_at(&record.data, path));
        let time = of.fields.time.as_deref().and_then(|path| text_at(&record.data, path));
        let time = time.and_then(|time| DateTime::parse_from_rfc3339(&time).ok()).map(|time| time.to_utc());
        if is_damaged(&text) || is_damaged(&title) {
            self.losses.part(&record.key, "/data", "characters that XML has no place for")?;
        }
        Ok(Item {
            // A draft of WordPress has none until it is published.
            slug: match own {
                Some(own) => own.slug.clone(),
                None => mapped.filter(|slug| !slug.is_empty()).unwrap_or_else(|| slug(&shown)),
            },
            title,
            author: match author(of, record) {
                Some(author) => self.slugs.get(author)?.slug,
                None => String::new(),
            },
            content: html(&text, markup),
            excerpt: summary.map(|(text, markup)| html(&text, markup)).unwrap_or_default(),
            created: time.or(record.created).or(record.modified),
            modified: record.modified,
            ..Item::default()
        })
    }

    /// The text of a record; what of it does not arrive is noted.
    pub(super) fn text(&mut self, record: &Record, of: &Collection) -> Result<(String, Markup)> {
        let Some(Text { words: text, markup, mut lost }) = text_of(record, of.fields.body.as_ref()) else {
            return Ok((String::new(), Markup::Plain));
        };
        if text.contains("\"attachment:") {
            lost.insert("files that a text names without an address".to_owned());
        }
        for reason in lost {
            self.losses.part(&record.key, "/data", &reason)?;
        }
        Ok((text, markup))
    }

    fn keep(&mut self, chain: &str, item: &Item) -> Result<()> {
        self.posts += 1;
        self.items.push("", chain, item.element().into_bytes())
    }

    /// What the documents of a collection become.
    fn post_type(&self, collection: &Collection, own: Option<&OwnPost>) -> String {
        let own = own.map(|own| &own.post_type);
        if let Some(post_type) = self.config.post_types.get(&collection.name).or(own) {
            return post_type.clone();
        }
        let above = collection.refs.iter().filter(|rule| Some(&rule.name) == collection.fields.parent.as_ref());
        let is_hierarchical = above.flat_map(|rule| &rule.to).any(|to| to == &collection.name);
        let word = collection.name.as_str().to_lowercase();
        let is_page = word == "pages" || word == "page" || (is_hierarchical && word != "posts");
        if is_page { "page" } else { "post" }.to_owned()
    }

    /// The number of the post above it, if WordPress can hold that.
    fn parent(&mut self, record: &Record, collection: &Collection) -> Result<u32> {
        let above = refs(record, collection.fields.parent.as_deref()).find_map(reference_text);
        let number = match above {
            Some(key) => self.ids.get(&key)?,
            None => None,
        };
        Ok(number.unwrap_or(0))
    }

    /// The numbers of the posts above a post and its own: what it is sorted by.
    fn chain(&mut self, key: &str, id: u32) -> Result<String> {
        let (mut chain, mut seen, mut key) = (step(id), vec![key.to_owned()], key.to_owned());
        while let Some(Node { place: crate::pages::Place::Page { parent: Some(parent), .. }, .. }) =
            self.survey.index.nodes.get::<Node>(&key)?
        {
            let Some(number) = self.ids.get(&parent)?.filter(|_| !seen.contains(&parent) && seen.len() < MAX_ANCESTORS)
            else {
                break;
            };
            chain.insert_str(0, &step(number));
            seen.push(parent.clone());
            key = parent;
        }
        Ok(chain)
    }

    /// The picture of a post: where it points to one file of the site.
    fn cover(&mut self, collection: &Collection, record: &Record) -> Result<Option<u32>> {
        let catalog = &self.dataset.catalog;
        let is_file = |name: &CollectionName| catalog.get(name).is_some_and(|to| to.kind == Kind::Media);
        let rule = collection.refs.iter().find(|rule| !rule.many && rule.to.iter().any(is_file));
        match refs(record, rule.map(|rule| rule.name.as_str())).find_map(reference_text) {
            Some(key) => self.ids.get(&key),
            None => Ok(None),
        }
    }

    fn terms_of(&mut self, collection: &Collection, record: &Record) -> Result<Vec<(&'static str, Called)>> {
        let mut terms = Vec::new();
        for label in collection.fields.labels.iter().flat_map(|name| refs(record, Some(name))) {
            let taxonomy = self.taxonomies.get(&label.collection).copied().unwrap_or("post_tag");
            terms.push((taxonomy, self.slugs.get(label)?));
        }
        Ok(terms)
    }
}

/// The key of a file in the store of numbers.
pub(super) fn file_key(digest: &Digest) -> String {
    format!("file\0{digest}")
}

fn step(id: u32) -> String {
    format!("{id:010}/")
}
