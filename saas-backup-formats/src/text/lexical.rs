//! Lexical, the editor of Ghost, Payload and others: a tree of JSON under `root`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::blocks::Writer;

/// The marks of a text, by the bits of its `format`.
const MARKS: [(u64, &str); 8] =
    [(1, "b"), (2, "i"), (4, "s"), (8, "u"), (16, "code"), (32, "sub"), (64, "sup"), (128, "mark")];

/// Lexical as HTML, and what did not arrive; `None` if it is something else.
pub(crate) fn lexical_to_html(json: &str) -> Option<(String, BTreeSet<String>)> {
    let tree: Value = serde_json::from_str(json).ok()?;
    let root = tree.get("root").filter(|root| root.is_object())?;
    let mut out = Writer::default();
    children(&mut out, root);
    Some((out.html, out.lost))
}

fn children(out: &mut Writer, node: &Value) {
    for child in node.get("children").and_then(Value::as_array).into_iter().flatten() {
        block(out, child);
    }
}

fn block(out: &mut Writer, node: &Value) {
    let text = |name: &str| node.get(name).and_then(Value::as_str).unwrap_or_default();
    match text("type") {
        "text" | "extended-text" | "code-highlight" => marked(out, node, text("text")),
        "linebreak" => out.tag("br"),
        "tab" => out.text("\t"),
        "paragraph" => wrap(out, node, "p"),
        "heading" | "extended-heading" => {
            let tag = Some(text("tag")).filter(|tag| matches!(*tag, "h1" | "h2" | "h3" | "h4" | "h5" | "h6"));
            wrap(out, node, tag.unwrap_or("h2"));
        }
        "quote" | "extended-quote" | "aside" => wrap(out, node, "blockquote"),
        "list" => wrap(out, node, if text("listType") == "number" || text("tag") == "ol" { "ol" } else { "ul" }),
        "listitem" => {
            out.tag("li");
            if let Some(checked) = node.get("checked").and_then(Value::as_bool) {
                out.text(if checked { "☑ " } else { "☐ " });
            }
            children(out, node);
            out.tag("/li");
        }
        "link" | "autolink" => {
            let fields = node.get("fields").and_then(|fields| fields.get("url")).and_then(Value::as_str);
            out.begin("a", &[("href", fields.unwrap_or(text("url")))]);
            children(out, node);
            out.tag("/a");
        }
        "table" => wrap(out, node, "table"),
        "tablerow" => wrap(out, node, "tr"),
        "tablecell" => {
            let is_header = node.get("headerState").and_then(Value::as_u64) > Some(0);
            wrap(out, node, if is_header { "th" } else { "td" });
        }
        "horizontalrule" | "divider" => out.tag("hr"),
        "codeblock" => out.code(text("code")),
        "code" => {
            out.html.push_str("<pre><code>");
            children(out, node);
            out.html.push_str("</code></pre>");
        }
        "image" => out.picture(text("src"), text("alt"), text("caption")),
        "gallery" => {
            for image in node.get("images").and_then(Value::as_array).into_iter().flatten() {
                let of = |name: &str| image.get(name).and_then(Value::as_str).unwrap_or_default();
                out.picture(of("src"), of("alt"), of("caption"));
            }
        }
        "html" => out.html.push_str(text("html")),
        "markdown" => out.html.push_str(&super::markdown_to_html(text("markdown"))),
        "toggle" => {
            out.html.push_str("<details><summary>");
            out.html.push_str(text("heading"));
            out.html.push_str("</summary>");
            out.html.push_str(text("content"));
            out.html.push_str("</details>");
        }
        "callout" => {
            out.tag("blockquote");
            out.html.push_str(text("calloutText"));
            children(out, node);
            out.tag("/blockquote");
        }
        "button" => out.link_block(text("buttonUrl"), text("buttonText")),
        "video" | "audio" | "file" | "embed" | "bookmark" => {
            let metadata = node.get("metadata").and_then(|of| of.get("title")).and_then(Value::as_str);
            let address = ["src", "url"].iter().map(|name| text(name)).find(|address| !address.is_empty());
            let name = ["fileName", "title", "caption"].iter().map(|name| text(name)).find(|name| !name.is_empty());
            out.link_block(address.unwrap_or_default(), metadata.or(name).unwrap_or_default());
            out.lose("embedded media: kept as a link");
        }
        "root" => children(out, node),
        other => {
            out.lose(format!("block `{}`: its text alone", short(other)));
            children(out, node);
        }
    }
}

/// The name of a kind, which is anybody's text.
pub(super) fn short(name: &str) -> String {
    name.chars().filter(|character| character.is_alphanumeric() || matches!(character, '-' | '_')).take(40).collect()
}

fn wrap(out: &mut Writer, node: &Value, tag: &str) {
    out.tag(tag);
    children(out, node);
    out.tag(&format!("/{tag}"));
}

fn marked(out: &mut Writer, node: &Value, text: &str) {
    let format = node.get("format").and_then(Value::as_u64).unwrap_or(0);
    let marks: Vec<&str> = MARKS.iter().filter(|(bit, _)| format & bit != 0).map(|(_, tag)| *tag).collect();
    for mark in &marks {
        out.tag(mark);
    }
    out.text(text);
    for mark in marks.iter().rev() {
        out.tag(&format!("/{mark}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_become_tags_and_unknown_ones_their_text() {
        let json = serde_json::json!({ "root": { "children": [
            { "type": "heading", "tag": "h3", "children": [{ "type": "text", "text": "A <b>", "format": 3 }] },
            { "type": "paragraph", "children": [
                { "type": "link", "url": "https://x.example/?a=1&b=\"2\"", "children": [{ "type": "text", "text": "link" }] },
                { "type": "linebreak" },
            ] },
            { "type": "list", "listType": "check", "children": [
                { "type": "listitem", "checked": true, "children": [{ "type": "text", "text": "done" }] },
            ] },
            { "type": "codeblock", "code": "a < b" },
            { "type": "image", "src": "https://x.example/a.png", "alt": "A", "caption": "below" },
            { "type": "paywall" },
            { "type": "strange <x>", "children": [{ "type": "text", "text": "kept" }] },
        ] } });
        let (html, lost) = lexical_to_html(&json.to_string()).unwrap();
        assert_eq!(
            html,
            "<h3><b><i>A &lt;b&gt;</i></b></h3><p><a href=\"https://x.example/?a=1&amp;b=&quot;2&quot;\">link</a><br></p>\
             <ul><li>☑ done</li></ul><pre><code>a &lt; b</code></pre><figure><img src=\"https://x.example/a.png\" alt=\"A\">\
             <figcaption>below</figcaption></figure>kept"
        );
        assert_eq!(
            lost.into_iter().collect::<Vec<_>>(),
            ["block `paywall`: its text alone", "block `strangex`: its text alone"]
        );
        assert_eq!(lexical_to_html("[]"), None);
    }
}
