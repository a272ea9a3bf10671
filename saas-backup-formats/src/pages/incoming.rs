use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use saas_backup_core::{Catalog, Collection, CollectionName, Record, Result};
use serde::{Deserialize, Serialize};

use super::layout::Shape;
use super::order::{fold, newest_first};
use super::past::Past;
use crate::form::value::key_text;
use crate::spool::{Merge, Spool};

/// What leads to a record, of which so much is shown.
pub(crate) const MAX_RELATED: usize = 100;
const MAX_CHILDREN: usize = 1000;

/// Who leads to a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Edge {
    pub(crate) title: String,
    /// The address within the export.
    pub(crate) link: String,
    pub(crate) by: Relation,
}

/// How a record leads to another one. The order is the one in which they are shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Relation {
    /// It stands below it.
    Child,
    /// It is an earlier version of it.
    Version(Past),
    /// The name of a relationship; empty for a link in a text.
    Link(String),
}

impl Relation {
    fn rank(&self) -> u8 {
        match self {
            Self::Child => 0,
            Self::Version(_) => 1,
            Self::Link(_) => 2,
        }
    }
}

/// Collects what leads to records, in any order.
#[derive(Debug)]
pub(crate) struct Edges<'a> {
    catalog: &'a Catalog,
    shapes: &'a BTreeMap<CollectionName, Shape>,
    spool: Spool,
}

impl<'a> Edges<'a> {
    pub(crate) fn new(
        catalog: &'a Catalog,
        shapes: &'a BTreeMap<CollectionName, Shape>,
        folder: PathBuf,
        memory: usize,
    ) -> Self {
        Self { catalog, shapes, spool: Spool::with_limit(folder, memory) }
    }

    /// Tells every record that this one leads to; `link` is where it stands, `reached` what its text leads to.
    pub(crate) fn tell(&mut self, record: &Record, title: &str, link: &str, reached: &BTreeSet<String>) -> Result<()> {
        let Some(collection) = self.catalog.get(&record.key.collection) else { return Ok(()) };
        // What an earlier version leads to besides is no news to who is led to.
        let found = match Past::of(collection, record) {
            Some((of, past)) => vec![(key_text(&of.key()), Relation::Version(past))],
            None => self.relations(collection, record, reached),
        };
        self.push(&key_text(&record.key), title, link, found)
    }

    /// Tells the records that a text leads to which is of no record alone.
    pub(crate) fn tell_reached(&mut self, own: &str, title: &str, link: &str, reached: BTreeSet<String>) -> Result<()> {
        let found = reached.into_iter().map(|key| (key, Relation::Link(String::new()))).collect();
        self.push(own, title, link, found)
    }

    fn push(&mut self, own: &str, title: &str, link: &str, found: Vec<(String, Relation)>) -> Result<()> {
        for (key, by) in found.into_iter().filter(|(key, _)| key != own) {
            let (collection, id) = key.split_once('\0').unwrap_or((&key, ""));
            let order = match &by {
                Relation::Version(past) => newest_first(past.since.as_deref()),
                _ => fold(title),
            };
            let order = format!("{id}\0{}\0{order}\0{own}", by.rank());
            let edge = Edge { title: title.to_owned(), link: link.to_owned(), by };
            self.spool.push(collection, &order, serde_json::to_vec(&edge)?)?;
        }
        Ok(())
    }

    fn relations(
        &self,
        collection: &Collection,
        record: &Record,
        reached: &BTreeSet<String>,
    ) -> Vec<(String, Relation)> {
        let parent = collection.fields.parent.as_deref();
        let shape = self.shapes.get(&record.key.collection);
        let via = match shape {
            Some(Shape::Thread { via }) => via.as_str(),
            _ => "",
        };
        let mut told = BTreeSet::new();
        let mut found = Vec::new();
        let named = record.refs.iter().filter(|(name, _)| *name != via);
        for (name, to) in named.flat_map(|(name, targets)| targets.iter().map(move |to| (name, to))) {
            if to.account.is_none() && told.insert(key_text(&to.key())) {
                let is_child = shape == Some(&Shape::Pages) && parent == Some(name);
                let relation = if is_child { Relation::Child } else { Relation::Link(name.clone()) };
                found.push((key_text(&to.key()), relation));
            }
        }
        if let Some(by) = record.by.as_ref().filter(|by| by.account.is_none())
            && told.insert(key_text(&by.key()))
        {
            found.push((key_text(&by.key()), Relation::Link("author".to_owned())));
        }
        for key in reached {
            if told.insert(key.clone()) {
                found.push((key.clone(), Relation::Link(String::new())));
            }
        }
        found
    }

    pub(crate) fn finish(self) -> Result<Incoming> {
        Ok(Incoming(self.spool.finish()?))
    }
}

/// What leads to each record, in the order of collections and ids.
#[derive(Debug)]
pub(crate) struct Incoming(Merge);

/// What leads to a record.
#[derive(Debug, Default)]
pub(crate) struct Backlinks {
    pub(crate) children: Vec<Edge>,
    pub(crate) more_children: usize,
    /// Earlier versions, the newest first.
    pub(crate) versions: Vec<(Edge, Past)>,
    pub(crate) more_versions: usize,
    pub(crate) links: Vec<(Edge, String)>,
    pub(crate) more_links: usize,
}

impl Incoming {
    /// What leads to a record; records are asked about in their order.
    pub(crate) fn of(&mut self, collection: &str, id: &str) -> Result<Backlinks> {
        let mut back = Backlinks::default();
        while let Some((order, entry)) = self.0.next_up_to(collection, id)? {
            if order.is_eq() {
                back.add(serde_json::from_slice(&entry.line)?);
            }
        }
        Ok(back)
    }
}

impl Edge {
    /// The link as the page at `path` has to write it.
    pub(crate) fn link_from(&self, path: &str) -> String {
        format!("{}{}", "../".repeat(path.matches('/').count()), self.link)
    }
}

impl Backlinks {
    fn add(&mut self, edge: Edge) {
        match edge.by.clone() {
            Relation::Child if self.children.len() < MAX_CHILDREN => self.children.push(edge),
            Relation::Child => self.more_children += 1,
            Relation::Version(past) if self.versions.len() < MAX_RELATED => self.versions.push((edge, past)),
            Relation::Version(_) => self.more_versions += 1,
            Relation::Link(via) if self.links.len() < MAX_RELATED => self.links.push((edge, via)),
            Relation::Link(_) => self.more_links += 1,
        }
    }
}
