use saas_backup_core::Result;
use serde::{Deserialize, Serialize};

use super::survey::{NamesFile, Node, Place, Survey};

/// Longest path of a folder in which pages are put below one another, in bytes: with the root above it and a name below
/// it, it stays within the 260 characters that Windows takes.
const MAX_FOLDER: usize = 110;
/// Longest name of a page, in bytes.
const MAX_NAME: usize = 80;
/// Records above one another that are followed.
const MAX_ANCESTORS: usize = 64;

/// Where a record is to be found, and how it is called there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Placed {
    pub(super) path: String,
    pub(super) title: String,
}

impl Survey {
    /// Gives every record its place: a page below its parent's, in the order of collections and ids.
    pub(super) fn place(&mut self, names_file: &mut NamesFile) -> Result<()> {
        let nodes = self.index.nodes.scan::<Node>()?;
        let mut threads = Vec::new();
        for entry in nodes {
            let (key, node) = entry?;
            match node.place {
                Place::Page { .. } => self.place_page(key, node, names_file)?,
                Place::Row(path) => self.index.places.put(&key, &Placed { path, title: node.title })?,
                Place::Thread { .. } => threads.push(key),
            }
        }
        for key in threads {
            let Some(Node { title, place: Place::Thread { target, otherwise } }) = self.index.nodes.get(&key)? else {
                continue;
            };
            let is_page = matches!(self.index.nodes.get(&target)?, Some(Node { place: Place::Page { .. }, .. }));
            let on: Option<Placed> = if is_page { self.index.places.get(&target)? } else { None };
            let path = on.map_or(otherwise, |on| on.path);
            self.index.places.put(&key, &Placed { path, title })?;
        }
        Ok(())
    }

    fn place_page(&mut self, key: String, node: Node, names_file: &mut NamesFile) -> Result<()> {
        let mut line = vec![(key, node)];
        let mut above: Option<Placed> = None;
        while let Some((_, Node { place: Place::Page { parent: Some(parent), .. }, .. })) = line.last() {
            let Some(node @ Node { place: Place::Page { .. }, .. }) = self.index.nodes.get::<Node>(parent)? else {
                break;
            };
            above = self.index.places.get(parent)?;
            // A circle is cut where it closes.
            if above.is_some() || line.len() == MAX_ANCESTORS || line.iter().any(|(key, _)| key == parent) {
                break;
            }
            line.push((parent.clone(), node));
        }
        let mut above = above.and_then(|above| below(&above.path));
        while let Some((key, node)) = line.pop() {
            let Place::Page { folder, .. } = node.place else { continue };
            if self.index.places.contains(&key) {
                continue;
            }
            let folder = above.take().filter(|above| above.len() <= MAX_FOLDER).unwrap_or(folder);
            let stem = strip_extension(&node.title);
            let name = self.names.give(&folder, stem, ".md", &key, MAX_NAME);
            let path = format!("{folder}/{name}");
            names_file.page(&path, &key)?;
            above = below(&path);
            self.index.places.put(&key, &Placed { path, title: node.title })?;
        }
        Ok(())
    }
}

/// The folder for what stands below a page.
fn below(path: &str) -> Option<String> {
    path.strip_suffix(".md").map(str::to_owned)
}

/// No name of a folder may end like that of a page.
fn strip_extension(title: &str) -> &str {
    let mut stem = title;
    while let Some(shorter) = stem.len().checked_sub(3).and_then(|end| stem.split_at_checked(end))
        && shorter.1.eq_ignore_ascii_case(".md")
    {
        stem = shorter.0;
    }
    stem
}
