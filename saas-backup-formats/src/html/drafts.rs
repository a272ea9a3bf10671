//! The second reading: each record becomes a draft, and tells the pages that it leads to.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use saas_backup_core::{CollectionName, Record, Result};

use super::record::{Rendered, Renderer, Stand, link_to};
use super::search::{Found, SearchWriter};
use super::view::{Draft, Entry, Link, View};
use crate::dataset::Dataset;
use crate::folder::Output;
use crate::form::Desk;
use crate::form::value::{key_text, refs, time_of};
use crate::names::Names;
use crate::pages::{
    Drafts, Edges, Incoming, LinkCounts, Linker, Place, Placed, Shape, Survey, anchor_of, fold, newest_first,
};
use crate::spool::{Merge, SMALL, Spool};
use crate::text::relative;

/// Records above one another that are shown.
const MAX_ANCESTORS: usize = 64;

/// All drafts, and what is sorted by another order.
#[derive(Debug)]
pub(super) struct Drafted {
    pub(super) drafts: Drafts,
    /// What leads to a record, by that record.
    pub(super) edges: Incoming,
    /// Entries of lists of pages, by collection and time.
    pub(super) entries: Merge,
    /// Pages below one another, by the collection of the first one.
    pub(super) tree: Merge,
    /// Collections in whose hierarchy something stands below something.
    pub(super) deep: BTreeSet<String>,
    pub(super) search: SearchWriter,
    /// The collections in the search.
    pub(super) collections: Vec<String>,
    pub(super) links: LinkCounts,
    pub(super) newest: Option<DateTime<Utc>>,
    pub(super) lost: BTreeMap<String, u64>,
}

/// Makes drafts.
pub(super) struct Drafter<'a> {
    pub(super) dataset: &'a Dataset,
    pub(super) shapes: &'a BTreeMap<CollectionName, Shape>,
    pub(super) folders: BTreeMap<CollectionName, String>,
    pub(super) names: &'a mut Names,
    pub(super) threads: Merge,
    pub(super) output: &'a mut Output,
    pub(super) renderer: Renderer<'a>,
    pub(super) drafts: Drafts,
    pub(super) edges: Edges<'a>,
    pub(super) entries: Spool,
    pub(super) tree: Spool,
    pub(super) deep: BTreeSet<String>,
    pub(super) search: SearchWriter,
    pub(super) newest: Option<DateTime<Utc>>,
}

impl<'a> Drafter<'a> {
    pub(super) fn new(dataset: &'a Dataset, survey: &'a mut Survey, desk: &'a mut Desk) -> Result<Self> {
        let scratch = dataset.scratch("site");
        let folders = survey.collections.iter().map(|(name, pages)| (name.clone(), pages.folder.clone())).collect();
        let threads = std::mem::replace(&mut survey.threads, Spool::new(scratch.join("none"))).finish()?;
        Ok(Self {
            dataset,
            shapes: &survey.shapes,
            folders,
            names: &mut survey.names,
            threads,
            output: &mut desk.output,
            renderer: Renderer {
                dataset,
                catalog: &dataset.catalog,
                linker: Linker::new(&mut survey.index, survey.style),
                losses: &mut desk.losses,
                lost: BTreeMap::new(),
            },
            drafts: Drafts::create(scratch.join("drafts"))?,
            edges: Edges::new(&dataset.catalog, &survey.shapes, scratch.join("edges"), SMALL),
            entries: Spool::with_limit(scratch.join("entries"), SMALL),
            tree: Spool::with_limit(scratch.join("tree"), SMALL),
            deep: BTreeSet::new(),
            search: SearchWriter::new(scratch.join("words")),
            newest: None,
        })
    }

    pub(super) fn run(mut self) -> Result<Drafted> {
        let names: Vec<CollectionName> = self.folders.keys().cloned().collect();
        for (number, name) in names.iter().enumerate() {
            for record in self.dataset.records(name)? {
                self.record(&record?.0, number)?;
            }
        }
        while let Some(entry) = self.threads.next() {
            self.orphan(entry?.line)?;
        }
        let title = |name: &CollectionName| match self.dataset.catalog.get(name) {
            Some(collection) if !collection.title.is_empty() => collection.title.clone(),
            _ => name.to_string(),
        };
        Ok(Drafted {
            drafts: self.drafts,
            edges: self.edges.finish()?,
            entries: self.entries.finish()?,
            tree: self.tree.finish()?,
            deep: self.deep,
            search: self.search,
            collections: names.iter().map(title).collect(),
            links: self.renderer.linker.counts,
            newest: self.newest,
            lost: self.renderer.lost,
        })
    }

    fn record(&mut self, record: &Record, number: usize) -> Result<()> {
        self.newest = self.newest.max(record.modified.or(record.created));
        match self.shapes.get(&record.key.collection) {
            Some(Shape::Pages) => self.page(record, number),
            // It stands on another page, or comes back as an orphan when all pages were drafted.
            Some(Shape::Thread { via }) if refs(record, Some(via)).any(|to| to.account.is_none()) => Ok(()),
            _ => self.row(record, false),
        }
    }

    fn page(&mut self, record: &Record, number: usize) -> Result<()> {
        let key = key_text(&record.key);
        let Some(placed) = self.renderer.linker.place_of(&key)? else { return Ok(()) };
        let Some(Rendered { view, plain, files, reached }) = self.renderer.render(record, &placed.path, Stand::Page)?
        else {
            return Ok(());
        };
        let above = self.ancestors(record)?;
        let crumbs = self.crumbs(record, &above, &placed.path);
        self.remember(record, &placed, &above, &view)?;
        self.edges.tell(record, &placed.title, &placed.link(""), &reached)?;
        self.search(&view, [&plain, &files], &placed.link(""), number)?;
        let (comments, further) = self.thread(record, &placed, &crumbs)?;
        let collection = record.key.collection.to_string();
        self.drafts.keep(&Draft::Page {
            collection,
            path: placed.path,
            crumbs,
            view: Box::new(view),
            comments,
            further,
        })
    }

    fn row(&mut self, record: &Record, orphan: bool) -> Result<()> {
        let Some(folder) = self.folders.get(&record.key.collection) else { return Ok(()) };
        // Links on all pages of a list are the same: they stand in one folder.
        let path = format!("{folder}/index.html");
        let key = key_text(&record.key);
        let stand = if orphan { Stand::Comment } else { Stand::Row };
        let Some(Rendered { view, plain, files, reached }) = self.renderer.render(record, &path, stand)? else {
            return Ok(());
        };
        let placed = self.renderer.linker.place_of(&key)?;
        let link = placed.as_ref().map_or_else(|| path.clone(), |placed| placed.link(""));
        self.edges.tell(record, &view.title, &link, &reached)?;
        let number = self.folders.keys().position(|name| name == &record.key.collection).unwrap_or_default();
        self.search(&view, [&plain, &files], &link, number)?;
        self.drafts.keep(&Draft::Row { collection: record.key.collection.to_string(), view: Box::new(view), orphan })
    }

    pub(super) fn orphan(&mut self, line: Vec<u8>) -> Result<()> {
        let record = self.dataset.decode(line)?;
        self.row(&record, true)
    }

    /// The pages above a page, the nearest first, each with its key.
    fn ancestors(&mut self, record: &Record) -> Result<Vec<(String, Placed)>> {
        let mut above: Vec<(String, Placed)> = Vec::new();
        let own = key_text(&record.key);
        let mut parent = self.renderer.linker.parent_of(&own)?;
        while let Some(key) = parent.take() {
            let seen = key == own || above.iter().any(|(seen, _)| *seen == key);
            let Some(placed) = self.renderer.linker.place_of(&key)?.filter(|_| !seen && above.len() < MAX_ANCESTORS)
            else {
                break;
            };
            parent = self.renderer.linker.parent_of(&key)?;
            above.push((key, placed));
        }
        Ok(above)
    }

    fn crumbs(&self, record: &Record, above: &[(String, Placed)], path: &str) -> Vec<Link> {
        let root = above.last().and_then(|(key, _)| CollectionName::parse(key.split('\0').next()?).ok());
        let name = root.unwrap_or_else(|| record.key.collection.clone());
        let text = match self.renderer.catalog.get(&name) {
            Some(collection) if !collection.title.is_empty() => collection.title.clone(),
            _ => name.to_string(),
        };
        let href = self.folders.get(&name).map(|folder| relative(path, &format!("{folder}/index.html")));
        let mut crumbs = vec![Link { text, href }];
        crumbs.extend(above.iter().rev().map(|(_, placed)| link_to(placed, path)));
        crumbs
    }

    /// Puts a page on the lists of its collection: by time, and by what it stands below.
    fn remember(&mut self, record: &Record, placed: &Placed, above: &[(String, Placed)], view: &View) -> Result<()> {
        let collection = record.key.collection.as_str();
        let time = self.renderer.catalog.get(&record.key.collection).and_then(|of| time_of(of, record));
        let entry = Entry {
            title: placed.title.clone(),
            path: placed.path.clone(),
            time: view.time.clone().or_else(|| view.created.clone()).or_else(|| view.modified.clone()),
            state: view.state.clone(),
            author: view.author.as_ref().map(|author| author.text.clone()),
        };
        let entry = serde_json::to_vec(&entry)?;
        let own = key_text(&record.key);
        let order = format!("{}\0{}\0{own}", newest_first(time.as_deref()), fold(&placed.title));
        self.entries.push(collection, &order, entry.clone())?;
        let mut order = String::new();
        let step = |key: &str, title: &str| {
            let title: String = fold(title).chars().filter(|character| *character > ' ').take(60).collect();
            format!("{title}\u{1}{}\0", anchor_of(key))
        };
        for (key, placed) in above.iter().rev() {
            order.push_str(&step(key, &placed.title));
        }
        order.push_str(&step(&own, &placed.title));
        let root = above.last().map_or(collection, |(key, _)| key.split('\0').next().unwrap_or_default()).to_owned();
        if !above.is_empty() {
            self.deep.insert(root.clone());
        }
        self.tree.push(&root, &order, entry)
    }

    pub(super) fn search(
        &mut self,
        view: &View,
        [plain, files]: [&str; 2],
        link: &str,
        collection: usize,
    ) -> Result<()> {
        let note = view.state.as_deref().unwrap_or_default();
        let found = Found { title: &view.title, is_titled: view.has_title, link, collection, note };
        let body = plain.trim();
        let mut texts: Vec<&str> = vec![if body.is_empty() { view.summary.as_str() } else { body }];
        if !body.is_empty() {
            texts.push(&view.summary);
        }
        texts.extend(view.author.iter().chain(&view.labels).map(|link| link.text.as_str()));
        texts.extend(view.properties.iter().map(|(_, value)| value.as_str()));
        texts.push(files);
        self.search.add(self.output, &found, &texts)
    }
}

impl Linker<'_> {
    /// The page that a page stands below, by their keys in a store.
    fn parent_of(&mut self, key: &str) -> Result<Option<String>> {
        let Some(Place::Page { parent: Some(parent), .. }) = self.node(key)? else { return Ok(None) };
        Ok(matches!(self.node(&parent)?, Some(Place::Page { .. })).then_some(parent))
    }
}
