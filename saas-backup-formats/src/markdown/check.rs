use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pulldown_cmark::{Event, Parser, Tag};
use saas_backup_core::{CheckReport, Result};

use super::front_matter::fault_of;
use crate::folder::{contained, list};
use crate::text::{markdown_options, resolve_path, unescape_path};

/// What links lead to, in the counts of a report.
const INTERNAL: &str = "links within the vault";
const EXTERNAL: &str = "links to elsewhere";

/// Follows every link and image of every page below a folder, and finds front matter that readers of YAML take for
/// different things, such as `country: NO`; folders whose names begin with a dot are passed over. Links to somewhere else
/// are counted, and nobody follows them.
///
/// Upper and lower case count also where the file system does not care, because the next one may.
///
/// # Errors
///
/// If a file cannot be read, or is not UTF-8.
pub fn check(folder: &Path) -> Result<CheckReport> {
    let files: BTreeSet<String> = list(folder)?.into_iter().collect();
    let mut report = CheckReport::default();
    for page in files.iter().map(String::as_str).filter(|path| is_page(path)) {
        let text = fs::read_to_string(contained(folder, page)?)?;
        report.files += 1;
        let (front_matter, body) = parts(&text);
        for (number, line) in front_matter.lines().enumerate() {
            if let Some(fault) = fault_of(line) {
                // The first line is the one of hyphens.
                report.find(page, format!("line {}", number + 2), fault);
            }
        }
        for event in Parser::new_ext(body, markdown_options()) {
            let Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) = event else {
                continue;
            };
            match follow(page, &dest_url) {
                Destination::Here => {}
                Destination::Elsewhere => report.add(EXTERNAL, 1),
                Destination::File(path) if files.contains(&path) => report.add(INTERNAL, 1),
                Destination::File(_) | Destination::Outside => {
                    report.find(page, &*dest_url, "a link that leads nowhere");
                }
            }
        }
    }
    Ok(report)
}

enum Destination {
    Here,
    Elsewhere,
    File(String),
    Outside,
}

fn follow(page: &str, link: &str) -> Destination {
    if link.is_empty() || link.starts_with('#') {
        return Destination::Here;
    }
    let scheme = link.split_once(':').map(|(scheme, _)| scheme);
    let has_scheme = scheme.is_some_and(|scheme| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
    });
    if has_scheme || link.starts_with("//") {
        return Destination::Elsewhere;
    }
    let path = link.split(['#', '?']).next().unwrap_or_default();
    let resolved = unescape_path(path).filter(|path| !path.starts_with('/')).and_then(|path| resolve_path(page, &path));
    resolved.map_or(Destination::Outside, Destination::File)
}

fn is_page(path: &str) -> bool {
    let hidden = path.split('/').any(|part| part.starts_with('.'));
    let attachment = path.split('/').any(|part| part == "_attachments");
    !hidden && !attachment && path.strip_suffix(".md").is_some()
}

/// The front matter of a page, and the page without it.
fn parts(text: &str) -> (&str, &str) {
    let rest = text.strip_prefix("---\n");
    rest.and_then(|rest| rest.split_once("\n---\n")).unwrap_or(("", text))
}
