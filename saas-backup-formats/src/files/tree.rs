use std::collections::HashSet;

use saas_backup_core::{Collection, Kind, Record, Result};
use serde::{Deserialize, Serialize};

use crate::beside::{Beside, Named};
use crate::dataset::Dataset;
use crate::form::value::{key_text, reference_text, refs, title_of};
use crate::form::{Desk, Store};
use crate::names::short_hash;

/// Longest path of a folder in which others are put, in bytes: with a name below it, it stays within the 260 characters
/// that Windows takes.
const MAX_FOLDER: usize = 130;
/// Longest name of a folder, in bytes.
const FOLDER_NAME: usize = 60;
/// Records above one another that are followed.
const MAX_ANCESTORS: usize = 64;

/// A record that others may lie below.
#[derive(Debug, Serialize, Deserialize)]
struct Node {
    collection: String,
    title: String,
    parent: Option<String>,
    /// The folder of its collection.
    folder: String,
}

/// The folders, as records lie below one another.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Store,
    folders: Store,
    /// Records that something lies below.
    parents: HashSet<u64>,
}

/// Whether records of this kind are files and folders.
pub(super) fn is_tree(kind: Kind) -> bool {
    matches!(kind, Kind::Folder | Kind::File | Kind::Media)
}

impl Tree {
    /// Reads which records lie below which.
    pub(super) fn read(dataset: &Dataset, beside: &Beside) -> Result<Self> {
        let nodes = Store::create(dataset.scratch("nodes"))?;
        let folders = Store::create(dataset.scratch("folders"))?;
        let mut tree = Self { nodes, folders, parents: HashSet::new() };
        for (collection, _) in dataset.collections().filter(|(collection, _)| is_tree(collection.kind)) {
            let folder = beside.folder(&collection.name);
            for record in dataset.records(&collection.name)? {
                let (record, _) = record?;
                let parent = parent_of(collection, &record);
                tree.parents.extend(parent.as_deref().map(|parent| short_hash(parent.as_bytes())));
                let node = Node {
                    collection: collection.name.as_str().to_owned(),
                    title: title_of(collection, &record),
                    parent,
                    folder: folder.clone(),
                };
                tree.nodes.put(&key_text(&record.key), &node)?;
            }
        }
        Ok(tree)
    }

    /// Whether something lies below a record.
    pub(super) fn is_parent(&self, record: &Record) -> bool {
        self.parents.contains(&short_hash(key_text(&record.key).as_bytes()))
    }

    /// The folder that a record lies in.
    pub(super) fn above(
        &mut self,
        collection: &Collection,
        record: &Record,
        beside: &mut Beside,
        desk: &mut Desk,
    ) -> Result<String> {
        let top = beside.folder(&collection.name);
        let own = key_text(&record.key);
        match parent_of(collection, record).filter(|parent| *parent != own) {
            Some(parent) => Ok(self.folder(&parent, beside, desk)?.unwrap_or(top)),
            None => Ok(top),
        }
    }

    /// The folder of a record that others lie below; it is made if it is not there.
    pub(super) fn folder(&mut self, key: &str, beside: &mut Beside, desk: &mut Desk) -> Result<Option<String>> {
        let mut line: Vec<(String, Node)> = Vec::new();
        let mut next = Some(key.to_owned());
        let mut above: Option<String> = None;
        while let Some(key) = next.take() {
            above = self.folders.get(&key)?;
            // A circle is cut where it closes.
            if above.is_some() || line.len() == MAX_ANCESTORS || line.iter().any(|(seen, _)| *seen == key) {
                break;
            }
            let Some(node) = self.nodes.get::<Node>(&key)? else { break };
            next.clone_from(&node.parent);
            line.push((key, node));
        }
        while let Some((key, node)) = line.pop() {
            let above_it = above.take().filter(|above| above.len() <= MAX_FOLDER).unwrap_or(node.folder);
            let name = beside.names.give(&above_it, &node.title, "", &key, FOLDER_NAME);
            let path = format!("{above_it}/{name}");
            desk.output.create_folder(&path)?;
            let id = key.split_once('\0').map(|(_, id)| id.to_owned());
            beside.names_file.line(&Named {
                file: format!("{path}/"),
                collection: node.collection,
                id,
                name: Some(node.title),
                ..Named::default()
            })?;
            self.folders.put(&key, &path)?;
            above = Some(path);
        }
        Ok(above)
    }
}

fn parent_of(collection: &Collection, record: &Record) -> Option<String> {
    refs(record, collection.fields.parent.as_deref()).find_map(reference_text)
}
