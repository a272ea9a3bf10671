use std::fmt::Write as _;

use super::escape::escape;
use super::view::Entry;
use crate::text::relative;

/// One page of a hierarchy.
#[derive(Debug)]
pub(super) struct TreePage {
    pub(super) group: String,
    pub(super) path: String,
    pub(super) number: usize,
    pub(super) html: String,
    pub(super) entries: usize,
    /// Lists that are open.
    open: usize,
    /// Titles of what the last entry stands below, itself included.
    line: Vec<String>,
    /// What the first entry of a continued page stands below.
    pub(super) above: Vec<String>,
}

impl TreePage {
    pub(super) fn new(group: &str, path: String) -> Self {
        let (group, html) = (group.to_owned(), String::new());
        Self { group, path, number: 1, html, entries: 0, open: 0, line: Vec::new(), above: Vec::new() }
    }

    /// The page after another one, which begins with an entry of this depth.
    pub(super) fn continued(before: &Self, path: String, depth: usize) -> Self {
        let above: Vec<String> = before.line.iter().take(depth.saturating_sub(1)).cloned().collect();
        Self { number: before.number + 1, line: above.clone(), above, ..Self::new(&before.group, path) }
    }

    /// Adds an entry; `depth` is 1 for the first of a line.
    pub(super) fn add(&mut self, entry: &Entry, depth: usize, is_parent: bool) {
        let lists = depth.saturating_sub(1).saturating_sub(self.above.len());
        while self.open > lists {
            self.html.push_str("</ul></details></li>\n");
            self.open -= 1;
        }
        let link = escape(&relative(&self.path, &entry.path));
        let state = entry.state.as_ref().map(|state| format!(" <span class=\"state\">{}</span>", escape(state)));
        let item = format!(
            "<a href=\"{link}\" dir=\"auto\">{}</a>{}",
            escape(&entry.title),
            state.as_deref().unwrap_or_default()
        );
        if is_parent {
            let open = if self.open == 0 { " open" } else { "" };
            let _ = writeln!(self.html, "<li><details{open}><summary>{item}</summary><ul>");
            self.open += 1;
        } else {
            let _ = writeln!(self.html, "<li>{item}</li>");
        }
        self.entries += 1;
        self.line.truncate(depth.saturating_sub(1));
        self.line.push(entry.title.clone());
    }

    /// Closes what is open.
    pub(super) fn close(&mut self) {
        self.html.push_str(&"</ul></details></li>\n".repeat(self.open));
        self.open = 0;
    }
}
