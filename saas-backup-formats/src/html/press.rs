//! Prints the pages: drafts, and what leads to each of them.

use std::collections::BTreeMap;

use minijinja::context;
use saas_backup_core::{Collection, CollectionName, Result};

use super::drafts::Drafted;
use super::frame::{Frame, give};
use super::site::{STYLE, Summary};
use super::table::Table;
use super::tree::TreePage;
use super::view::{Back, Draft, Entry, Link, View};
use crate::dataset::Dataset;
use crate::folder::Output;
use crate::names::Names;
use crate::pages::{CollectionPages, Incoming, Shape, Survey};
use crate::spool::Merge;
use crate::text::relative;

/// Entries of a hierarchy on one page, if a new one begins at its top.
const TREE_PAGE: usize = 1000;
/// Entries of a hierarchy on one page in any case.
const TREE_PAGE_MOST: usize = 2000;
/// Gaps on one page.
const GAPS: usize = 1000;

/// Prints pages.
pub(super) struct Press<'a> {
    dataset: &'a Dataset,
    shapes: &'a BTreeMap<CollectionName, Shape>,
    collections: &'a BTreeMap<CollectionName, CollectionPages>,
    names: &'a mut Names,
    output: &'a mut Output,
    frame: Frame,
    tables: BTreeMap<String, Table>,
    trees: BTreeMap<String, String>,
}

impl<'a> Press<'a> {
    pub(super) fn new(dataset: &'a Dataset, survey: &'a mut Survey, output: &'a mut Output) -> Result<Self> {
        let Survey { shapes, collections, names, .. } = survey;
        let frame = Frame::new(dataset)?;
        Ok(Self { dataset, shapes, collections, names, output, frame, tables: BTreeMap::new(), trees: BTreeMap::new() })
    }

    pub(super) fn run(mut self, mut drafts: Drafted) -> Result<Summary> {
        let deep = std::mem::take(&mut drafts.deep);
        for root in deep {
            if let Some((_, pages)) = self.collections.iter().find(|(name, _)| name.as_str() == root) {
                self.trees.insert(root, format!("{}/tree.html", pages.folder));
            }
        }
        for draft in drafts.drafts.read()? {
            self.draft(draft?, &mut drafts.edges)?;
        }
        self.lists(&mut drafts.entries)?;
        let tables = std::mem::take(&mut self.tables);
        for (_, table) in tables {
            table.finish(&self.frame, self.output)?;
        }
        self.tree(&mut drafts.tree)?;
        self.missing()?;
        let searchable = drafts.search.finish(self.output, &drafts.collections)?;
        Ok(Summary { searchable, newest: drafts.newest, lost: drafts.lost, trees: self.trees })
    }

    fn draft(&mut self, draft: Draft, edges: &mut Incoming) -> Result<()> {
        match draft {
            Draft::Page { collection, path, crumbs, view, comments, further } => {
                let back = Back::new(edges.of(&collection, &view.id)?, &path);
                let (source, title) = self.collection(&collection);
                let heading = view.title.clone();
                let context = context! {
                    view => give(&view), comments => give(&comments), further => give(&further), back => give(&back), crumbs => give(&crumbs),
                    collection => title,
                    source => source.map(|source| relative(&path, &source)),
                };
                self.frame.page(self.output, "record.html", &path, &heading, context)
            }
            Draft::Comments { path, of, crumbs, number, comments, next } => {
                let heading = format!("Comments on {}, page {number}", of.text);
                self.frame.page(
                    self.output,
                    "comments.html",
                    &path,
                    &heading,
                    context! { of => give(&of), crumbs => give(&crumbs), comments => give(&comments), next },
                )
            }
            Draft::Row { collection, view, orphan } => {
                let path = self.table(&collection)?.path();
                let back = if orphan { Back::default() } else { Back::new(edges.of(&collection, &view.id)?, &path) };
                let columns = self.table(&collection)?.columns.clone();
                let row = self.row(&columns, &view, &back)?;
                let (frame, output) = (&self.frame, &mut *self.output);
                match self.tables.get_mut(&collection) {
                    Some(table) => table.row(frame, output, &row),
                    None => Ok(()),
                }
            }
        }
    }

    fn row(&self, columns: &[String], view: &View, back: &Back) -> Result<String> {
        self.frame.part("row.html", context! { view => give(view), back => give(back), columns => give(&columns) })
    }

    /// The lists of pages, newest first.
    fn lists(&mut self, entries: &mut Merge) -> Result<()> {
        for (name, pages) in self.collections {
            let collection = name.as_str();
            self.table(collection)?;
            while entries.peek().is_some_and(|entry| entry.group.as_str() <= collection) {
                let Some(entry) = entries.next() else { break };
                let entry: Entry = serde_json::from_slice(&entry?.line)?;
                let from = format!("{}/{}", pages.folder, STYLE.listing_name(1));
                let href = relative(&from, &entry.path);
                let row = self.frame.part("entry.html", context! { entry => give(&entry), href })?;
                if let Some(table) = self.tables.get_mut(collection) {
                    table.row(&self.frame, self.output, &row)?;
                }
            }
        }
        Ok(())
    }

    fn table(&mut self, name: &str) -> Result<&mut Table> {
        let place = self.collections.iter().find(|(of, _)| of.as_str() == name);
        let tree = self.trees.get(name).cloned();
        let missing = || saas_backup_core::Error::new(saas_backup_core::ErrorKind::Unexpected, "a list has no place");
        let (of, pages) = place.ok_or_else(missing)?;
        let collection = self.dataset.catalog.get(of).ok_or_else(missing)?;
        let shape = self.shapes.get(of);
        let coverage = self.dataset.coverage.collections.get(of);
        Ok(self
            .tables
            .entry(name.to_owned())
            .or_insert_with(|| Table::new(collection, pages, shape, tree.as_deref(), coverage)))
    }

    fn collection(&self, name: &str) -> (Option<String>, String) {
        let of = self.collections.iter().find(|(of, _)| of.as_str() == name);
        let title = of.and_then(|(of, _)| self.dataset.catalog.get(of)).map(title_of_collection);
        (of.map(|(_, pages)| pages.source.clone()), title.unwrap_or_else(|| name.to_owned()))
    }

    /// The pages of each hierarchy.
    fn tree(&mut self, entries: &mut Merge) -> Result<()> {
        let mut page: Option<TreePage> = None;
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let Some(first) = self.trees.get(&entry.group).cloned() else { continue };
            let depth = entry.id.matches('\0').count().max(1);
            let is_parent =
                entries.peek().is_some_and(|next| next.group == entry.group && next.id.starts_with(&entry.id));
            let full = page.as_ref().is_some_and(|page| {
                page.group == entry.group && (page.entries >= TREE_PAGE && depth == 1 || page.entries >= TREE_PAGE_MOST)
            });
            if full || page.as_ref().is_some_and(|page| page.group != entry.group) {
                let mut done = page.take();
                if let Some(done) = &mut done {
                    let folder = first.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
                    let next = full.then(|| {
                        let title = format!("tree-{}", done.number + 1);
                        format!("{folder}/{}", self.names.give(&folder, &title, ".html", &done.path, 80))
                    });
                    self.end_tree(done, next.as_deref())?;
                    if let Some(next) = next {
                        page = Some(TreePage::continued(done, next, depth));
                    }
                }
            }
            let shown: Entry = serde_json::from_slice(&entry.line)?;
            page.get_or_insert_with(|| TreePage::new(&entry.group, first)).add(&shown, depth, is_parent);
        }
        match page {
            Some(mut page) => self.end_tree(&mut page, None),
            None => Ok(()),
        }
    }

    fn end_tree(&mut self, page: &mut TreePage, next: Option<&str>) -> Result<()> {
        page.close();
        let (_, title) = self.collection(&page.group);
        let folder = page.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let crumbs = [Link { text: title.clone(), href: Some(relative(&page.path, &format!("{folder}/index.html"))) }];
        let next = next.map(|next| relative(&page.path, next));
        let above = page.above.clone();
        let heading = if page.number == 1 {
            format!("{title}: hierarchy")
        } else {
            format!("{title}: hierarchy, page {}", page.number)
        };
        let context = context! { crumbs => give(&crumbs), tree => give(&page.html), next, above => give(&above) };
        self.frame.page(self.output, "tree.html", &page.path, &heading, context)
    }

    /// What is known to be missing.
    fn missing(&mut self) -> Result<()> {
        let (mut rows, mut more) = (Vec::new(), 0_u64);
        for gap in self.dataset.gaps()? {
            let gap = gap?;
            if rows.len() == GAPS {
                more += 1;
                continue;
            }
            let id = gap.id.as_ref().map(|id| id.as_str().to_owned());
            let what = match (&gap.blob, &gap.id) {
                (Some(blob), _) => format!("attachment {blob}"),
                (None, Some(_)) => "record".to_owned(),
                (None, None) => "part of the collection".to_owned(),
            };
            let (_, collection) = self.collection(gap.collection.as_str());
            let reason = gap.problem.title.clone();
            rows.push(context! { collection, id, what, reason, retry => gap.retry });
        }
        self.frame.page(self.output, "missing.html", "missing.html", "What is missing", context! { rows, more })
    }
}

/// The name of a collection for a person.
pub(super) fn title_of_collection(collection: &Collection) -> String {
    if collection.title.is_empty() { collection.name.to_string() } else { collection.title.clone() }
}
