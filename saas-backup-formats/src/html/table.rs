use minijinja::context;
use saas_backup_core::{Collection, CollectionCoverage, Result};

use super::frame::{Frame, give};
use super::press::title_of_collection;
use super::site::STYLE;
use super::view::Link;
use crate::folder::Output;
use crate::pages::{CollectionPages, Shape};
use crate::text::relative;

/// The pages that list a collection's records.
#[derive(Debug)]
pub(super) struct Table {
    folder: String,
    title: String,
    pub(super) columns: Vec<String>,
    /// What a person should know of the list.
    note: &'static str,
    is_list: bool,
    records: u64,
    /// How many rows there will be, if that is known.
    expected: Option<u64>,
    tree: Option<String>,
    coverage: Option<CollectionCoverage>,
    source: String,
    entries: u64,
    pages: u64,
    rows: String,
}

impl Table {
    pub(super) fn new(
        collection: &Collection,
        place: &CollectionPages,
        shape: Option<&Shape>,
        tree: Option<&str>,
        coverage: Option<&CollectionCoverage>,
    ) -> Self {
        let mut columns: Vec<String> = collection.fields.properties.keys().cloned().collect();
        if collection.fields.body.is_some() || collection.fields.is_empty() {
            columns.push(if collection.fields.is_empty() { "Data" } else { "Text" }.to_owned());
        }
        let (note, is_list, expected) = match shape {
            Some(Shape::Pages) => ("", true, Some(place.records)),
            Some(Shape::Thread { .. }) => {
                ("Each stands on the page that it belongs to. Listed here is what belongs to none.", false, None)
            }
            _ => ("", false, Some(place.records)),
        };
        Self {
            folder: place.folder.clone(),
            title: title_of_collection(collection),
            columns,
            note,
            is_list,
            records: place.records,
            expected,
            tree: tree.map(str::to_owned),
            coverage: coverage.cloned(),
            source: place.source.clone(),
            entries: 0,
            pages: 0,
            rows: String::new(),
        }
    }

    /// Where the next row will stand.
    pub(super) fn path(&self) -> String {
        STYLE.listing_path(&self.folder, self.entries / STYLE.rows + 1)
    }

    /// Adds a row, which is HTML.
    pub(super) fn row(&mut self, frame: &Frame, output: &mut Output, row: &str) -> Result<()> {
        if self.entries > 0 && self.entries.is_multiple_of(STYLE.rows) {
            self.print(frame, output, true)?;
        }
        self.entries += 1;
        self.rows.push_str(row);
        Ok(())
    }

    /// Writes the last page.
    pub(super) fn finish(mut self, frame: &Frame, output: &mut Output) -> Result<()> {
        self.print(frame, output, false)
    }

    fn print(&mut self, frame: &Frame, output: &mut Output, has_next: bool) -> Result<()> {
        self.pages += 1;
        let path = STYLE.listing_path(&self.folder, self.pages);
        let last = self.expected.map(|expected| expected.div_ceil(STYLE.rows).max(1));
        let heading = match self.pages {
            1 => self.title.clone(),
            page => format!("{}, page {page}", self.title),
        };
        let page = |number: u64| STYLE.listing_name(number);
        let numbers: Vec<Link> = nearby(self.pages, last.unwrap_or(self.pages + u64::from(has_next)))
            .into_iter()
            .map(|number| match number {
                Some(number) => Link { text: number.to_string(), href: (number != self.pages).then(|| page(number)) },
                None => Link { text: "…".to_owned(), href: None },
            })
            .collect();
        let context = context! {
            title => &self.title, columns => give(&self.columns), note => self.note, is_list => self.is_list,
            records => self.records, rows => std::mem::take(&mut self.rows), numbers => give(&numbers), page => self.pages,
            coverage => give(&self.coverage),
            previous => (self.pages > 1).then(|| page(self.pages - 1)),
            next => has_next.then(|| page(self.pages + 1)),
            tree => self.tree.as_ref().map(|tree| relative(&path, tree)),
            source => relative(&path, &self.source),
        };
        frame.page(output, "list.html", &path, &heading, context)
    }
}

/// The numbers of pages that a page leads to: the first, the last and those around it.
fn nearby(page: u64, last: u64) -> Vec<Option<u64>> {
    let mut numbers = Vec::new();
    let mut before = 0;
    let around = page.saturating_sub(2).max(2)..=(page + 2).min(last);
    for number in [1].into_iter().chain(around).chain([last]).filter(|number| *number <= last) {
        if number <= before {
            continue;
        }
        if number > before + 1 {
            numbers.push(None);
        }
        numbers.push(Some(number));
        before = number;
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_leads_to_the_first_the_last_and_its_neighbours() {
        assert_eq!(nearby(1, 1), [Some(1)]);
        assert_eq!(nearby(9, 20), [Some(1), None, Some(7), Some(8), Some(9), Some(10), Some(11), None, Some(20)]);
    }
}
