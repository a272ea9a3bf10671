use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

use bytes::Bytes;
use saas_backup_core::{
    Catalog, Collection, CollectionName, Error, ErrorKind, Line, LineCodec, Receipt, Record, Result, RunReport,
};

use super::layout::Shape;
use super::linker::Linker;
use super::listing::Listing;
use super::losses::{LOSSES, Losses};
use super::manifest::{CollectionPages, FORMAT, LinkCounts, Manifest, VERSION};
use super::page::{Renderer, columns};
use super::survey::{Desk, NamesFile, Survey};
use super::value::key_text;
use crate::folder::{HashingWriter, Output};
use crate::session::{Open, SCRATCH};
use crate::spool::Merge;
use crate::text::{inline, relative};

/// Turns what a session holds into a vault.
pub(super) struct Vault<'a> {
    folder: &'a Path,
    codec: LineCodec,
    shapes: BTreeMap<CollectionName, Shape>,
    collections: BTreeMap<CollectionName, CollectionPages>,
    threads: Merge,
    listings: BTreeMap<CollectionName, Listing>,
    output: &'a mut Output,
    renderer: Renderer<'a>,
}

impl Vault<'_> {
    pub(super) fn write(open: Open, report: &RunReport) -> Result<Receipt> {
        let Open { staging, start, intake, blobs, codec, .. } = open;
        let folder = staging.folder();
        let scratch = folder.join(SCRATCH);
        let mut output = Output::new(folder, &scratch);
        let mut losses = Losses::create(&output)?;
        let mut names_file = NamesFile::create(&output)?;
        let (account, catalog, coverage) = match start {
            Some(start) => (start.account, start.catalog, start.coverage),
            None => (None, Catalog::default(), report.coverage.clone()),
        };
        let mut survey = Survey::new(catalog, &scratch)?;
        let mut desk = Desk { output: &mut output, losses: &mut losses, blobs: &blobs, names_file: &mut names_file };
        survey.run(intake.settle(codec)?, &mut desk)?;
        survey.place(&mut names_file)?;
        names_file.finish(&mut output)?;

        let Survey { catalog, shapes, collections, mut index, threads, attachments, .. } = survey;
        let vault = Vault {
            folder,
            codec,
            shapes,
            collections,
            threads: threads.finish()?,
            listings: BTreeMap::new(),
            output: &mut output,
            renderer: Renderer { catalog: &catalog, linker: Linker::new(&mut index), losses: &mut losses },
        };
        let (collections, links) = vault.render()?;
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            version: VERSION,
            account,
            catalog,
            coverage,
            collections,
            attachments,
            links,
            losses: losses.count,
            gaps: losses.gaps,
        };
        output.write("index.md", index_page(&manifest).as_bytes())?;
        losses.finish(&mut output)?;
        output.write("manifest.json", &pretty(&manifest)?)?;
        let mut report_file = HashingWriter::create(&folder.join("report.json"))?;
        report_file.write_all(&pretty(report)?)?;
        let (_, report_bytes) = report_file.finish(false)?;
        let (files, bytes) = output.finish()?;
        fs::remove_dir_all(scratch)?;
        staging.publish()?;

        let mut receipt = Receipt::default();
        receipt.written = true;
        receipt.bytes_added = bytes + report_bytes;
        receipt.objects_added = files + 1;
        Ok(receipt)
    }

    fn render(mut self) -> Result<(BTreeMap<CollectionName, CollectionPages>, LinkCounts)> {
        for (name, place) in self.collections.clone() {
            let Some(collection) = self.renderer.catalog.get(&name) else { continue };
            let shape = self.shapes.get(&name);
            self.listings.entry(name.clone()).or_insert_with(|| listing(collection, shape, &place));
            let mut lines = BufReader::new(File::open(self.folder.join(&place.source))?);
            loop {
                let mut line = Vec::new();
                if lines.read_until(b'\n', &mut line)? == 0 {
                    break;
                }
                line.pop();
                let record = self.decode(line)?;
                self.record(&record)?;
            }
        }
        while let Some(entry) = self.threads.next() {
            self.orphan(entry?.line)?;
        }
        for (_, listing) in std::mem::take(&mut self.listings) {
            listing.finish(self.output)?;
        }
        Ok((self.collections, self.renderer.linker.counts))
    }

    fn record(&mut self, record: &Record) -> Result<()> {
        match self.shapes.get(&record.key.collection) {
            Some(Shape::Pages) => {
                let Some(placed) = self.renderer.linker.place_of(&key_text(&record.key))? else { return Ok(()) };
                let thread = self.thread_of(record)?;
                let page = self.renderer.page(record, &placed.path, &thread)?;
                self.output.write(&placed.path, page.as_bytes())?;
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
        let cells = self.renderer.row(record, &listing.path())?;
        listing.row(self.output, &cells)
    }

    /// What was said about a record, by time; what was said about records that do not exist is listed on the way.
    fn thread_of(&mut self, record: &Record) -> Result<Vec<Record>> {
        let wanted = (record.key.collection.as_str(), record.key.id.as_str());
        let mut thread = Vec::new();
        loop {
            let order = self.threads.peek().map(|next| {
                let target = next.id.split('\0').next().unwrap_or_default();
                (next.group.as_str(), target).cmp(&wanted)
            });
            let Some(order) = order.filter(|order| order.is_le()) else { return Ok(thread) };
            let Some(entry) = self.threads.next() else { return Ok(thread) };
            if order.is_eq() {
                thread.push(self.decode(entry?.line)?);
            } else {
                self.orphan(entry?.line)?;
            }
        }
    }

    fn orphan(&mut self, line: Vec<u8>) -> Result<()> {
        let record = self.decode(line)?;
        self.row(&record)
    }

    fn decode(&self, line: Vec<u8>) -> Result<Record> {
        match self.codec.decode(&Bytes::from(line))? {
            Line::Put(record) => Ok(*record),
            _ => Err(Error::new(ErrorKind::Unexpected, "a line of the source is not a record")),
        }
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
fn index_page(manifest: &Manifest) -> String {
    let title = manifest.account.as_ref().map_or("Export", |account| &account.name);
    let mut page = format!("# {}\n\n| Collection | Records | Pages |\n| --- | ---: | ---: |\n", inline(title));
    for collection in &manifest.catalog.collections {
        let Some(place) = manifest.collections.get(&collection.name) else { continue };
        let title = if collection.title.is_empty() { collection.name.as_str() } else { &collection.title };
        let link = relative("index.md", &format!("{}/index.md", place.folder));
        let _ = writeln!(page, "| [{}]({link}) | {} | {} |", inline(title), place.records, place.pages);
    }
    let _ = writeln!(
        page,
        "\n{} attachments. Every record as its provider gave it is in `_source`; [what these pages do not \
         hold]({LOSSES}) has {} lines, {} of them about something that could not be read.",
        manifest.attachments.count, manifest.losses, manifest.gaps
    );
    page
}

fn pretty(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(text)
}
