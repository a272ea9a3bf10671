use std::collections::BTreeSet;

use saas_backup_core::{Error, Reference, Result};
use url::Url;

use super::counts::LinkCounts;
use super::place::Placed;
use super::style::Style;
use super::survey::{Index, Node, Place, Target};
use crate::form::value::reference_text;
use crate::text::{Resolution, relative, unescape_path};

/// Where a text stands, and what it may speak of by name.
#[derive(Debug, Default)]
pub(crate) struct Here {
    /// The page.
    pub(crate) path: String,
    /// The record's own address: relative links start there.
    pub(crate) base: Option<Url>,
    /// Names and ids of the record's own attachments, and their paths.
    pub(crate) own: Vec<(String, String)>,
    /// Paths of attachments that the text leads to.
    pub(crate) used: BTreeSet<String>,
    /// Records that the text leads to, by their keys in a store.
    pub(crate) reached: BTreeSet<String>,
}

/// Turns addresses into links within the vault.
#[derive(Debug)]
pub(crate) struct Linker<'a> {
    index: &'a mut Index,
    pub(crate) counts: LinkCounts,
    fragments: &'static str,
    error: Option<Error>,
}

impl<'a> Linker<'a> {
    pub(crate) fn new(index: &'a mut Index, style: Style) -> Self {
        Self { index, counts: LinkCounts::default(), fragments: style.fragments, error: None }
    }

    /// Where a record is.
    pub(crate) fn place(&mut self, to: &Reference) -> Result<Option<Placed>> {
        reference_text(to).map_or(Ok(None), |key| self.index.places.get(&key))
    }

    /// Where a record is, by its key in a store.
    pub(crate) fn place_of(&mut self, key: &str) -> Result<Option<Placed>> {
        self.index.places.get(key)
    }

    /// How a record is placed, by its key in a store.
    pub(crate) fn node(&mut self, key: &str) -> Result<Option<Place>> {
        Ok(self.index.nodes.get::<Node>(key)?.map(|node| node.place))
    }

    /// Where an attachment is.
    pub(crate) fn attachment(&mut self, digest: &saas_backup_core::Digest) -> Result<Option<String>> {
        self.index.attachments.get(&digest.to_string())
    }

    /// Decides about the address of a link; a failure is kept for [`check`](Self::check).
    pub(crate) fn resolve(&mut self, here: &mut Here, address: &str, is_image: bool) -> Resolution {
        match self.try_resolve(here, address, is_image) {
            Ok(resolution) => resolution,
            Err(error) => {
                self.error.get_or_insert(error);
                Resolution::Keep
            }
        }
    }

    /// The first failure since the last call.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }

    fn try_resolve(&mut self, here: &mut Here, address: &str, is_image: bool) -> Result<Resolution> {
        if address.is_empty() || address.starts_with('#') {
            return Ok(Resolution::Keep);
        }
        if let Some(path) = own_attachment(here, address) {
            self.counts.rewritten += 1;
            let link = relative(&here.path, &path);
            here.used.insert(path);
            return Ok(Resolution::To(link));
        }
        let url = match Url::parse(address) {
            Ok(url) => Some(url),
            Err(url::ParseError::RelativeUrlWithoutBase) => here.base.as_ref().and_then(|base| base.join(address).ok()),
            Err(_) => None,
        };
        let Some(url) = url else {
            self.counts.removed += 1;
            return Ok(Resolution::Text);
        };
        match url.scheme() {
            "http" | "https" => self.web(here, &url, address),
            "mailto" | "tel" | "sms" | "xmpp" | "ftp" | "sftp" | "geo" | "magnet" => {
                self.counts.external += 1;
                Ok(Resolution::Keep)
            }
            "data" if is_image && is_harmless_image(url.path()) => Ok(Resolution::Keep),
            _ => {
                self.counts.removed += 1;
                Ok(Resolution::Text)
            }
        }
    }

    fn web(&mut self, here: &mut Here, url: &Url, address: &str) -> Result<Resolution> {
        if let Some(Found { path, anchor, record }) = self.find(url)? {
            self.counts.rewritten += 1;
            let mut link = relative(&here.path, &path);
            if let Some(fragment) = url.fragment().filter(|fragment| !fragment.is_empty()) {
                link = format!("{link}#{}{}", self.fragments, fragment.replace(['(', ')', '<', '>'], ""));
            } else if !anchor.is_empty() {
                link = format!("{link}#{anchor}");
            }
            here.used.insert(path);
            here.reached.extend(record);
            return Ok(Resolution::To(link));
        }
        if host_of(url).is_some_and(|host| self.index.hosts.contains(&host)) {
            self.counts.unresolved += 1;
        } else {
            self.counts.external += 1;
        }
        if Url::parse(address).is_ok() {
            return Ok(Resolution::Keep);
        }
        // A relative address means nothing away from its site.
        Ok(Resolution::To(url.as_str().replace('(', "%28").replace(')', "%29")))
    }

    fn find(&mut self, url: &Url) -> Result<Option<Found>> {
        let Some(address) = normal(url) else { return Ok(None) };
        let (target, exact) = match self.index.urls.get::<Target>(&address)? {
            Some(target) => (Some(target), true),
            None => (self.index.urls.get::<Target>(address.split('?').next().unwrap_or_default())?, false),
        };
        match target {
            // A query may name another page; to a file it says how large to show it.
            Some(Target::Record(key)) if exact || is_tracking(url) => {
                let placed = self.index.places.get::<Placed>(&key)?;
                Ok(placed.map(|Placed { path, anchor, .. }| Found { path, anchor, record: Some(key) }))
            }
            Some(Target::Blob(digest)) => {
                let path = self.attachment(&digest)?;
                Ok(path.map(|path| Found { path, anchor: String::new(), record: None }))
            }
            _ => Ok(None),
        }
    }
}

/// What an address leads to.
struct Found {
    path: String,
    anchor: String,
    record: Option<String>,
}

/// An address that names one of the record's attachments, by id, by `cid:` or by file name.
fn own_attachment(here: &Here, address: &str) -> Option<String> {
    let plain = ["cid:", "attachment:", "blob:"].iter().find_map(|scheme| address.strip_prefix(scheme));
    let relative = plain.or_else(|| (!address.contains(':') && !address.starts_with('/')).then_some(address))?;
    let name = unescape_path(relative)?;
    let last = name.rsplit('/').next().unwrap_or(&name);
    let found = here.own.iter().find(|(own, _)| *own == name || own == last);
    found.map(|(_, path)| path.clone())
}

/// Whether a query only says where a reader comes from.
fn is_tracking(url: &Url) -> bool {
    let known = |name: &str| name.starts_with("utm_") || matches!(name, "fbclid" | "gclid" | "mc_cid" | "mc_eid");
    url.query_pairs().all(|(name, _)| known(&name))
}

/// Pictures in the text itself; SVG may hold a script.
fn is_harmless_image(path: &str) -> bool {
    ["image/png;", "image/jpeg;", "image/gif;", "image/webp;"].iter().any(|kind| path.starts_with(kind))
}

/// The form in which two addresses of one thing are equal: no scheme, no fragment, no slash at the end.
pub(super) fn normal(url: &Url) -> Option<String> {
    let host = host_of(url)?;
    let path = unescape_path(url.path()).unwrap_or_else(|| url.path().to_owned());
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    Some(format!("{host}{}{query}", path.trim_end_matches('/')))
}

pub(super) fn host_of(url: &Url) -> Option<String> {
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    url.host_str().map(|host| format!("{host}{port}"))
}
