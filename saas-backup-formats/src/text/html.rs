use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use htmd::element_handler::{HandlerResult, Handlers};
use htmd::options::{BrStyle, BulletListMarker, HrStyle, Options};
use htmd::{Element, HtmlToMarkdown, Node};

use super::escape::{inline, paragraphs};
use super::table::table;

/// Bounds on what is parsed as HTML: broken or hostile text beyond them makes parsers take quadratic time or memory.
const MAX_BYTES: usize = 8 * 1024 * 1024;
const MAX_TAGS: usize = 200_000;
const MAX_DEPTH: usize = 200;
const MAX_OPEN_FORMATTING: usize = 32;

/// Elements that hold no text for a person.
const DROPPED: [(&str, &str); 10] = [
    ("script", "scripts: removed"),
    ("style", "styles: removed"),
    ("template", "templates: removed"),
    ("object", "embedded objects: removed"),
    ("embed", "embedded objects: removed"),
    ("applet", "embedded objects: removed"),
    ("canvas", "drawings: removed"),
    ("svg", "drawings: removed"),
    ("math", "formulas: removed"),
    ("form", "forms: removed"),
];

/// Elements that stay open until they are closed, and are opened again in every block that follows.
const FORMATTING: [&str; 14] =
    ["a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"];

/// Elements that the next one of their kind closes, and those that hold nothing.
const SELF_CLOSING: [&str; 31] = [
    "p", "li", "dt", "dd", "tr", "td", "th", "option", "optgroup", "thead", "tbody", "tfoot", "colgroup", "rt", "rp",
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
    "html", "body",
];

type Lost = Arc<Mutex<BTreeSet<String>>>;

/// HTML as Markdown, and what did not arrive.
pub(crate) fn html_to_markdown(html: &str) -> (String, BTreeSet<String>) {
    let lost = Lost::default();
    if is_tame(html)
        && let Ok(Some(text)) = catch_unwind(AssertUnwindSafe(|| convert(html, &lost)))
    {
        return (text, std::mem::take(&mut lost.lock().unwrap_or_else(PoisonError::into_inner)));
    }
    (
        paragraphs(&plain_from_html(html)),
        BTreeSet::from(["formatting: the HTML is too large or nests too deep".to_owned()]),
    )
}

/// The tree of HTML of any size, which is not to be walked by recursion; `None` if the parser fails.
pub(crate) fn parse_html(html: &str) -> Option<Rc<Node>> {
    let parse = || HtmlToMarkdown::builder().scripting_enabled(false).build().html_to_tree(html).ok();
    catch_unwind(parse).ok().flatten()
}

/// The tree of HTML; `None` if it is too large or nests too deep to be walked.
pub(crate) fn html_to_tree(html: &str) -> Option<Rc<Node>> {
    let tree = is_tame(html).then(|| parse_html(html)).flatten()?;
    is_shallow(&tree).then_some(tree)
}

fn convert(html: &str, lost: &Lost) -> Option<String> {
    let converter = converter(lost);
    let tree = converter.html_to_tree(html).ok()?;
    is_shallow(&tree).then(|| converter.tree_to_markdown(&tree))
}

fn converter(lost: &Lost) -> HtmlToMarkdown {
    let options = Options {
        br_style: BrStyle::Backslash,
        hr_style: HrStyle::Dashes,
        bullet_list_marker: BulletListMarker::Dash,
        ul_bullet_spacing: 1,
        ol_number_spacing: 1,
        ..Options::default()
    };
    let mut builder = HtmlToMarkdown::builder().options(options).scripting_enabled(false);
    for (tag, what) in DROPPED {
        let lost = Arc::clone(lost);
        builder = builder.add_handler(vec![tag], move |_: &dyn Handlers, _: Element| {
            note(&lost, what);
            Some(HandlerResult::from(""))
        });
    }
    let lost = Arc::clone(lost);
    builder
        .add_handler(vec!["a"], |handlers: &dyn Handlers, element: Element| Some(anchor(handlers, &element)))
        .add_handler(vec!["table"], |handlers: &dyn Handlers, element: Element| Some(table(handlers, &element)))
        .add_handler(vec!["img"], |_: &dyn Handlers, element: Element| {
            let source = attribute(&element, "src")?;
            let alt = inline(&attribute(&element, "alt").unwrap_or_default());
            Some(HandlerResult::from(format!("![{alt}]({})", destination(&source))))
        })
        .add_handler(vec!["input"], |_: &dyn Handlers, element: Element| {
            let checkbox = attribute(&element, "type").is_some_and(|kind| kind.eq_ignore_ascii_case("checkbox"));
            let mark = if attribute(&element, "checked").is_some() { "[x] " } else { "[ ] " };
            Some(HandlerResult::from(if checkbox { mark } else { "" }))
        })
        .add_handler(vec!["iframe", "video", "audio"], move |handlers: &dyn Handlers, element: Element| {
            note(&lost, "embedded media: kept as a link");
            let inner = handlers.walk_children(element.node).content;
            let link = attribute(&element, "src").map(|source| format!("[{}]({})", element.tag, destination(&source)));
            let parts = [link.as_deref().unwrap_or_default(), inner.trim()];
            let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            Some(HandlerResult::from(format!("\n\n{}\n\n", parts.join("\n\n"))))
        })
        .add_handler(vec!["source"], |_: &dyn Handlers, element: Element| {
            let source = attribute(&element, "src")?;
            Some(HandlerResult::from(format!("[file]({}) ", destination(&source))))
        })
        .build()
}

fn anchor(handlers: &dyn Handlers, element: &Element) -> HandlerResult {
    let content = handlers.walk_children(element.node).content;
    let Some(link) = attribute(element, "href") else { return HandlerResult::from(content) };
    // A link is one line: blocks in it become its text.
    let text = content.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.trim_start_matches(['#', ' ']);
    let text = if text.is_empty() { inline(&link) } else { text.to_owned() };
    let pad = |is_space: bool| if is_space { " " } else { "" };
    let before = pad(content.starts_with(' '));
    let after = pad(content.ends_with(' '));
    HandlerResult::from(format!("{before}[{text}]({}){after}", destination(&link)))
}

fn attribute(element: &Element, name: &str) -> Option<String> {
    let found = element.attrs.iter().find(|attribute| &*attribute.name.local == name);
    found.map(|attribute| attribute.value.trim().to_owned())
}

/// An address as a link's destination, whatever it holds.
fn destination(link: &str) -> String {
    let mut out = String::with_capacity(link.len());
    for character in link.chars() {
        match character {
            ' ' => out.push_str("%20"),
            '(' | ')' | '<' | '>' | '"' | '\\' | '`' | '&' | '|' => {
                out.push('\\');
                out.push(character);
            }
            // A browser removes line breaks and tabs from an address too.
            _ if character.is_control() => {}
            _ => out.push(character),
        }
    }
    out
}

fn note(lost: &Lost, what: &str) {
    lost.lock().unwrap_or_else(PoisonError::into_inner).insert(what.to_owned());
}

/// Counts what the parser would have to keep open.
fn is_tame(html: &str) -> bool {
    if html.len() > MAX_BYTES {
        return false;
    }
    let (mut tags, mut depth, mut formatting) = (0_usize, 0_usize, 0_usize);
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        rest = rest.get(start + 1..).unwrap_or_default();
        let closing = rest.starts_with('/');
        let name = rest.trim_start_matches('/');
        let length = name.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let name = name.get(..length).unwrap_or_default().to_ascii_lowercase();
        if name.is_empty() {
            continue;
        }
        tags += 1;
        let is_formatting = FORMATTING.contains(&name.as_str());
        if !SELF_CLOSING.contains(&name.as_str()) {
            depth = if closing { depth.saturating_sub(1) } else { depth + 1 };
        }
        if is_formatting {
            formatting = if closing { formatting.saturating_sub(1) } else { formatting + 1 };
        }
        if tags > MAX_TAGS || depth > MAX_DEPTH || formatting > MAX_OPEN_FORMATTING {
            return false;
        }
    }
    true
}

/// The converter walks the tree by recursion: what nests deeper would end the program.
fn is_shallow(tree: &Rc<Node>) -> bool {
    let mut nodes = vec![(Rc::clone(tree), 0)];
    while let Some((node, depth)) = nodes.pop() {
        if depth > 2 * MAX_DEPTH {
            return false;
        }
        nodes.extend(node.children.borrow().iter().map(|child| (Rc::clone(child), depth + 1)));
    }
    true
}

/// The text of HTML: tags fall away, the usual character references are resolved.
pub(crate) fn plain_from_html(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(position) = rest.find(['<', '&']) {
        let (before, from) = rest.split_at(position);
        out.push_str(before);
        let is_tag =
            from.as_bytes().get(1).is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'/' | b'!' | b'?'));
        let length = if from.starts_with('&') {
            reference(from, &mut out)
        } else if is_tag {
            from.find('>').map_or(from.len(), |end| end + 1)
        } else {
            0
        };
        if length == 0 {
            out.push_str(from.get(..1).unwrap_or_default());
        }
        rest = from.get(length.max(1)..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Resolves a character reference at the start of a text; gives its length, 0 if it is none.
fn reference(text: &str, out: &mut String) -> usize {
    let Some(end) = text.bytes().take(12).position(|byte| byte == b';') else { return 0 };
    let name = text.get(1..end).unwrap_or_default();
    let number = name.strip_prefix('#').and_then(|number| match number.strip_prefix(['x', 'X']) {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok(),
        None => number.parse().ok(),
    });
    let character = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{A0}',
        "hellip" => '…',
        "ndash" => '–',
        "mdash" => '—',
        "lsquo" => '‘',
        "rsquo" => '’',
        "ldquo" => '“',
        "rdquo" => '”',
        "laquo" => '«',
        "raquo" => '»',
        "copy" => '©',
        "reg" => '®',
        "trade" => '™',
        "euro" => '€',
        _ => match number.and_then(char::from_u32) {
            Some(character) => character,
            None => return 0,
        },
    };
    out.push(character);
    end + 1
}
