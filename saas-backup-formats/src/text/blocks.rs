//! Texts that are kept as trees of blocks, as HTML; each format of pages goes on from there.

use std::collections::BTreeSet;

/// HTML that is being written, and what did not arrive.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) html: String,
    pub(super) lost: BTreeSet<String>,
}

impl Writer {
    /// Adds text.
    pub(super) fn text(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.html.push_str("&amp;"),
                '<' => self.html.push_str("&lt;"),
                '>' => self.html.push_str("&gt;"),
                '"' => self.html.push_str("&quot;"),
                _ => self.html.push(character),
            }
        }
    }

    /// Adds a tag of ours.
    pub(super) fn tag(&mut self, tag: &str) {
        self.html.push('<');
        self.html.push_str(tag);
        self.html.push('>');
    }

    /// Adds the beginning of a tag with an address or another value.
    pub(super) fn begin(&mut self, tag: &str, attributes: &[(&str, &str)]) {
        self.html.push('<');
        self.html.push_str(tag);
        for (name, value) in attributes {
            self.html.push(' ');
            self.html.push_str(name);
            self.html.push_str("=\"");
            self.text(value);
            self.html.push('"');
        }
        self.html.push('>');
    }

    /// Adds a paragraph with a link.
    pub(super) fn link_block(&mut self, address: &str, text: &str) {
        self.tag("p");
        self.begin("a", &[("href", address)]);
        self.text(if text.trim().is_empty() { address } else { text });
        self.html.push_str("</a></p>");
    }

    /// Adds a picture with what stands below it.
    pub(super) fn picture(&mut self, address: &str, alt: &str, caption: &str) {
        self.tag("figure");
        self.begin("img", &[("src", address), ("alt", alt)]);
        if !caption.trim().is_empty() {
            self.tag("figcaption");
            self.text(caption);
            self.tag("/figcaption");
        }
        self.tag("/figure");
    }

    /// Adds code.
    pub(super) fn code(&mut self, code: &str) {
        self.html.push_str("<pre><code>");
        self.text(code);
        self.html.push_str("</code></pre>");
    }

    /// Notes what stands in the source alone.
    pub(super) fn lose(&mut self, what: impl Into<String>) {
        self.lost.insert(what.into());
    }
}
