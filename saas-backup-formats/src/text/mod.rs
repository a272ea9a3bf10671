//! Text in other people's markup, as Markdown.

mod destination;
mod escape;
mod html;
mod rewrite;
mod table;

pub(crate) use destination::{relative, resolve_path, unescape_path};
pub(crate) use escape::{code, inline, paragraphs};
pub(crate) use html::{html_to_markdown, html_to_tree, parse_html, plain_from_html};
pub(crate) use rewrite::{Resolution, markdown_options, rewrite};

#[cfg(test)]
mod tests;
