use std::fmt::Write as _;

use crate::pages::{Backlinks, Edge};
use crate::text::{code, inline};

/// What leads to a page, as the page at `path` has to write it.
pub(super) fn sections(back: &Backlinks, path: &str) -> String {
    let mut out = String::new();
    section(&mut out, "Below this", back.children.iter().map(|child| link(child, path)), back.more_children);
    let versions = back.versions.iter().map(|(version, past)| {
        let mut line = link(version, path);
        for (word, time) in [(",", &past.since), (" to", &past.until)] {
            if let Some(time) = time {
                let _ = write!(line, "{word} {time}");
            }
        }
        if past.is_deleted {
            line.push_str("; then it was deleted");
        } else if !past.changed.is_empty() {
            let changed: Vec<String> = past.changed.iter().map(|member| code(member)).collect();
            let more = if past.more_changed > 0 { format!(" and {} more", past.more_changed) } else { String::new() };
            let _ = write!(line, "; then {}{more} changed", changed.join(", "));
        }
        line
    });
    section(&mut out, "History", versions, back.more_versions);
    let links = back.links.iter().map(|(from, via)| {
        let via = if via.is_empty() { String::new() } else { format!(" ({})", inline(via)) };
        format!("{}{via}", link(from, path))
    });
    section(&mut out, "Linked from", links, back.more_links);
    out
}

fn section(out: &mut String, title: &str, lines: impl Iterator<Item = String>, more: usize) {
    let mut lines = lines.peekable();
    if lines.peek().is_none() {
        return;
    }
    let _ = write!(out, "\n## {title}\n\n");
    for line in lines {
        let _ = writeln!(out, "- {line}");
    }
    if more > 0 {
        let _ = writeln!(out, "- and {more} more");
    }
}

fn link(edge: &Edge, path: &str) -> String {
    format!("[{}]({})", inline(&edge.title), edge.link_from(path))
}
