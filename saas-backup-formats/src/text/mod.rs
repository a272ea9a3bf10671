//! Text in other people's markup, as Markdown.

mod blocks;
mod confluence;
mod destination;
mod escape;
mod html;
mod lexical;
mod notion;
mod rewrite;
mod shortcodes;
mod table;

pub(crate) use confluence::confluence_to_html;
pub(crate) use destination::{relative, resolve_path, unescape_path};
pub(crate) use escape::{code, inline, paragraphs};
pub(crate) use html::{html_to_markdown, html_to_tree, parse_html, plain_from_html};
pub(crate) use lexical::lexical_to_html;
pub(crate) use notion::notion_to_html;
pub(crate) use rewrite::{Resolution, markdown_options, rewrite};
pub(crate) use shortcodes::without_shortcodes;

/// Markdown as HTML; what it has of HTML stays.
pub(crate) fn markdown_to_html(markdown: &str) -> String {
    let mut html = String::with_capacity(markdown.len() * 2);
    let options = markdown_options() | pulldown_cmark::Options::ENABLE_FOOTNOTES;
    pulldown_cmark::html::push_html(&mut html, pulldown_cmark::Parser::new_ext(markdown, options));
    html
}

#[cfg(test)]
mod tests;
