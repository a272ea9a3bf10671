//! Whether files for WordPress are what its importer needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use quick_xml::events::Event;
use quick_xml::reader::Reader;
use saas_backup_core::{CheckReport, Result};

use crate::folder::{contained, list};
use crate::text::unescape_path;

/// Elements of which only the text counts.
const READ: [&str; 9] = [
    "wp:wxr_version",
    "wp:post_id",
    "wp:post_parent",
    "wp:post_type",
    "wp:attachment_url",
    "wp:comment_id",
    "wp:comment_parent",
    "wp:post_name",
    "wp:status",
];

/// Parses every file of an export for WordPress.
///
/// It finds files that are not well-formed or of no version, sections that end early, posts and comments without a number or with one that
/// another has, parents that are in no file, and attachments without an address or whose file is not there.
///
/// # Errors
///
/// If a file cannot be read, or is not UTF-8.
pub fn check(folder: &Path) -> Result<CheckReport> {
    let files: BTreeSet<String> = list(folder)?.into_iter().collect();
    let mut report = CheckReport::default();
    let mut seen = Seen::default();
    for file in files.iter().filter(|file| file.starts_with("wordpress-") && file.strip_suffix(".xml").is_some()) {
        let text = fs::read_to_string(contained(folder, file)?)?;
        report.files += 1;
        if let Err(problem) = parse(&text, file, &files, &mut seen, &mut report) {
            report.find(file, "", format!("not well-formed: {problem}"));
        }
    }
    if report.files == 0 {
        report.find("wordpress-001.xml", "", "there is no file for WordPress");
    }
    for (parent, (file, child)) in &seen.parents {
        if !seen.posts.contains(parent) {
            report.find(file, child, "a parent that is in no file");
        }
    }
    for (parent, (file, child)) in &seen.answered {
        if !seen.comments.contains(parent) {
            report.find(file, child, "an answer to a comment that is in no file");
        }
    }
    report.add("posts", seen.posts.len() as u64);
    report.add("comments", seen.comments.len() as u64);
    Ok(report)
}

#[derive(Default)]
struct Seen {
    posts: BTreeSet<u32>,
    comments: BTreeSet<u32>,
    parents: BTreeMap<u32, (String, String)>,
    answered: BTreeMap<u32, (String, String)>,
}

fn parse(
    text: &str,
    file: &str,
    files: &BTreeSet<String>,
    seen: &mut Seen,
    report: &mut CheckReport,
) -> std::result::Result<(), quick_xml::Error> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let (mut open, mut value, mut version): (Vec<String>, String, bool) = (Vec::new(), String::new(), false);
    let (mut sections, mut texts) = (false, false);
    let mut item: BTreeMap<String, String> = BTreeMap::new();
    let mut comment: BTreeMap<String, String> = BTreeMap::new();
    loop {
        match reader.read_event()? {
            Event::Eof => break,
            Event::Start(tag) => {
                open.push(String::from_utf8_lossy(tag.name().as_ref()).into_owned());
                value.clear();
                (sections, texts) = (false, false);
            }
            Event::CData(data) => {
                value.push_str(&String::from_utf8_lossy(&data));
                sections = true;
            }
            Event::Text(data) => {
                texts |= !data.trim_ascii().is_empty();
                value.push_str(&String::from_utf8_lossy(&data));
            }
            Event::End(_) => {
                let Some(tag) = open.pop() else { break };
                // A reader takes both for one text, and what stood between them is gone.
                if sections && texts {
                    report.find(file, &tag, "text beside a section: `]]>` in it ended it early");
                }
                (sections, texts) = (false, false);
                match tag.as_str() {
                    "item" => post(&std::mem::take(&mut item), file, files, seen, report),
                    "wp:comment" => said(&std::mem::take(&mut comment), file, seen, report),
                    "wp:wxr_version" => version |= value.trim() == "1.2",
                    tag if READ.contains(&tag) => {
                        let of = if tag.starts_with("wp:comment") { &mut comment } else { &mut item };
                        of.insert(tag.to_owned(), value.trim().to_owned());
                    }
                    _ => {}
                }
                value.clear();
            }
            _ => {}
        }
    }
    if let Some(left) = open.last() {
        report.find(file, left, "not well-formed: it ends too early");
    }
    if !version {
        report.find(file, "", "not of version 1.2");
    }
    Ok(())
}

fn post(
    item: &BTreeMap<String, String>,
    file: &str,
    files: &BTreeSet<String>,
    seen: &mut Seen,
    report: &mut CheckReport,
) {
    let get = |name: &str| item.get(name).map_or("", String::as_str);
    let Some(id) = number(get("wp:post_id")) else {
        report.find(file, get("wp:post_name"), "a post without a number");
        return;
    };
    if !seen.posts.insert(id) {
        report.find(file, id.to_string(), "a number that two posts have");
    }
    if let Some(parent) = number(get("wp:post_parent")) {
        seen.parents.insert(parent, (file.to_owned(), id.to_string()));
    }
    if get("wp:post_type").is_empty() || get("wp:status").is_empty() {
        report.find(file, id.to_string(), "a post without type or state");
    }
    let url = get("wp:attachment_url");
    if get("wp:post_type") == "attachment" {
        let is_file = !url.contains("://") && unescape_path(url).is_some_and(|path| files.contains(&path));
        if !is_file && !url.starts_with("http://") && !url.starts_with("https://") {
            report.find(file, id.to_string(), "an attachment without an address, or without its file");
        }
        report.add("attachments", 1);
    }
}

fn said(comment: &BTreeMap<String, String>, file: &str, seen: &mut Seen, report: &mut CheckReport) {
    let get = |name: &str| comment.get(name).map_or("", String::as_str);
    match number(get("wp:comment_id")) {
        Some(id) if seen.comments.insert(id) => {
            if let Some(parent) = number(get("wp:comment_parent")) {
                seen.answered.insert(parent, (file.to_owned(), id.to_string()));
            }
        }
        Some(id) => report.find(file, id.to_string(), "a number that two comments have"),
        None => report.find(file, "", "a comment without a number"),
    }
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| *number > 0)
}
