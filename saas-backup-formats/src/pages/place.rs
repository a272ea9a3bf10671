use saas_backup_core::Result;
use serde::{Deserialize, Serialize};

use super::names_file::NamesFile;
use super::survey::{Node, Place, Survey};
use crate::names::short_hash;
use crate::text::relative;

/// Longest path of a folder in which pages are put below one another, in bytes: with the root above it and a name below
/// it, it stays within the 260 characters that Windows takes.
const MAX_FOLDER: usize = 110;
/// Longest name of a page, in bytes.
const MAX_NAME: usize = 80;
/// Records above one another that are followed.
const MAX_ANCESTORS: usize = 64;

/// Where a record is to be found, and how it is called there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Placed {
    pub(crate) path: String,
    pub(crate) title: String,
    /// The place on the page; empty for the whole page.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) anchor: String,
}

impl Placed {
    /// The link from a page.
    pub(crate) fn link(&self, from: &str) -> String {
        let link = relative(from, &self.path);
        if self.anchor.is_empty() { link } else { format!("{link}#{}", self.anchor) }
    }
}

impl Survey {
    /// Gives every record its place: a page below its parent's, in the order of collections and ids.
    pub(crate) fn place(&mut self, names_file: &mut NamesFile) -> Result<()> {
        let mut has_threads = false;
        for entry in self.index.nodes.scan::<Node>()? {
            let (key, node) = entry?;
            match node.place {
                Place::Page { .. } => self.place_page(key, node, names_file)?,
                Place::Row(path) => {
                    let anchor = self.anchor(&key, &path);
                    self.index.places.put(&key, &Placed { path, title: node.title, anchor })?;
                }
                Place::Thread { .. } => has_threads = true,
            }
        }
        if has_threads { self.place_threads(names_file) } else { Ok(()) }
    }

    /// Gives what stands on other pages its place, when those have theirs.
    fn place_threads(&mut self, names_file: &mut NamesFile) -> Result<()> {
        for entry in self.index.nodes.scan::<Node>()? {
            let (key, Node { title, place: Place::Thread { target, day, otherwise } }) = entry? else { continue };
            let is_page = matches!(self.index.nodes.get(&target)?, Some(Node { place: Place::Page { .. }, .. }));
            let on: Option<Placed> = if is_page { self.index.places.get(&target)? } else { None };
            let path = match (on, day) {
                (Some(on), Some(day)) => self.place_day(&on, &target, &day, names_file)?,
                (Some(on), None) => on.path,
                (None, _) => otherwise,
            };
            let anchor = self.anchor(&key, &path);
            self.index.places.put(&key, &Placed { path, title, anchor })?;
        }
        Ok(())
    }

    /// The place of a row or a comment on its page; none for a file.
    fn anchor(&self, key: &str, path: &str) -> String {
        let is_file = path.contains("/_attachments/");
        if self.style.anchors && !is_file { anchor_of(key) } else { String::new() }
    }

    /// The page of a conversation for one day: in the folder of what stands below it.
    fn place_day(&mut self, on: &Placed, target: &str, day: &str, names_file: &mut NamesFile) -> Result<String> {
        let key = format!("{target}\0{day}");
        if let Some(path) = self.index.days.get(&key)? {
            return Ok(path);
        }
        let extension = self.style.extension;
        let own = below(&on.path, extension).filter(|folder| folder.len() <= MAX_FOLDER);
        let beside =
            || (on.path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned(), format!("{} {day}", on.title));
        let (folder, stem) = own.map_or_else(beside, |own| (own, day.to_owned()));
        let path = format!("{folder}/{}", self.names.give(&folder, &stem, extension, &key, MAX_NAME));
        names_file.day(&path, target, day)?;
        self.index.days.put(&key, &path)?;
        Ok(path)
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
        let extension = self.style.extension;
        let mut above = above.and_then(|above| below(&above.path, extension));
        while let Some((key, node)) = line.pop() {
            let Place::Page { folder, .. } = node.place else { continue };
            if self.index.places.contains(&key)? {
                continue;
            }
            let folder = above.take().filter(|above| above.len() <= MAX_FOLDER).unwrap_or(folder);
            let stem = strip_extension(&node.title, extension);
            let name = self.names.give(&folder, stem, extension, &key, MAX_NAME);
            let path = format!("{folder}/{name}");
            names_file.page(&path, &key)?;
            above = below(&path, extension);
            self.index.places.put(&key, &Placed { path, title: node.title, anchor: String::new() })?;
        }
        Ok(())
    }
}

/// The folder for what stands below a page.
pub(crate) fn below(path: &str, extension: &str) -> Option<String> {
    path.strip_suffix(extension).map(str::to_owned)
}

/// The name of the place of a row or a comment, by the record's key in a store.
pub(crate) fn anchor_of(key: &str) -> String {
    format!("r-{:016x}", short_hash(key.as_bytes()))
}

/// No name of a folder may end like that of a page.
fn strip_extension<'a>(title: &'a str, extension: &str) -> &'a str {
    let mut stem = title;
    while let Some(shorter) = stem.len().checked_sub(extension.len()).and_then(|end| stem.split_at_checked(end))
        && shorter.1.eq_ignore_ascii_case(extension)
    {
        stem = shorter.0;
    }
    stem
}
