//! Whether a site holds what it promises: nothing leads nowhere, runs, or loads from elsewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use htmd::Node;
use markup5ever_rcdom::NodeData;
use saas_backup_core::{CheckReport, Result};
use serde::Deserialize;

use super::frame::POLICY;
use super::media::is_unsafe_to_open;
use super::search::FOLDER;
use super::site::ASSETS;
use crate::folder::{contained, list};
use crate::text::{parse_html, resolve_path, unescape_path};

const INTERNAL: &str = "links within the site";
const EXTERNAL: &str = "links to elsewhere";

/// Tags that no page has.
const FORBIDDEN: [&str; 13] = [
    "applet", "base", "embed", "form", "frame", "frameset", "iframe", "math", "object", "portal", "style", "svg",
    "template",
];
/// Attributes that no page has, besides those of events.
const FORBIDDEN_ATTRIBUTES: [&str; 10] =
    ["action", "background", "formaction", "http-equiv", "is", "manifest", "ping", "srcdoc", "srcset", "style"];

/// Looks through every page of a site and through the index of its search; folders whose names begin with a dot and
/// attachments are passed over.
///
/// It finds links, pictures, scripts and style sheets that lead to no file, scripts that are not the site's own and
/// everything else that could run, what would load from elsewhere, pages without title, language or exactly one first
/// heading, and entries of the search that lead to no page.
///
/// # Errors
///
/// If a file cannot be read, or is not UTF-8.
pub fn check(folder: &Path) -> Result<CheckReport> {
    let files: BTreeSet<String> = list(folder)?.into_iter().collect();
    let mut report = CheckReport::default();
    for page in files.iter().filter(|path| is_page(path)) {
        let text = fs::read_to_string(contained(folder, page)?)?;
        report.files += 1;
        let Some(tree) = parse_html(&text) else {
            report.find(page, "", "the page cannot be parsed");
            continue;
        };
        let looked_at =
            Page { path: page, files: &files, report: &mut report, headings: 0, title: false, policy: false };
        looked_at.check(&tree);
    }
    search(folder, &files, &mut report)?;
    Ok(report)
}

struct Page<'a> {
    path: &'a str,
    files: &'a BTreeSet<String>,
    report: &'a mut CheckReport,
    headings: usize,
    title: bool,
    policy: bool,
}

impl Page<'_> {
    fn check(mut self, tree: &Rc<Node>) {
        let mut nodes = vec![Rc::clone(tree)];
        while let Some(node) = nodes.pop() {
            self.node(&node);
            nodes.extend(node.children.borrow().iter().rev().cloned());
            if let NodeData::Element { template_contents, .. } = &node.data {
                nodes.extend(template_contents.borrow().iter().cloned());
            }
        }
        if self.headings != 1 {
            self.find(&self.headings.to_string(), "not exactly one first heading");
        }
        if !self.title {
            self.find("", "no title");
        }
        if !self.policy {
            self.find("", "not the policy that keeps scripts from running");
        }
    }

    fn node(&mut self, node: &Rc<Node>) {
        let NodeData::Element { name, attrs, .. } = &node.data else { return };
        let tag = &*name.local;
        if FORBIDDEN.contains(&tag) {
            self.find(tag, "a tag that no page has");
        }
        let attrs = attrs.borrow();
        let value = |name: &str| attrs.iter().find(|found| &*found.name.local == name).map(|found| &*found.value);
        match tag {
            "html" if value("lang").is_none_or(str::is_empty) => self.find("", "no language"),
            "h1" => self.headings += 1,
            "title" if !text_of(node).trim().is_empty() => self.title = true,
            "meta" if value("http-equiv") == Some("Content-Security-Policy") => {
                self.policy |= value("content") == Some(POLICY);
                return;
            }
            "script" => self.script(value("src").unwrap_or_default(), node),
            _ => {}
        }
        for attribute in attrs.iter() {
            let (name, value) = (&*attribute.name.local, &*attribute.value);
            match name {
                "href" | "src" | "poster" | "cite" | "data" | "xlink:href" => self.address(tag, value),
                _ if name.starts_with("on") || FORBIDDEN_ATTRIBUTES.contains(&name) => {
                    self.find(name, "an attribute that no page has");
                }
                _ => {}
            }
        }
    }

    fn script(&mut self, source: &str, node: &Rc<Node>) {
        let own = unescape_path(source).and_then(|source| resolve_path(self.path, &source));
        if own != Some(format!("{ASSETS}/site.js")) || !text_of(node).trim().is_empty() {
            self.find(source, "a script that is not the site's own");
        }
    }

    fn address(&mut self, tag: &str, address: &str) {
        if address.is_empty() || address.starts_with('#') {
            return;
        }
        if has_scheme(address) || address.starts_with("//") {
            let harmless = ["http:", "https:", "mailto:", "tel:", "sms:", "xmpp:", "ftp:", "sftp:", "geo:", "magnet:"];
            let pictures = ["data:image/png;", "data:image/jpeg;", "data:image/gif;", "data:image/webp;"];
            let begins = |with: &[&str]| with.iter().any(|with| address.starts_with(with));
            match tag {
                "a" if begins(&harmless) => self.report.add(EXTERNAL, 1),
                "a" => self.find(address, "a link that could run something"),
                "img" if begins(&pictures) => {}
                "link" if address == "data:," => {}
                _ => self.find(address, "something that loads from elsewhere"),
            }
            return;
        }
        let path = address.split(['#', '?']).next().unwrap_or_default();
        let resolved = unescape_path(path).filter(|path| !path.starts_with('/'));
        match resolved.and_then(|path| resolve_path(self.path, &path)) {
            Some(path) if !self.files.contains(&path) => self.find(address, "a link that leads nowhere"),
            Some(path) if tag == "a" && is_unsafe_to_open(&path) => {
                self.find(address, "a link to a file that a browser runs");
            }
            Some(_) => self.report.add(INTERNAL, 1),
            None => self.find(address, "a link that leads nowhere"),
        }
    }

    fn find(&mut self, at: &str, problem: &str) {
        self.report.find(self.path, at, problem);
    }
}

fn has_scheme(address: &str) -> bool {
    address.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
    }) || address.starts_with(|first: char| first.is_ascii_control() || first == ' ')
}

fn text_of(node: &Rc<Node>) -> String {
    let children = node.children.borrow();
    let texts = children.iter().filter_map(|child| match &child.data {
        NodeData::Text { contents } => Some(contents.borrow().to_string()),
        _ => None,
    });
    texts.collect()
}

fn is_page(path: &str) -> bool {
    let other = path.split('/').any(|part| part.starts_with('.') || part == "_attachments");
    !other && path.strip_suffix(".html").is_some()
}

#[derive(Deserialize)]
struct Directory {
    documents: u32,
    each: u32,
    collections: Vec<String>,
    words: Vec<String>,
}

/// Every file of the search is data and nothing else, and all its entries are there.
fn search(folder: &Path, files: &BTreeSet<String>, report: &mut CheckReport) -> Result<()> {
    for script in files.iter().filter(|path| path.to_ascii_lowercase().ends_with(".js")) {
        let own = script.starts_with(&format!("{FOLDER}/")) || *script == format!("{ASSETS}/site.js");
        if !own && !script.contains("_attachments/") {
            report.find(script, "", "a script that is not the site's own");
        }
    }
    let Some(directory) = shard::<Directory>(folder, "index", files, report)? else { return Ok(()) };
    if directory.each == 0 {
        report.find(&format!("{FOLDER}/index.js"), "", "files of the search with no entries");
        return Ok(());
    }
    let mut documents = 0;
    for number in 0..directory.documents.div_ceil(directory.each) {
        let name = format!("d{number}");
        let entries = shard::<Vec<(String, String, usize, String, String)>>(folder, &name, files, report)?;
        for (title, link, collection, _, _) in entries.into_iter().flatten() {
            documents += 1;
            let path = unescape_path(link.split('#').next().unwrap_or_default()).unwrap_or_default();
            if !files.contains(&path) || collection >= directory.collections.len() {
                report.find(&format!("{FOLDER}/{name}.js"), title, "an entry of the search that leads nowhere");
            }
        }
    }
    if documents != directory.documents {
        report.find(&format!("{FOLDER}/index.js"), documents.to_string(), "not as many entries as it says");
    }
    let mut before = String::new();
    for (number, first) in directory.words.iter().enumerate() {
        let name = format!("w{number}");
        let Some(words) = shard::<Vec<String>>(folder, &name, files, report)? else { continue };
        for pair in words.chunks(2) {
            let [word, places] = pair else { continue };
            report.add("words", 1);
            let last = last_place(places);
            if *word <= before || last.is_none_or(|last| last >= u64::from(directory.documents)) {
                report.find(&format!("{FOLDER}/{name}.js"), word, "a word out of order, or of no document");
            }
            before.clone_from(word);
        }
        if words.first() != Some(first) {
            report.find(&format!("{FOLDER}/{name}.js"), first, "a file that begins with another word");
        }
    }
    report.add("searchable", u64::from(documents));
    Ok(())
}

/// The data of a file of the search; a finding and `None` if there is none, or more than data.
fn shard<T: for<'de> Deserialize<'de>>(
    folder: &Path,
    name: &str,
    files: &BTreeSet<String>,
    report: &mut CheckReport,
) -> Result<Option<T>> {
    let path = format!("{FOLDER}/{name}.js");
    if !files.contains(&path) {
        report.find(&path, "", "a file of the search is not there");
        return Ok(None);
    }
    let text = fs::read_to_string(contained(folder, &path)?)?;
    let data = text.strip_prefix(&format!("archiveShard(\"{name}\",")).and_then(|rest| rest.strip_suffix(");\n"));
    let data = data.and_then(|data| serde_json::from_str(data).ok());
    if data.is_none() {
        report.find(&path, "", "a file of the search holds something else than its data");
    }
    Ok(data)
}

/// The number of the last document of a word.
fn last_place(places: &str) -> Option<u64> {
    let mut last = None;
    for distance in places.split_inclusive(|character: char| character.is_ascii_uppercase()) {
        let digits = distance.get(..distance.len().checked_sub(1)?)?;
        last = Some(last.unwrap_or(0) + u64::from_str_radix(digits, 36).ok()?);
    }
    last
}
