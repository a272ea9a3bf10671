use std::collections::BTreeSet;
use std::ops::Range;

use pulldown_cmark::{CowStr, Event, LinkType, Options, Parser, Tag, TagEnd};

use super::escape::{code, inline, paragraphs};
use super::html::html_to_markdown;

/// What becomes of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// It stays as it is.
    Keep,
    /// It leads there.
    To(String),
    /// It leads nowhere that is safe or known: its text stays, and its address as text.
    Text,
}

/// Tags without attributes that Markdown has no sign for and that do no harm.
const HARMLESS: [&str; 13] = ["br", "sub", "sup", "kbd", "mark", "u", "ins", "del", "small", "b", "i", "em", "strong"];

/// A text that an edit still changes after so many passes is no longer a person's.
const MAX_PASSES: usize = 4;

/// Rewrites the destinations of a Markdown text's links and images, and turns HTML in it into Markdown.
///
/// Everything else stays byte for byte. What is lost on the way is added to `lost`.
pub(crate) fn rewrite(
    markdown: &str,
    lost: &mut BTreeSet<String>,
    resolve: &mut dyn FnMut(&str, bool) -> Resolution,
) -> String {
    let mut resolved = BTreeSet::from([("#".to_owned(), false)]);
    let mut text = markdown.to_owned();
    for pass in 0..MAX_PASSES {
        let mut resolve_once = |address: &str, is_image: bool| {
            if pass > 0 && resolved.contains(&(address.to_owned(), is_image)) {
                return Resolution::Keep;
            }
            let resolution = resolve(address, is_image);
            match &resolution {
                Resolution::Keep => drop(resolved.insert((address.to_owned(), is_image))),
                Resolution::To(link) => drop(resolved.insert((link.clone(), is_image))),
                Resolution::Text => {}
            }
            resolution
        };
        let rewritten = rewrite_level(&text, lost, &mut resolve_once, true);
        if rewritten == text {
            return text;
        }
        // What stood beside an edit may read as something else now: two backticks meet, and code becomes a link.
        text = rewritten;
    }
    lost.insert("formatting: the Markdown has no settled meaning, kept as text".to_owned());
    paragraphs(&text)
}

/// The extensions that pages may use.
pub(crate) fn markdown_options() -> Options {
    Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS
}

fn rewrite_level(
    markdown: &str,
    lost: &mut BTreeSet<String>,
    resolve: &mut dyn FnMut(&str, bool) -> Resolution,
    outermost: bool,
) -> String {
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let parser = Parser::new_ext(markdown, markdown_options());
    for (_, definition) in parser.reference_definitions().iter() {
        if let Some(place) = definition_destination(markdown, &definition.span) {
            match resolve(&definition.dest, false) {
                Resolution::Keep => {}
                Resolution::To(link) => edits.push((place, link)),
                Resolution::Text => edits.push((place, "#".to_owned())),
            }
        }
    }
    let (mut open, mut containers): (Vec<OpenLink>, usize) = (Vec::new(), 0);
    for (event, range) in parser.into_offset_iter() {
        if let Some(outer) = open.last_mut()
            && !matches!(event, Event::End(TagEnd::Link | TagEnd::Image))
        {
            outer.content_end = outer.content_end.max(range.end);
        }
        match event {
            Event::Start(Tag::Link { link_type, dest_url, .. }) => {
                open.push(OpenLink::new(link_type, dest_url, &range, false));
            }
            Event::Start(Tag::Image { link_type, dest_url, .. }) => {
                open.push(OpenLink::new(link_type, dest_url, &range, true));
            }
            Event::End(TagEnd::Link | TagEnd::Image) => {
                if let Some(link) = open.pop() {
                    if let Some(outer) = open.last_mut() {
                        outer.content_end = outer.content_end.max(range.end);
                    }
                    link.edit(markdown, range, resolve, &mut edits);
                }
            }
            Event::Start(Tag::HtmlBlock) => {
                let source = markdown.get(range.clone()).unwrap_or_default();
                if outermost && containers == 0 {
                    let (converted, losses) = html_to_markdown(source);
                    lost.extend(losses);
                    let converted = rewrite_level(&converted, lost, resolve, false);
                    edits.push((range, format!("{converted}\n")));
                } else {
                    // Inside a list or a quotation lines have a prefix that a replacement would lack.
                    lost.insert("HTML in Markdown: kept as text".to_owned());
                    edits.push((range, inert(source)));
                }
            }
            Event::InlineHtml(html) if !is_harmless(&html) => {
                let replacement = if outermost && html.to_ascii_lowercase().starts_with("<img") {
                    let (converted, losses) = html_to_markdown(&html);
                    lost.extend(losses);
                    rewrite_level(&converted, lost, resolve, false)
                } else {
                    lost.insert("HTML in Markdown: tags removed".to_owned());
                    String::new()
                };
                edits.push((range, replacement));
            }
            Event::Start(Tag::BlockQuote(_) | Tag::List(_) | Tag::Item | Tag::FootnoteDefinition(_)) => containers += 1,
            Event::End(TagEnd::BlockQuote(_) | TagEnd::List(_) | TagEnd::Item | TagEnd::FootnoteDefinition) => {
                containers = containers.saturating_sub(1);
            }
            _ => {}
        }
    }
    apply(markdown, edits)
}

struct OpenLink<'a> {
    kind: LinkType,
    destination: CowStr<'a>,
    start: usize,
    content_end: usize,
    is_image: bool,
}

impl<'a> OpenLink<'a> {
    fn new(kind: LinkType, destination: CowStr<'a>, range: &Range<usize>, is_image: bool) -> Self {
        let content_end = range.start + 1 + usize::from(is_image);
        Self { kind, destination, start: range.start, content_end, is_image }
    }

    fn edit(
        &self,
        markdown: &str,
        range: Range<usize>,
        resolve: &mut dyn FnMut(&str, bool) -> Resolution,
        edits: &mut Vec<(Range<usize>, String)>,
    ) {
        match self.kind {
            LinkType::Inline => {
                let tail = markdown.get(self.content_end..range.end).unwrap_or_default();
                let Some(bracket) = tail.find("](").map(|found| self.content_end + found) else { return };
                let Some(place) = inline_destination(markdown, bracket + 2, range.end) else { return };
                match resolve(&self.destination, self.is_image) {
                    Resolution::Keep => {}
                    Resolution::To(link) => edits.push((place, link)),
                    Resolution::Text => {
                        edits.push((self.start..self.start + 1 + usize::from(self.is_image), String::new()));
                        edits.push((bracket..range.end, format!(" ({})", code(&self.destination))));
                    }
                }
            }
            LinkType::Autolink => match resolve(&self.destination, false) {
                Resolution::Keep => {}
                Resolution::To(link) => edits.push((range, format!("[{}]({link})", inline(&self.destination)))),
                Resolution::Text => edits.push((range, code(&self.destination))),
            },
            // Those with a definition are rewritten there; addresses of mail stay.
            _ => {}
        }
    }
}

/// Where the destination of an inline link stands, that begins somewhere behind its parenthesis.
fn inline_destination(markdown: &str, from: usize, end: usize) -> Option<Range<usize>> {
    let text = markdown.get(from..end)?;
    let start = from + (text.len() - text.trim_start().len());
    destination_at(markdown, start, end)
}

fn definition_destination(markdown: &str, span: &Range<usize>) -> Option<Range<usize>> {
    let text = markdown.get(span.clone())?;
    let mut escaped = false;
    let mut colon = None;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b']' if text.as_bytes().get(index + 1) == Some(&b':') => {
                colon = Some(index + 2);
                break;
            }
            _ => {}
        }
    }
    let rest = text.get(colon?..)?;
    let start = span.end - rest.trim_start().len();
    destination_at(markdown, start, span.end)
}

fn destination_at(markdown: &str, start: usize, end: usize) -> Option<Range<usize>> {
    let text = markdown.get(start..end)?;
    let bracketed = text.starts_with('<');
    let (mut depth, mut escaped) = (0_usize, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'>' if bracketed => return Some(start..start + index + 1),
            _ if bracketed => {}
            b'(' => depth += 1,
            b')' if depth == 0 => return Some(start..start + index),
            b')' => depth -= 1,
            _ if byte.is_ascii_whitespace() || byte.is_ascii_control() => return Some(start..start + index),
            _ => {}
        }
    }
    (!bracketed).then_some(start..end)
}

/// HTML as the text that it is; what looks like a link in it was none and becomes none.
fn inert(html: &str) -> String {
    let mut out = String::with_capacity(html.len() + 16);
    for character in html.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '\\' | '[' | ']' => out.extend(['\\', character]),
            _ => out.push(character),
        }
    }
    out
}

fn is_harmless(tag: &str) -> bool {
    let name = tag.trim_start_matches(['<', '/']).trim_end_matches(['>', '/', ' ']);
    HARMLESS.contains(&name.to_ascii_lowercase().as_str())
}

/// Applies edits that do not overlap; of two that do, the later one in the text is dropped.
fn apply(markdown: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let (mut out, mut done) = (String::with_capacity(markdown.len()), 0);
    for (range, replacement) in edits {
        if range.start < done {
            continue;
        }
        out.push_str(markdown.get(done..range.start).unwrap_or_default());
        out.push_str(&replacement);
        done = range.end;
    }
    out.push_str(markdown.get(done..).unwrap_or_default());
    out
}
