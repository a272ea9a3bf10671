//! The storage format of Confluence: XHTML with elements of its own, as HTML.

use std::collections::BTreeSet;

use super::blocks::Writer;
use super::html::plain_from_html;
use super::lexical::short;

/// Elements within one another that are followed.
const MAX_DEPTH: usize = 200;
/// Tags that hold nothing.
const VOID: [&str; 5] = ["br", "col", "hr", "img", "wbr"];

/// Storage format as HTML, and what did not arrive.
pub(crate) fn confluence_to_html(xml: &str) -> (String, BTreeSet<String>) {
    let mut out = Writer::default();
    if let Some(root) = parse(xml) {
        children(&mut out, &root);
    } else {
        out.text(&plain_from_html(xml));
        out.lose("formatting: the storage format nests too deep");
    }
    (out.html, out.lost)
}

/// An element, or a text without a name.
#[derive(Debug, Default)]
struct Node {
    name: String,
    attributes: Vec<(String, String)>,
    /// A text as it is to be written in HTML.
    text: String,
    children: Vec<Node>,
}

impl Node {
    fn get(&self, name: &str) -> &str {
        self.attributes.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }

    fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The value of a macro's parameter.
    fn parameter(&self, name: &str) -> String {
        let found = self.children.iter().find(|child| child.name == "ac:parameter" && child.get("ac:name") == name);
        found.map(Node::words).unwrap_or_default()
    }

    fn words(&self) -> String {
        let mut words = plain_from_html(&self.text);
        for child in &self.children {
            words.push_str(&child.words());
        }
        words
    }
}

/// The tree of a text; what is not closed ends with what is around it. `None` if it nests too deep.
fn parse(xml: &str) -> Option<Node> {
    let mut open = vec![Node::default()];
    let mut rest = xml;
    while let Some(start) = rest.find('<') {
        let (text, tail) = rest.split_at(start);
        add_text(&mut open, text.to_owned());
        if let Some(section) = tail.strip_prefix("<![CDATA[") {
            let (text, after) = section.split_once("]]>").unwrap_or((section, ""));
            let mut escaped = Writer::default();
            escaped.text(text);
            add_text(&mut open, escaped.html);
            rest = after;
            continue;
        }
        if let Some(comment) = tail.strip_prefix("<!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        let Some((tag, after)) = cut_tag(tail) else {
            add_text(&mut open, "&lt;".to_owned());
            rest = tail.get(1..).unwrap_or_default();
            continue;
        };
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            close(&mut open, &name.trim().to_ascii_lowercase());
            continue;
        }
        let is_closed = tag.ends_with('/');
        let node = element(tag.trim_end_matches('/'));
        if is_closed || VOID.contains(&node.name.as_str()) {
            open.last_mut()?.children.push(node);
        } else {
            open.push(node);
        }
        if open.len() > MAX_DEPTH {
            return None;
        }
    }
    add_text(&mut open, rest.to_owned());
    while open.len() > 1 {
        end(&mut open);
    }
    open.pop()
}

/// The inside of a tag at the start of a text, and what follows; quoted values may hold `>`.
fn cut_tag(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('<')?;
    if !inside.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/') {
        return None;
    }
    let mut quote = None;
    for (index, byte) in inside.bytes().enumerate() {
        match (quote, byte) {
            (Some(own), _) if own == byte => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'>') => return Some((inside.get(..index)?, inside.get(index + 1..)?)),
            _ => {}
        }
    }
    None
}

fn element(tag: &str) -> Node {
    let end = tag.find(char::is_whitespace).unwrap_or(tag.len());
    let (name, mut rest) = tag.split_at(end);
    let mut attributes = Vec::new();
    while let Some((name, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let Some(quote) = after.chars().next().filter(|quote| matches!(quote, '"' | '\'')) else { break };
        let Some((value, tail)) = after.get(1..).and_then(|value| value.split_once(quote)) else { break };
        attributes.push((name.trim().to_ascii_lowercase(), plain_from_html(value)));
        rest = tail;
    }
    Node { name: name.to_ascii_lowercase(), attributes, ..Node::default() }
}

fn add_text(open: &mut [Node], text: String) {
    if let (false, Some(last)) = (text.is_empty(), open.last_mut()) {
        last.children.push(Node { text, ..Node::default() });
    }
}

fn close(open: &mut Vec<Node>, name: &str) {
    if open.iter().skip(1).any(|node| node.name == name) {
        while open.last().is_some_and(|node| node.name != name) {
            end(open);
        }
        end(open);
    }
}

fn end(open: &mut Vec<Node>) {
    if let Some(node) = open.pop()
        && let Some(parent) = open.last_mut()
    {
        parent.children.push(node);
    }
}

fn children(out: &mut Writer, node: &Node) {
    for child in &node.children {
        one(out, child);
    }
}

fn one(out: &mut Writer, node: &Node) {
    match node.name.as_str() {
        "" => out.html.push_str(&node.text),
        "ac:structured-macro" | "ac:macro" => of_macro(out, node),
        "ac:link" => link(out, node),
        "ac:image" => image(out, node),
        "ac:task-list" => wrap(out, node, "ul"),
        "ac:task" => {
            out.tag("li");
            let is_done = node.child("ac:task-status").is_some_and(|status| status.words().trim() == "complete");
            out.text(if is_done { "☑ " } else { "☐ " });
            if let Some(body) = node.child("ac:task-body") {
                children(out, body);
            }
            out.tag("/li");
        }
        "ac:emoticon" => {
            let fallback = node.get("ac:emoji-fallback");
            out.text(if fallback.is_empty() { node.get("ac:name") } else { fallback });
        }
        "ac:layout-section" => {
            if node.children.iter().filter(|child| child.name == "ac:layout-cell").count() > 1 {
                out.lose("columns: below one another");
            }
            children(out, node);
        }
        "ac:layout-cell" => wrap(out, node, "div"),
        "ac:parameter" | "ac:placeholder" | "ac:task-id" | "ac:adf-attribute" => {}
        "ac:adf-node" => {
            if node.child("ac:adf-content").is_some() {
                children(out, node);
            }
        }
        "time" if node.children.is_empty() => out.text(node.get("datetime")),
        name if name.starts_with("ri:") => {}
        name if name.starts_with("ac:") => children(out, node),
        name => {
            let attributes: Vec<(&str, &str)> =
                node.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            out.begin(name, &attributes);
            if !VOID.contains(&name) {
                children(out, node);
                out.tag(&format!("/{name}"));
            }
        }
    }
}

fn wrap(out: &mut Writer, node: &Node, tag: &str) {
    out.tag(tag);
    children(out, node);
    out.tag(&format!("/{tag}"));
}

fn of_macro(out: &mut Writer, node: &Node) {
    let name = node.get("ac:name");
    let title = node.parameter("title");
    let body = node.child("ac:rich-text-body");
    match (name, body) {
        ("code" | "noformat", _) => {
            out.code(&node.child("ac:plain-text-body").map(Node::words).unwrap_or_default());
        }
        ("info" | "note" | "tip" | "warning" | "panel", Some(body)) => {
            out.tag("blockquote");
            if !title.is_empty() {
                out.html.push_str("<p><b>");
                out.text(&title);
                out.html.push_str("</b></p>");
            }
            children(out, body);
            out.tag("/blockquote");
        }
        ("expand", Some(body)) => {
            out.html.push_str("<details><summary>");
            out.text(&title);
            out.tag("/summary");
            children(out, body);
            out.tag("/details");
        }
        ("status", _) => out.text(&title),
        ("excerpt" | "section" | "column" | "details", Some(body)) => children(out, body),
        (_, Some(body)) => {
            out.lose(format!("macro `{}`: its text alone", short(name)));
            children(out, body);
        }
        (_, None) => {
            out.lose(format!("macro `{}`: what it shows is not in the text", short(name)));
            let shown = ["key", "name", "url"].map(|name| node.parameter(name));
            out.text(shown.iter().find(|shown| !shown.is_empty()).map_or("", String::as_str));
        }
    }
}

fn link(out: &mut Writer, node: &Node) {
    let page = node.child("ri:page").or_else(|| node.child("ri:blog-post"));
    let title = page.map_or("", |page| page.get("ri:content-title"));
    let file = node.child("ri:attachment").map_or("", |file| file.get("ri:filename"));
    let url = node.child("ri:url").map_or("", |url| url.get("ri:value"));
    let user = node.child("ri:user").map_or("", |user| user.get("ri:account-id"));
    let address = match (file, url, node.get("ac:anchor")) {
        ("", "", "") => String::new(),
        ("", "", anchor) if page.is_none() => format!("#{anchor}"),
        ("", "", _) => String::new(),
        ("", url, _) => url.to_owned(),
        (file, ..) => format!("attachment:{}", encoded(file)),
    };
    if address.is_empty() && page.is_some() {
        out.lose("links to pages by their title: as text");
    } else if !address.is_empty() {
        out.begin("a", &[("href", &address)]);
    }
    if let Some(body) = node.child("ac:plain-text-link-body").or_else(|| node.child("ac:link-body")) {
        children(out, body);
    } else {
        let words = [title, file, url, user, node.get("ac:anchor")];
        out.text(words.into_iter().find(|words| !words.is_empty()).unwrap_or_default());
    }
    if !address.is_empty() {
        out.tag("/a");
    }
}

fn image(out: &mut Writer, node: &Node) {
    let address = match (node.child("ri:attachment"), node.child("ri:url")) {
        (Some(file), _) => format!("attachment:{}", encoded(file.get("ri:filename"))),
        (None, Some(url)) => url.get("ri:value").to_owned(),
        (None, None) => String::new(),
    };
    let caption = node.child("ac:caption").map(Node::words).unwrap_or_default();
    out.picture(&address, node.get("ac:alt"), &caption);
}

/// A file name in an address.
fn encoded(name: &str) -> String {
    name.replace('%', "%25")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_its_own_become_tags() {
        let xml = r#"<p>A &amp; B<br/><ac:emoticon ac:name="smile" ac:emoji-fallback="🙂"/></p>
<ac:structured-macro ac:name="code"><ac:parameter ac:name="language">c</ac:parameter><ac:plain-text-body><![CDATA[if (a < b) "]]></ac:plain-text-body></ac:structured-macro>
<ac:structured-macro ac:name="info"><ac:parameter ac:name="title">Look</ac:parameter><ac:rich-text-body><p>in <b>it</b></p></ac:rich-text-body></ac:structured-macro>
<ac:link><ri:page ri:content-title="Other &amp; page"/><ac:plain-text-link-body><![CDATA[there]]></ac:plain-text-link-body></ac:link>
<ac:link><ri:attachment ri:filename="a b.pdf"/></ac:link>
<ac:image ac:alt="cat"><ri:attachment ri:filename="cat.png"/></ac:image>
<ac:task-list><ac:task><ac:task-id>1</ac:task-id><ac:task-status>complete</ac:task-status><ac:task-body>done</ac:task-body></ac:task></ac:task-list>
<ac:structured-macro ac:name="toc"/><time datetime="2026-01-05"/> 1 < 2 <p>open"#;
        let (html, lost) = confluence_to_html(xml);
        let expected = r#"<p>A &amp; B<br>🙂</p>
<pre><code>if (a &lt; b) "</code></pre>
<blockquote><p><b>Look</b></p><p>in <b>it</b></p></blockquote>
there
<a href="attachment:a b.pdf">a b.pdf</a>
<figure><img src="attachment:cat.png" alt="cat"></figure>
<ul><li>☑ done</li></ul>
2026-01-05 1 &lt; 2 <p>open</p>"#;
        assert_eq!(html, expected.replace("b) \"", "b) &quot;"));
        assert_eq!(
            lost.into_iter().collect::<Vec<_>>(),
            ["links to pages by their title: as text", "macro `toc`: what it shows is not in the text"]
        );
        let (html, lost) = confluence_to_html(&"<ac:layout>x".repeat(1000));
        assert!(html.starts_with("xxx") && lost.len() == 1);
    }
}
