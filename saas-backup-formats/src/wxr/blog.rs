use std::collections::BTreeMap;
use std::path::Path;

use saas_backup_core::{Collection, CollectionName, Kind, Reference, Result};

use super::authors::{Slugs, people, taxonomies};
use super::config::WxrConfig;
use super::ids::Ids;
use super::own::{OwnPost, OwnUser};
use super::posts::file_key;
use super::xml::{Files, Xml};
use crate::dataset::Dataset;
use crate::folder::Output;
use crate::form::value::{body_of, key_text, refs, text_at};
use crate::form::{Desk, Form, Losses, Store};
use crate::import::{Import, Loading};
use crate::pages::{NamesFile, Shape, Style, Survey, read_sources};
use crate::spool::{Merge, Spool};

const STYLE: Style = Style {
    extension: ".xml",
    reserved: &[],
    reserved_below: &[],
    rows: u64::MAX,
    anchors: false,
    fragments: "",
    browsed: false,
    days: false,
    plain_names: true,
};

/// The form of an export for WordPress.
#[derive(Clone, Debug)]
pub(super) struct Blog {
    config: WxrConfig,
}

impl Blog {
    pub(super) fn new(config: WxrConfig) -> Self {
        Self { config }
    }
}

impl Form for Blog {
    const FORMAT: &'static str = "saas-backup-wxr";
    const VERSION: u32 = 1;

    fn write(&self, dataset: &Dataset, desk: &mut Desk) -> Result<()> {
        let (mut survey, mut names_file) = Survey::of(dataset, STYLE, desk)?;
        let scratch = dataset.scratch("blog");
        let threads = std::mem::replace(&mut survey.threads, Spool::new(scratch.join("none"))).finish()?;
        let mut writer = BlogWriter {
            config: &self.config,
            dataset,
            taxonomies: taxonomies(&dataset.catalog).into_iter().collect(),
            ids: Ids::new(Store::create(scratch.join("ids"))?),
            slugs: Slugs::new(Store::create(scratch.join("slugs"))?),
            files: Files::new(&head(dataset), self.config.file_bytes),
            items: Spool::new(scratch.join("items")),
            survey: &mut survey,
            threads,
            output: &mut desk.output,
            losses: &mut desk.losses,
            posts: 0,
        };
        writer.number(&mut names_file)?;
        names_file.finish(writer.output)?;
        writer.people_and_terms()?;
        writer.posts()?;
        let posts = writer.posts;
        let files = writer.finish()?;
        desk.content.insert("files".to_owned(), files.into());
        desk.content.insert("posts".to_owned(), posts.into());
        desk.content.insert("attachments".to_owned(), serde_json::to_value(survey.attachments)?);
        Ok(())
    }
}

impl Import for Blog {
    fn read(&self, folder: &Path, into: &mut Loading) -> Result<()> {
        read_sources::<Self>(folder, STYLE.extension, into)
    }
}

fn head(dataset: &Dataset) -> String {
    let mut xml = Xml::default();
    let title = dataset.account.as_ref().map_or("Export", |account| &account.name);
    xml.text("title", title);
    // No address, language or description: an importer that reads empty ones would give them to the site.
    xml.text("wp:wxr_version", "1.2");
    xml.0
}

/// Makes elements of records.
pub(super) struct BlogWriter<'a> {
    pub(super) config: &'a WxrConfig,
    pub(super) dataset: &'a Dataset,
    pub(super) taxonomies: BTreeMap<CollectionName, &'static str>,
    pub(super) ids: Ids,
    pub(super) slugs: Slugs,
    pub(super) files: Files,
    pub(super) items: Spool,
    pub(super) survey: &'a mut Survey,
    pub(super) threads: Merge,
    pub(super) output: &'a mut Output,
    pub(super) losses: &'a mut Losses,
    pub(super) posts: u64,
}

impl BlogWriter<'_> {
    /// Earlier versions are none: WordPress exports no revisions, and its importers would make posts of them.
    pub(super) fn is_post(&self, collection: &Collection) -> bool {
        self.survey.shapes.get(&collection.name) == Some(&Shape::Pages) && collection.fields.version_of.is_none()
    }

    /// Gives every post, every file and every comment its number.
    fn number(&mut self, names_file: &mut NamesFile) -> Result<()> {
        let dataset = self.dataset;
        for (collection, _) in dataset.collections() {
            let is_file = matches!(collection.kind, Kind::Media | Kind::File);
            let is_comment = matches!(self.survey.shapes.get(&collection.name), Some(Shape::Thread { .. }));
            if !self.is_post(collection) && !is_file && !is_comment {
                continue;
            }
            for record in dataset.records(&collection.name)? {
                let record = record?.0;
                if OwnPost::of(&record).is_some_and(|own| own.is_of_theme()) {
                    continue;
                }
                let key = key_text(&record.key);
                // Comments are counted apart.
                let id = record.key.id.as_str();
                let number = if is_comment {
                    self.ids.give(&format!("comment\0{key}"), if id.len() < 9 { id } else { "" })?
                } else {
                    self.ids.give(&key, id)?
                };
                names_file.post(number, &record.key)?;
                if let (true, Some((_, digest))) = (is_file, record.blobs.first().and_then(|blob| dataset.blob(blob))) {
                    self.ids.alias(&file_key(&digest), number)?;
                }
            }
        }
        Ok(())
    }

    fn people_and_terms(&mut self) -> Result<()> {
        let dataset = self.dataset;
        for collection in people(&dataset.catalog) {
            for record in dataset.records(&collection.name)? {
                let record = record?.0;
                let called = self.slugs.give("author", collection, &record)?;
                let id = self.ids.give(&format!("author\0{}", key_text(&record.key)), record.key.id.as_str())?;
                let email = collection.fields.properties.iter().find(|(name, _)| name.to_lowercase().contains("mail"));
                let email = email.and_then(|(_, path)| text_at(&record.data, path)).unwrap_or_default();
                let own = OwnUser::of(&record).unwrap_or_else(|| OwnUser { email, ..OwnUser::default() });
                let mut xml = Xml::default();
                xml.text("wp:author_id", &id.to_string());
                xml.cdata("wp:author_login", &called.slug);
                xml.cdata("wp:author_email", &own.email);
                xml.cdata("wp:author_display_name", &called.title);
                xml.cdata("wp:author_first_name", &own.first_name);
                xml.cdata("wp:author_last_name", &own.last_name);
                let element = format!("<wp:author>\n{}</wp:author>\n", xml.0);
                self.files.add(self.output, &element)?;
            }
        }
        for (name, taxonomy) in self.taxonomies.clone() {
            self.terms(&name, taxonomy)?;
        }
        Ok(())
    }

    fn terms(&mut self, name: &CollectionName, taxonomy: &str) -> Result<()> {
        let dataset = self.dataset;
        let Some(collection) = dataset.catalog.get(name) else { return Ok(()) };
        for record in dataset.records(name)? {
            self.slugs.give(taxonomy, collection, &record?.0)?;
        }
        for record in dataset.records(name)? {
            let record = record?.0;
            let called = self.slugs.get(&Reference::from(&record.key))?;
            let id = self.ids.give(&format!("term\0{}", key_text(&record.key)), record.key.id.as_str())?;
            let parent = match refs(&record, collection.fields.parent.as_deref()).next() {
                Some(parent) if parent.collection == *name => self.slugs.get(parent)?.slug,
                _ => String::new(),
            };
            let about = body_of(&record, collection.fields.summary.as_ref().or(collection.fields.body.as_ref()));
            let mut xml = Xml::default();
            xml.text("wp:term_id", &id.to_string());
            if taxonomy == "category" {
                xml.cdata("wp:category_nicename", &called.slug);
                xml.cdata("wp:category_parent", &parent);
                xml.cdata("wp:cat_name", &called.title);
                xml.cdata("wp:category_description", &about.map(|(text, _)| text).unwrap_or_default());
            } else {
                xml.cdata("wp:tag_slug", &called.slug);
                xml.cdata("wp:tag_name", &called.title);
                xml.cdata("wp:tag_description", &about.map(|(text, _)| text).unwrap_or_default());
            }
            let tag = if taxonomy == "category" { "wp:category" } else { "wp:tag" };
            self.files.add(self.output, &format!("<{tag}>\n{}</{tag}>\n", xml.0))?;
        }
        Ok(())
    }

    /// Writes the items.
    fn finish(self) -> Result<u32> {
        let Self { mut files, items, output, .. } = self;
        for item in items.finish()? {
            // Items are built of texts.
            let element = String::from_utf8_lossy(&item?.line).into_owned();
            files.add(output, &element)?;
        }
        files.finish(output)
    }
}
