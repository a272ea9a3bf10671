//! Tables of HTML: no cell is lost, whether there is a header or not.

use std::fmt::Write as _;
use std::rc::Rc;

use htmd::element_handler::{HandlerResult, Handlers};
use htmd::{Element, Node};
use markup5ever_rcdom::NodeData;

/// A row: whether it is a header, and its cells.
type Row = (bool, Vec<Rc<Node>>);

/// A table of Markdown; its header is empty where HTML has none. What only places text, one column without a header or
/// a table in a table, becomes the blocks that it holds.
pub(super) fn table(handlers: &dyn Handlers, element: &Element) -> HandlerResult {
    let (mut captions, mut rows) = (Vec::new(), Vec::new());
    collect(element.node, false, &mut captions, &mut rows);
    let columns = rows.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
    let has_header = rows.first().is_some_and(|(is_header, _)| *is_header);
    let places_text = (columns < 2 && !has_header) || rows.iter().flat_map(|(_, cells)| cells).any(holds_table);
    let mut blocks: Vec<String> = captions.iter().map(|caption| text_of(handlers, caption)).collect();
    if places_text {
        blocks.extend(rows.iter().flat_map(|(_, cells)| cells).map(|cell| text_of(handlers, cell)));
    } else {
        blocks.push(grid(handlers, &rows, columns, has_header));
    }
    blocks.retain(|block| !block.is_empty());
    HandlerResult::from(format!("\n\n{}\n\n", blocks.join("\n\n")))
}

fn grid(handlers: &dyn Handlers, rows: &[Row], columns: usize, has_header: bool) -> String {
    let (header, body) = rows.split_at(usize::from(has_header));
    let mut out = String::new();
    let none = Vec::new();
    line(handlers, &mut out, header.first().map_or(&none, |(_, cells)| cells), columns);
    out.push_str(&"| --- ".repeat(columns));
    out.push_str("|\n");
    for (_, cells) in body {
        line(handlers, &mut out, cells, columns);
    }
    out.truncate(out.trim_end().len());
    out
}

fn line(handlers: &dyn Handlers, out: &mut String, cells: &[Rc<Node>], columns: usize) {
    for column in 0..columns {
        let cell = cells.get(column).map(|cell| in_a_cell(&text_of(handlers, cell))).unwrap_or_default();
        let _ = write!(out, "| {cell}{}", if cell.is_empty() { "" } else { " " });
    }
    out.push_str("|\n");
}

fn text_of(handlers: &dyn Handlers, node: &Rc<Node>) -> String {
    handlers.walk_children(node).content.trim().to_owned()
}

/// Blocks on one line, and no bar that ends the cell.
fn in_a_cell(text: &str) -> String {
    let joined = text.replace("\\\n", " ");
    let joined = joined.split_whitespace().collect::<Vec<_>>().join(" ");
    let (mut out, mut escaped) = (String::with_capacity(joined.len()), false);
    for character in joined.chars() {
        if character == '|' && !escaped {
            out.push('\\');
        }
        escaped = character == '\\' && !escaped;
        out.push(character);
    }
    // A backslash at the end would take the bar with it.
    if escaped {
        out.push('\\');
    }
    out
}

fn collect(node: &Rc<Node>, within_head: bool, captions: &mut Vec<Rc<Node>>, rows: &mut Vec<Row>) {
    for child in node.children.borrow().iter() {
        match name_of(child) {
            Some("caption") => captions.push(Rc::clone(child)),
            Some("thead") => collect(child, true, captions, rows),
            Some("tbody" | "tfoot") => collect(child, false, captions, rows),
            Some("tr") => {
                let is_cell = |cell: &&Rc<Node>| matches!(name_of(cell), Some("td" | "th"));
                let cells: Vec<Rc<Node>> = child.children.borrow().iter().filter(is_cell).cloned().collect();
                let is_header = within_head || cells.iter().all(|cell| name_of(cell) == Some("th"));
                if !cells.is_empty() {
                    rows.push((is_header, cells));
                }
            }
            _ => {}
        }
    }
}

fn name_of(node: &Rc<Node>) -> Option<&str> {
    match &node.data {
        NodeData::Element { name, .. } => Some(&name.local),
        _ => None,
    }
}

fn holds_table(node: &Rc<Node>) -> bool {
    name_of(node) == Some("table") || node.children.borrow().iter().any(holds_table)
}
