//! What templates are given. Addresses in it are links from the page that it is for.

use serde::{Deserialize, Serialize};

use super::time::time_view;
use crate::pages::{Backlinks, Edge, Past};

/// A word, and where it leads.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Link {
    pub(super) text: String,
    pub(super) href: Option<String>,
}

/// A time: for a machine, if it is one, and for a person.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Time {
    pub(super) exact: Option<String>,
    pub(super) text: String,
}

/// Records that a relationship leads to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Related {
    pub(super) name: String,
    pub(super) links: Vec<Link>,
    pub(super) more: usize,
}

/// A permission.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Permission {
    pub(super) who: Link,
    pub(super) role: String,
    pub(super) from: Option<Link>,
    pub(super) until: Option<Time>,
}

/// A file, or what is known of one that is not here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Attachment {
    pub(super) name: String,
    pub(super) href: Option<String>,
    /// `image`, `audio`, `video` or `file`; `elsewhere` and `missing` if it is not here.
    pub(super) kind: String,
    /// Size and type, or why it is not here.
    pub(super) note: String,
    /// Whether a link to it would run it.
    pub(super) shown_only: bool,
}

/// What makes a record an earlier version of another one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) of: Link,
    pub(super) since: Option<Time>,
    pub(super) until: Option<Time>,
    pub(super) is_deleted: bool,
    pub(super) changed: Vec<String>,
    pub(super) more_changed: usize,
}

impl Version {
    pub(super) fn new(of: Link, past: Past) -> Self {
        let time = |text: Option<String>| text.map(|text| time_view(&text));
        let Past { since, until, is_deleted, changed, more_changed } = past;
        Self { of, since: time(since), until: time(until), is_deleted, changed, more_changed }
    }
}

/// What is told of every record, wherever it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct View {
    pub(super) anchor: String,
    pub(super) id: String,
    pub(super) title: String,
    /// Whether the title is one, and not the id in its place.
    pub(super) has_title: bool,
    pub(super) state: Option<String>,
    pub(super) version_of: Option<Version>,
    pub(super) purged: Option<Time>,
    pub(super) author: Option<Link>,
    pub(super) created: Option<Time>,
    pub(super) modified: Option<Time>,
    pub(super) time: Option<Time>,
    pub(super) version: Option<String>,
    pub(super) address: Option<String>,
    pub(super) labels: Vec<Link>,
    pub(super) properties: Vec<(String, String)>,
    pub(super) summary: String,
    /// Safe HTML.
    pub(super) body: String,
    pub(super) attachments: Vec<Attachment>,
    pub(super) related: Vec<Related>,
    pub(super) access: Vec<Permission>,
    pub(super) json: String,
    pub(super) json_cut: bool,
    pub(super) lossy: Vec<String>,
}

/// A page, a row or some comments, before it is known what leads to it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Draft {
    Page {
        collection: String,
        path: String,
        crumbs: Vec<Link>,
        view: Box<View>,
        comments: Vec<View>,
        further: Vec<Link>,
    },
    Comments {
        path: String,
        of: Link,
        crumbs: Vec<Link>,
        number: usize,
        comments: Vec<View>,
        next: Option<String>,
    },
    Row {
        collection: String,
        view: Box<View>,
        orphan: bool,
    },
}

/// What leads to a record.
#[derive(Debug, Default, Serialize)]
pub(super) struct Back {
    pub(super) children: Vec<Link>,
    pub(super) more_children: usize,
    pub(super) versions: Vec<Version>,
    pub(super) more_versions: usize,
    pub(super) links: Vec<(Link, String)>,
    pub(super) more_links: usize,
}

impl Back {
    /// As the page at `path` has to write it.
    pub(super) fn new(back: Backlinks, path: &str) -> Self {
        let link = |edge: Edge| Link { href: Some(edge.link_from(path)), text: edge.title };
        let Backlinks { children, more_children, versions, more_versions, links, more_links } = back;
        Self {
            children: children.into_iter().map(link).collect(),
            more_children,
            versions: versions.into_iter().map(|(edge, past)| Version::new(link(edge), past)).collect(),
            more_versions,
            links: links.into_iter().map(|(edge, via)| (link(edge), via)).collect(),
            more_links,
        }
    }
}

/// An entry of a list of pages.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) title: String,
    pub(super) path: String,
    pub(super) time: Option<Time>,
    pub(super) state: Option<String>,
    pub(super) author: Option<String>,
}
