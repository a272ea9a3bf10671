use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use saas_backup_core::{Collection, CollectionName, Record, Result};
use serde::{Deserialize, Serialize};

use super::back::sections;
use super::listing::Listing;
use super::page::{Renderer, columns};
use crate::dataset::Dataset;
use crate::folder::Output;
use crate::form::value::{key_text, title_of};
use crate::form::{Desk, Form, LOSSES, Losses};
use crate::import::{Import, Loading};
use crate::pages::{
    AttachmentTotals, CollectionPages, Drafts, Edges, LinkCounts, Linker, Shape, Style, Survey, read_sources,
};
use crate::spool::Merge;
use crate::text::{inline, relative};

pub(super) const STYLE: Style = Style {
    extension: ".md",
    reserved: &[],
    reserved_below: &[],
    rows: 1000,
    anchors: false,
    fragments: "",
    browsed: false,
    days: true,
    plain_names: false,
};

/// Memory of what leads to pages while it is sorted, in bytes.
const EDGE_BYTES: usize = 16 * 1024 * 1024;

/// The form of a vault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vault;

impl Form for Vault {
    const FORMAT: &'static str = "saas-backup-markdown";
    const VERSION: u32 = 1;

    fn write(&self, dataset: &Dataset, desk: &mut Desk) -> Result<()> {
        let (mut survey, mut names_file) = Survey::of(dataset, STYLE, desk)?;
        survey.place(&mut names_file)?;
        names_file.finish(&mut desk.output)?;

        let Survey { shapes, collections, mut index, threads, attachments, .. } = survey;
        let scratch = dataset.scratch("pages");
        let writer = VaultWriter {
            dataset,
            shapes: &shapes,
            collections,
            threads: threads.finish()?,
            listings: BTreeMap::new(),
            edges: Edges::new(&dataset.catalog, &shapes, scratch.join("edges"), EDGE_BYTES),
            drafts: Drafts::create(scratch.join("drafts"))?,
            output: &mut desk.output,
            renderer: Renderer {
                catalog: &dataset.catalog,
                linker: Linker::new(&mut index, STYLE),
                losses: &mut desk.losses,
            },
        };
        let (collections, links) = writer.render()?;
        let index = index_page(dataset, &collections, attachments, &desk.losses);
        desk.output.write("index.md", index.as_bytes())?;
        desk.content.insert("attachments".to_owned(), serde_json::to_value(attachments)?);
        desk.content.insert("links".to_owned(), serde_json::to_value(links)?);
        Ok(())
    }
}

impl Import for Vault {
    fn read(&self, folder: &Path, into: &mut Loading) -> Result<()> {
        read_sources::<Self>(folder, STYLE.extension, into)
    }
}

/// A page before it is known what leads to it.
#[derive(Serialize, Deserialize)]
struct Draft {
    collection: String,
    id: String,
    path: String,
    page: String,
}

/// Writes the pages of a vault, when every page has its place.
pub(super) struct VaultWriter<'a> {
    pub(super) dataset: &'a Dataset,
    shapes: &'a BTreeMap<CollectionName, Shape>,
    collections: BTreeMap<CollectionName, CollectionPages>,
    pub(super) threads: Merge,
    listings: BTreeMap<CollectionName, Listing>,
    pub(super) edges: Edges<'a>,
    drafts: Drafts,
    pub(super) output: &'a mut Output,
    pub(super) renderer: Renderer<'a>,
}

impl VaultWriter<'_> {
    fn render(mut self) -> Result<(BTreeMap<CollectionName, CollectionPages>, LinkCounts)> {
        for (name, place) in self.collections.clone() {
            let Some(collection) = self.renderer.catalog.get(&name) else { continue };
            let shape = self.shapes.get(&name);
            self.listings.entry(name.clone()).or_insert_with(|| listing(collection, shape, &place));
            for record in self.dataset.records(&name)? {
                self.record(&record?.0)?;
            }
        }
        while let Some(entry) = self.threads.next() {
            self.orphan(entry?.line)?;
        }
        for (_, listing) in std::mem::take(&mut self.listings) {
            listing.finish(self.output)?;
        }
        let mut incoming = self.edges.finish()?;
        for draft in self.drafts.read()? {
            let Draft { collection, id, path, mut page } = draft?;
            page.push_str(&sections(&incoming.of(&collection, &id)?, &path));
            self.output.write(&path, page.as_bytes())?;
        }
        Ok((self.collections, self.renderer.linker.counts))
    }

    fn record(&mut self, record: &Record) -> Result<()> {
        match self.shapes.get(&record.key.collection) {
            Some(Shape::Pages) => {
                let Some(placed) = self.renderer.linker.place_of(&key_text(&record.key))? else { return Ok(()) };
                let thread = self.thread(record, &placed)?;
                let Some((page, reached)) = self.renderer.page(record, &placed.path, &thread)? else { return Ok(()) };
                self.edges.tell(record, &placed.title, &placed.link(""), &reached)?;
                self.drafts.keep(&Draft {
                    collection: record.key.collection.to_string(),
                    id: record.key.id.to_string(),
                    path: placed.path.clone(),
                    page,
                })?;
                match self.listings.get_mut(&record.key.collection) {
                    Some(listing) => listing.link(self.output, &placed.title, &placed.path),
                    None => Ok(()),
                }
            }
            // It stands on another page, or comes back as an orphan when all pages were written.
            Some(Shape::Thread { via }) if has_target(record, via) => Ok(()),
            _ => self.row(record),
        }
    }

    fn row(&mut self, record: &Record) -> Result<()> {
        let Some(listing) = self.listings.get_mut(&record.key.collection) else {
            // Its collection comes later in the order; its listing is begun early.
            let (Some(collection), Some(place)) =
                (self.renderer.catalog.get(&record.key.collection), self.collections.get(&record.key.collection))
            else {
                return Ok(());
            };
            let listing = listing(collection, self.shapes.get(&record.key.collection), place);
            self.listings.insert(record.key.collection.clone(), listing);
            return self.row(record);
        };
        if let Some(collection) = self.renderer.catalog.get(&record.key.collection) {
            let link = relative("", &listing.path());
            self.edges.tell(record, &title_of(collection, record), &link, &BTreeSet::new())?;
        }
        let cells = self.renderer.row(record, &listing.path())?;
        listing.row(self.output, &cells)
    }

    pub(super) fn orphan(&mut self, line: Vec<u8>) -> Result<()> {
        let record = self.dataset.decode(line)?;
        self.row(&record)
    }
}

fn has_target(record: &Record, via: &str) -> bool {
    record.refs.get(via).is_some_and(|to| to.iter().any(|to| to.account.is_none()))
}

fn listing(collection: &Collection, shape: Option<&Shape>, place: &CollectionPages) -> Listing {
    let title = if collection.title.is_empty() { collection.name.as_str() } else { &collection.title };
    let (columns, empty) = match shape {
        Some(Shape::Pages) => (Vec::new(), "Nothing."),
        Some(Shape::Thread { .. }) => (columns(collection), "\nEach stands on the page that it belongs to."),
        _ => (columns(collection), "\nNothing."),
    };
    Listing::new(place, title, columns, empty)
}

/// The first page: what is here, and what is not.
fn index_page(
    dataset: &Dataset,
    places: &BTreeMap<CollectionName, CollectionPages>,
    attachments: AttachmentTotals,
    losses: &Losses,
) -> String {
    let title = dataset.account.as_ref().map_or("Export", |account| &account.name);
    let mut page = format!("# {}\n\n| Collection | Records | Pages |\n| --- | ---: | ---: |\n", inline(title));
    for collection in &dataset.catalog.collections {
        let Some(place) = places.get(&collection.name) else { continue };
        let title = if collection.title.is_empty() { collection.name.as_str() } else { &collection.title };
        let link = relative("index.md", &format!("{}/index.md", place.folder));
        let _ = writeln!(page, "| [{}]({link}) | {} | {} |", inline(title), place.records, place.pages);
    }
    let _ = writeln!(
        page,
        "\n{} attachments. Every record as its provider gave it is in `_source`; [what these pages do not \
         hold]({LOSSES}) has {} lines, {} of them about something that could not be read.",
        attachments.count, losses.count, losses.gaps
    );
    page
}
