//! Hostile HTML as HTML that cannot run.
//!
//! The tree is walked and written anew: only the tags and attributes of two lists are ever written, every text and value
//! is escaped, and none of the tags changes how a browser reads on. What a browser makes of the result is therefore no
//! other tree, however broken the source is. A filter that works on tags alone could not turn an image that lies
//! elsewhere into a link, or an embedded video into a player.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::rc::Rc;

use htmd::Node;
use markup5ever_rcdom::NodeData;
use url::Url;

use super::allowed::{BLOCKS, DROPPED, KEPT, RENAMED, VOID};
use super::escape::{escape, escape_into};
use super::media::{Media, is_unsafe_to_open};
use crate::text::{Resolution, html_to_tree, plain_from_html};

/// Longest value of an attribute that is kept.
const MAX_VALUE: usize = 1000;

/// How a text is placed on its page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    /// The level of the heading above it: its own ones begin below.
    pub(super) level: usize,
    /// Whether places in it keep their names.
    pub(super) ids: bool,
    /// Whether an address that stands as text is a link.
    pub(super) bare_links: bool,
}

/// A text that is safe to show.
#[derive(Debug, Default)]
pub(super) struct Cleaned {
    /// As HTML.
    pub(super) html: String,
    /// Its words.
    pub(super) plain: String,
    /// What did not arrive.
    pub(super) lost: BTreeSet<String>,
}

/// Makes HTML safe; `resolve` decides about addresses.
pub(super) fn clean(html: &str, setting: Setting, resolve: &mut dyn FnMut(&str, bool) -> Resolution) -> Cleaned {
    let Some(tree) = html_to_tree(html) else {
        let mut cleaned = plain_text(&plain_from_html(html), resolve);
        cleaned.lost.insert("formatting: the HTML is too large or nests too deep".to_owned());
        return cleaned;
    };
    let mut cleaner = Cleaner { done: Cleaned::default(), setting, resolve };
    cleaner.children(&tree);
    cleaner.done
}

/// Makes paragraphs of plain text, and links of the addresses in it.
pub(super) fn plain_text(text: &str, resolve: &mut dyn FnMut(&str, bool) -> Resolution) -> Cleaned {
    let text = text.replace("\r\n", "\n");
    let setting = Setting { level: 1, ids: false, bare_links: true };
    let mut cleaner = Cleaner { done: Cleaned { plain: text.clone(), ..Cleaned::default() }, setting, resolve };
    for paragraph in text.split("\n\n").map(|paragraph| paragraph.trim_matches('\n')) {
        if paragraph.trim().is_empty() {
            continue;
        }
        cleaner.done.html.push_str("<p class=\"plain\">");
        paragraph.split_inclusive(char::is_whitespace).for_each(|word| cleaner.word(word));
        cleaner.done.html.push_str("</p>\n");
    }
    cleaner.done
}

struct Cleaner<'a> {
    done: Cleaned,
    setting: Setting,
    resolve: &'a mut dyn FnMut(&str, bool) -> Resolution,
}

impl Cleaner<'_> {
    fn children(&mut self, node: &Rc<Node>) {
        for child in node.children.borrow().iter() {
            self.node(child);
        }
    }

    fn node(&mut self, node: &Rc<Node>) {
        match &node.data {
            NodeData::Document => self.children(node),
            NodeData::Text { contents } => {
                let text = contents.borrow();
                self.done.plain.push_str(&text);
                if self.setting.bare_links && text.contains("://") {
                    text.split_inclusive(char::is_whitespace).for_each(|word| self.word(word));
                } else {
                    escape_into(&mut self.done.html, &text);
                }
            }
            NodeData::Element { name, .. } => self.element(node, &name.local),
            _ => {}
        }
    }

    fn element(&mut self, node: &Rc<Node>, tag: &str) {
        if BLOCKS.contains(&tag) && !self.done.plain.ends_with('\n') {
            self.done.plain.push('\n');
        }
        if let Some((_, what)) = DROPPED.iter().find(|(dropped, _)| *dropped == tag) {
            self.done.lost.insert((*what).to_owned());
            return;
        }
        match tag {
            "a" => self.anchor(node),
            "img" => self.image(node),
            "input" => self.checkbox(node),
            "iframe" | "frame" | "video" | "audio" => self.embedded(node, tag),
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                let level = tag.strip_prefix('h').and_then(|level| level.parse::<usize>().ok()).unwrap_or(1);
                let name = format!("h{}", (level + self.setting.level).min(6));
                self.wrap(node, &name, &[]);
            }
            // In a page that was read without scripts its content counts.
            "noscript" => self.children(node),
            _ => match KEPT.iter().find(|(kept, _)| *kept == tag) {
                Some((_, attributes)) => {
                    let name = RENAMED.iter().find(|(old, _)| *old == tag).map_or(tag, |(_, new)| new);
                    self.wrap(node, name, attributes);
                }
                None => self.children(node),
            },
        }
    }

    fn wrap(&mut self, node: &Rc<Node>, name: &str, attributes: &[&str]) {
        let _ = write!(self.done.html, "<{name}");
        for attribute in ["title", "dir", "lang"].iter().chain(attributes) {
            if let Some(value) = attribute_of(node, attribute).filter(|value| value.len() <= MAX_VALUE) {
                let _ = write!(self.done.html, " {attribute}=\"{}\"", escape(&value));
            }
        }
        self.place(node);
        self.done.html.push('>');
        if !VOID.contains(&name) {
            self.children(node);
            let _ = write!(self.done.html, "</{name}>");
        }
    }

    /// The name of a place in the text, which no script and no style of the page knows.
    fn place(&mut self, node: &Rc<Node>) {
        let id = attribute_of(node, "id").filter(|id| self.setting.ids && !id.is_empty() && id.len() <= MAX_VALUE);
        if let Some(id) = id.filter(|id| !id.contains(char::is_whitespace)) {
            let _ = write!(self.done.html, " id=\"{}{}\"", super::site::STYLE.fragments, escape(&id));
        }
    }

    fn anchor(&mut self, node: &Rc<Node>) {
        let Some(address) = attribute_of(node, "href") else { return self.wrap(node, "span", &[]) };
        match self.destination(&address, false) {
            Destination::Nowhere => {
                self.wrap(node, "span", &[]);
                if !address.is_empty() {
                    let _ = write!(self.done.html, " <code class=\"address\">{}</code>", escape(&address));
                }
            }
            Destination::Local(link) if is_unsafe_to_open(&link) => {
                self.wrap(node, "span", &[]);
                let _ = write!(self.done.html, " <img src=\"{}\" alt=\"\" loading=\"lazy\">", escape(&link));
            }
            destination => {
                let _ = write!(self.done.html, "<a href=\"{}\"{}", escape(destination.link()), destination.relation());
                self.place(node);
                self.done.html.push('>');
                let before = self.done.html.len();
                // A link holds no other one.
                let bare_links = std::mem::take(&mut self.setting.bare_links);
                self.children(node);
                self.setting.bare_links = bare_links;
                if self.done.html.len() == before {
                    escape_into(&mut self.done.html, &address);
                }
                self.done.html.push_str("</a>");
            }
        }
    }

    fn image(&mut self, node: &Rc<Node>) {
        let alt = attribute_of(node, "alt").unwrap_or_default();
        // Pages that load pictures late keep the address elsewhere.
        let named =
            ["src", "data-src"].iter().find_map(|name| attribute_of(node, name).filter(|value| !value.is_empty()));
        let Some(address) = named else { return escape_into(&mut self.done.html, &alt) };
        self.done.plain.push_str(&alt);
        match self.destination(&address, true) {
            Destination::Local(link) => {
                let _ = write!(self.done.html, "<img src=\"{}\" alt=\"{}\"", escape(&link), escape(&alt));
                for size in ["width", "height"] {
                    let value = attribute_of(node, size).unwrap_or_default();
                    if !value.is_empty() && value.len() <= 4 && value.bytes().all(|byte| byte.is_ascii_digit()) {
                        let _ = write!(self.done.html, " {size}=\"{value}\"");
                    }
                }
                self.done.html.push_str(" loading=\"lazy\">");
            }
            Destination::Elsewhere(link) => {
                self.done.lost.insert("external image: not in the archive".to_owned());
                let alt = if alt.trim().is_empty() { link.as_str() } else { alt.trim() };
                let _ = write!(
                    self.done.html,
                    "<a class=\"elsewhere\" href=\"{}\" rel=\"noreferrer noopener\">image: {}</a>",
                    escape(&link),
                    escape(alt)
                );
            }
            Destination::Nowhere => {
                let _ = write!(self.done.html, "<span class=\"elsewhere\">image: {}</span>", escape(&alt));
            }
        }
    }

    fn checkbox(&mut self, node: &Rc<Node>) {
        if attribute_of(node, "type").is_some_and(|kind| kind.eq_ignore_ascii_case("checkbox")) {
            let checked = attribute_of(node, "checked").is_some();
            self.done.html.push_str(if checked { "☑ " } else { "☐ " });
        } else {
            self.done.lost.insert("forms: their fields are removed".to_owned());
        }
    }

    /// A player if the file is here, else a link.
    fn embedded(&mut self, node: &Rc<Node>, tag: &str) {
        let mut addresses: Vec<String> = attribute_of(node, "src").into_iter().collect();
        for child in node.children.borrow().iter() {
            if matches!(&child.data, NodeData::Element { name, .. } if &*name.local == "source") {
                addresses.extend(attribute_of(child, "src"));
            }
        }
        for address in addresses.iter().filter(|address| !address.is_empty()) {
            match self.destination(address, false) {
                Destination::Local(link) if !is_unsafe_to_open(&link) => {
                    let player = Media::of(&link).player();
                    let _ = match player.filter(|_| tag != "iframe") {
                        Some(player) => write!(
                            self.done.html,
                            "<{player} controls preload=\"metadata\" src=\"{}\"></{player}>",
                            escape(&link)
                        ),
                        None => write!(self.done.html, "<a href=\"{}\">{tag}</a> ", escape(&link)),
                    };
                }
                Destination::Local(_) => {}
                Destination::Elsewhere(link) => {
                    self.done.lost.insert("embedded media: kept as a link".to_owned());
                    let link = escape(&link);
                    let _ = write!(
                        self.done.html,
                        "<a class=\"elsewhere\" href=\"{link}\" rel=\"noreferrer noopener\">{tag}: {link}</a> "
                    );
                }
                Destination::Nowhere => {
                    let _ = write!(self.done.html, "<code class=\"address\">{}</code> ", escape(address));
                }
            }
        }
        self.children(node);
    }

    fn word(&mut self, word: &str) {
        let address = word.trim_end().trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '>', '"', '\'']);
        let is_address = ["https://", "http://"].iter().any(|scheme| address.starts_with(scheme));
        if let (true, destination @ (Destination::Local(_) | Destination::Elsewhere(_))) =
            (is_address, if is_address { self.destination(address, false) } else { Destination::Nowhere })
        {
            let relation = destination.relation();
            let link = escape(destination.link());
            let _ = write!(self.done.html, "<a href=\"{link}\"{relation}>{}</a>", escape(address));
            return escape_into(&mut self.done.html, word.get(address.len()..).unwrap_or_default());
        }
        escape_into(&mut self.done.html, word);
    }

    fn destination(&mut self, address: &str, is_image: bool) -> Destination {
        let external = |text: &str| match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Destination::Elsewhere(url.into()),
            Ok(url)
                if matches!(url.scheme(), "mailto" | "tel" | "sms" | "xmpp" | "ftp" | "sftp" | "geo" | "magnet") =>
            {
                if is_image {
                    Destination::Nowhere
                } else {
                    Destination::Elsewhere(url.into())
                }
            }
            // The linker lets pictures of harmless kinds alone pass.
            Ok(url) if url.scheme() == "data" && is_image => Destination::Local(url.into()),
            _ => Destination::Nowhere,
        };
        match (self.resolve)(address, is_image) {
            Resolution::Text => Destination::Nowhere,
            Resolution::Keep => match address.strip_prefix('#') {
                Some(place) if !place.is_empty() && self.setting.ids && !is_image => {
                    Destination::Local(format!("#{}{place}", super::site::STYLE.fragments))
                }
                Some(_) => Destination::Nowhere,
                None => external(address),
            },
            Resolution::To(link) if link.starts_with("http://") || link.starts_with("https://") => external(&link),
            Resolution::To(link) => Destination::Local(link),
        }
    }
}

/// Where a link leads.
enum Destination {
    /// Within the site, or on the page.
    Local(String),
    /// To another site.
    Elsewhere(String),
    /// Nowhere that is safe or known.
    Nowhere,
}

impl Destination {
    fn link(&self) -> &str {
        match self {
            Self::Local(link) | Self::Elsewhere(link) => link,
            Self::Nowhere => "",
        }
    }

    fn relation(&self) -> &'static str {
        match self {
            Self::Elsewhere(_) => " rel=\"noreferrer noopener\"",
            _ => "",
        }
    }
}

fn attribute_of(node: &Rc<Node>, name: &str) -> Option<String> {
    let NodeData::Element { attrs, .. } = &node.data else { return None };
    let attrs = attrs.borrow();
    let found = attrs.iter().find(|attribute| &*attribute.name.local == name);
    found.map(|attribute| attribute.value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::parse_html;

    /// What confuses filters: pieces of tags, of sections that browsers read by other rules, and of addresses.
    const PIECES: [&str; 44] = [
        "<",
        ">",
        "</",
        "/>",
        "\"",
        "'",
        "=",
        " ",
        "\n",
        "\0",
        "&lt;",
        "&#x6a;",
        "`",
        "x",
        "<!--",
        "-->",
        "--!>",
        "]]>",
        "<![CDATA[",
        "<script>",
        "</script>",
        "<style>",
        "</style>",
        "<title>",
        "<textarea>",
        "<noscript>",
        "<svg>",
        "<math>",
        "<mtext>",
        "<table>",
        "<td>",
        "<p title=\"",
        "<a href=\"",
        "<a id=",
        "<img src=",
        "<img src=x onerror=1 alt=\"",
        "javascript:1",
        "java\tscript:1",
        "data:text/html,1",
        "https://evil.example/",
        "<template>",
        "<plaintext>",
        "<iframe srcdoc=\"",
        "<form><input name=",
    ];

    proptest! {
        #[test]
        fn no_text_makes_a_tag_an_attribute_or_an_address_that_is_not_allowed(
            pieces in prop::collection::vec(0..PIECES.len(), 0..40),
            words: String,
        ) {
            let mut html: String = pieces.iter().filter_map(|piece| PIECES.get(*piece).copied()).collect();
            html.push_str(&words);
            let setting = Setting { level: 1, ids: true, bare_links: true };
            let cleaned = clean(&html, setting, &mut |_, _| Resolution::Keep);
            let mut nodes = vec![parse_html(&format!("<body>{}", cleaned.html)).unwrap()];
            while let Some(node) = nodes.pop() {
                nodes.extend(node.children.borrow().iter().cloned());
                let NodeData::Element { name, attrs, .. } = &node.data else {
                    prop_assert!(!matches!(&node.data, NodeData::Comment { .. }), "{html:?}: {:?}", cleaned.html);
                    continue;
                };
                let tag = &*name.local;
                let ours = ["html", "head", "body", "a", "img", "h2", "h3", "h4", "h5", "h6"];
                let known = ours.contains(&tag) || KEPT.iter().any(|(kept, _)| *kept == tag);
                prop_assert!(known && &*name.ns == "http://www.w3.org/1999/xhtml", "{html:?}: {:?}", cleaned.html);
                for attribute in attrs.borrow().iter() {
                    let (name, value) = (&*attribute.name.local, &*attribute.value);
                    let known = ["title", "dir", "lang", "id", "href", "src", "alt", "rel", "class", "loading"];
                    let of_tag = KEPT.iter().any(|(kept, names)| *kept == tag && names.contains(&name));
                    prop_assert!(known.contains(&name) || of_tag, "{name} in {html:?}: {:?}", cleaned.html);
                    if name == "href" {
                        let harmless = value.starts_with("https:") || value.starts_with("#t-");
                        prop_assert!(harmless, "{value:?} in {html:?}");
                    }
                    prop_assert!(name != "id" || value.starts_with("t-"));
                    prop_assert!(name != "src" || value.starts_with("data:"), "{value:?} in {html:?}");
                }
            }
        }
    }
}
