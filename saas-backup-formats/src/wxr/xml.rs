//! XML of WXR, and the files that it is split over.

use std::io::Write as _;

use saas_backup_core::Result;

use crate::folder::{HashingWriter, Output};

const BEGIN: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0"
	xmlns:excerpt="http://wordpress.org/export/1.2/excerpt/"
	xmlns:content="http://purl.org/rss/1.0/modules/content/"
	xmlns:wfw="http://wellformedweb.org/CommentAPI/"
	xmlns:dc="http://purl.org/dc/elements/1.1/"
	xmlns:wp="http://wordpress.org/export/1.2/">
<channel>
"#;
const END: &str = "</channel>\n</rss>\n";

/// Text between tags and in attributes.
pub(super) fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 8);
    for character in value.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(allowed(character)),
        }
    }
    out
}

/// Text as it is; what would end the section is split over two.
pub(super) fn cdata(value: &str) -> String {
    let clean: String = value.chars().map(allowed).collect();
    format!("<![CDATA[{}]]>", clean.replace("]]>", "]]]]><![CDATA[>"))
}

/// Whether a text has characters that XML has no place for.
pub(super) fn is_damaged(value: &str) -> bool {
    value.chars().any(|character| allowed(character) != character)
}

fn allowed(character: char) -> char {
    match character {
        '\t' | '\n' | '\r' | '\u{20}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}' => character,
        _ => '\u{FFFD}',
    }
}

/// Elements below one another.
#[derive(Debug, Default)]
pub(super) struct Xml(pub(super) String);

impl Xml {
    /// An element whose text is as it is.
    pub(super) fn cdata(&mut self, name: &str, value: &str) {
        self.raw(name, &cdata(value));
    }

    /// An element with plain text.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.raw(name, &text(value));
    }

    /// A field of WordPress's own: a name and a value.
    pub(super) fn meta(&mut self, element: &str, key: &str, value: &str) {
        let mut inner = Self::default();
        inner.cdata("wp:meta_key", key);
        inner.cdata("wp:meta_value", value);
        self.raw(element, &format!("\n{}", inner.0));
    }

    /// An element with elements in it.
    pub(super) fn raw(&mut self, name: &str, inner: &str) {
        for part in ["<", name, ">", inner, "</", name, ">\n"] {
            self.0.push_str(part);
        }
    }
}

/// Writes files of about the same size; each is whole in itself.
#[derive(Debug)]
pub(super) struct Files {
    head: String,
    limit: u64,
    pub(super) count: u32,
    open: Option<(String, HashingWriter, u64)>,
}

impl Files {
    pub(super) fn new(head: &str, limit: u64) -> Self {
        Self { head: format!("{BEGIN}{head}"), limit, count: 0, open: None }
    }

    /// Adds an element, in a new file if the open one has no room; gives the number of the file.
    pub(super) fn add(&mut self, output: &mut Output, element: &str) -> Result<u32> {
        let needed = (element.len() + END.len()) as u64;
        if self.open.as_ref().is_some_and(|(_, _, bytes)| bytes + needed > self.limit) {
            self.end(output)?;
        }
        if self.open.is_none() {
            self.begin(output)?;
        }
        if let Some((_, file, bytes)) = &mut self.open {
            file.write_all(element.as_bytes())?;
            *bytes += element.len() as u64;
        }
        Ok(self.count)
    }

    /// Ends the last file; there is always one.
    pub(super) fn finish(mut self, output: &mut Output) -> Result<u32> {
        if self.count == 0 {
            self.begin(output)?;
        }
        self.end(output)?;
        Ok(self.count)
    }

    fn begin(&mut self, output: &Output) -> Result<()> {
        self.count += 1;
        let name = file_name(self.count);
        let mut file = output.create(&name)?;
        file.write_all(self.head.as_bytes())?;
        self.open = Some((name, file, self.head.len() as u64));
        Ok(())
    }

    fn end(&mut self, output: &mut Output) -> Result<()> {
        let Some((name, mut file, _)) = self.open.take() else { return Ok(()) };
        file.write_all(END.as_bytes())?;
        output.keep(&name, file)
    }
}

/// The name of a file, counted from 1.
pub(super) fn file_name(number: u32) -> String {
    format!("wordpress-{number:03}.xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_section_early() {
        assert_eq!(cdata("a]]>b"), "<![CDATA[a]]]]><![CDATA[>b]]>");
        assert_eq!(cdata("]]]>"), "<![CDATA[]]]]]><![CDATA[>]]>");
        assert_eq!(cdata("x\u{0}\u{FFFF}"), "<![CDATA[x\u{FFFD}\u{FFFD}]]>");
        assert_eq!(text("<a & \"b\">\u{1}"), "&lt;a &amp; &quot;b&quot;&gt;\u{FFFD}");
        assert!(is_damaged("\u{b}") && !is_damaged("\t\r\n😀"));
    }
}
