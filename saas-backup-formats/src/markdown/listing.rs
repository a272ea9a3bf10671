use std::io::Write as _;

use saas_backup_core::Result;

use super::vault::STYLE;
use crate::folder::{HashingWriter, Output};
use crate::pages::CollectionPages;
use crate::text::{inline, relative};

/// The pages that list a collection's records: links to pages, or rows of a table.
#[derive(Debug)]
pub(super) struct Listing {
    folder: String,
    title: String,
    /// What stands there if nothing else does.
    empty: &'static str,
    /// The file that has everything.
    source: String,
    /// The columns; without any, entries are links.
    columns: Vec<String>,
    pages: u64,
    entries: u64,
    file: Option<(String, HashingWriter)>,
}

impl Listing {
    pub(super) fn new(place: &CollectionPages, title: &str, columns: Vec<String>, empty: &'static str) -> Self {
        let (folder, source) = (place.folder.clone(), place.source.clone());
        Self { folder, title: title.to_owned(), empty, source, columns, pages: 0, entries: 0, file: None }
    }

    /// Where the next entry will stand: links in it start there.
    pub(super) fn path(&self) -> String {
        STYLE.listing_path(&self.folder, self.entries / STYLE.rows + 1)
    }

    /// Adds a link to a page.
    pub(super) fn link(&mut self, output: &mut Output, title: &str, path: &str) -> Result<()> {
        let from = self.path();
        let file = self.page(output)?;
        Ok(writeln!(file, "- [{}]({})", inline(title), relative(&from, path))?)
    }

    /// Adds a row; the cells are Markdown.
    pub(super) fn row(&mut self, output: &mut Output, cells: &[String]) -> Result<()> {
        let file = self.page(output)?;
        let cells: Vec<&str> = cells.iter().map(|cell| if cell.is_empty() { " " } else { cell }).collect();
        Ok(writeln!(file, "| {} |", cells.join(" | "))?)
    }

    /// Ends the listing; one without entries says so.
    pub(super) fn finish(mut self, output: &mut Output) -> Result<()> {
        if self.pages == 0 {
            self.begin(output)?;
            if let Some((_, file)) = &mut self.file {
                writeln!(file, "{}", self.empty)?;
            }
        }
        self.end(output)
    }

    fn page(&mut self, output: &mut Output) -> Result<&mut HashingWriter> {
        if self.entries.is_multiple_of(STYLE.rows) {
            let next = (self.pages > 0).then(|| STYLE.listing_name(self.pages + 1));
            if let (Some(next), Some((_, file))) = (next, &mut self.file) {
                writeln!(file, "\n[More]({next})")?;
            }
            self.end(output)?;
            self.begin(output)?;
        }
        self.entries += 1;
        match &mut self.file {
            Some((_, file)) => Ok(file),
            None => Err(saas_backup_core::Error::new(saas_backup_core::ErrorKind::Unexpected, "no page is open")),
        }
    }

    fn begin(&mut self, output: &Output) -> Result<()> {
        self.pages += 1;
        let path = STYLE.listing_path(&self.folder, self.pages);
        let mut file = output.create(&path)?;
        writeln!(file, "# {}\n", inline(&self.title))?;
        let source = relative(&path, &self.source);
        writeln!(file, "[All collections](../index.md) · [everything about these records]({source})\n")?;
        if !self.columns.is_empty() {
            let names: Vec<String> = self.columns.iter().map(|name| inline(name)).collect();
            writeln!(file, "| {} |\n|{}", names.join(" | "), " --- |".repeat(names.len()))?;
        }
        self.file = Some((path, file));
        Ok(())
    }

    fn end(&mut self, output: &mut Output) -> Result<()> {
        match self.file.take() {
            Some((path, file)) => output.keep(&path, file),
            None => Ok(()),
        }
    }
}
