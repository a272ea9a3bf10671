//! Blocks of Notion: an array of objects, what stands below one in its `children`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::blocks::Writer;
use super::lexical::short;

/// Blocks as HTML, and what did not arrive; `None` if it is something else.
pub(crate) fn notion_to_html(json: &str) -> Option<(String, BTreeSet<String>)> {
    let tree: Value = serde_json::from_str(json).ok()?;
    let blocks =
        tree.as_array().or_else(|| tree.get("children")?.as_array()).or_else(|| tree.get("results")?.as_array())?;
    let mut out = Writer::default();
    list(&mut out, blocks);
    Some((out.html, out.lost))
}

/// Blocks in their order; items that follow each other are one list.
fn list(out: &mut Writer, blocks: &[Value]) {
    let mut open = "";
    for block in blocks {
        let kind = block.get("type").and_then(Value::as_str).unwrap_or_default();
        let tag = match kind {
            "bulleted_list_item" | "to_do" => "ul",
            "numbered_list_item" => "ol",
            _ => "",
        };
        if tag != open {
            if !open.is_empty() {
                out.tag(&format!("/{open}"));
            }
            if !tag.is_empty() {
                out.tag(tag);
            }
            open = tag;
        }
        one(out, block, kind);
    }
    if !open.is_empty() {
        out.tag(&format!("/{open}"));
    }
}

fn one(out: &mut Writer, block: &Value, kind: &str) {
    let none = Value::Null;
    let content = block.get(kind).unwrap_or(&none);
    match kind {
        "paragraph" => wrap(out, block, content, "p"),
        "heading_1" => wrap(out, block, content, "h2"),
        "heading_2" => wrap(out, block, content, "h3"),
        "heading_3" => wrap(out, block, content, "h4"),
        "quote" | "callout" => wrap(out, block, content, "blockquote"),
        "bulleted_list_item" | "numbered_list_item" => inside(out, block, content, "li", ""),
        "to_do" => {
            let checked = content.get("checked").and_then(Value::as_bool).unwrap_or(false);
            inside(out, block, content, "li", if checked { "☑ " } else { "☐ " });
        }
        "toggle" => {
            out.html.push_str("<details><summary>");
            rich(out, content.get("rich_text"));
            out.tag("/summary");
            below(out, block, content);
            out.tag("/details");
        }
        "code" => out.code(&plain(content.get("rich_text"))),
        "equation" => out.code(content.get("expression").and_then(Value::as_str).unwrap_or_default()),
        "divider" => out.tag("hr"),
        "image" => out.picture(address(content), "", &plain(content.get("caption"))),
        "file" | "pdf" | "video" | "audio" | "bookmark" | "embed" | "link_preview" => {
            let name = content
                .get("name")
                .and_then(Value::as_str)
                .map_or_else(|| plain(content.get("caption")), str::to_owned);
            out.link_block(address(content), &name);
        }
        "table" => {
            out.tag("table");
            below(out, block, content);
            out.tag("/table");
        }
        "table_row" => {
            out.tag("tr");
            for cell in content.get("cells").and_then(Value::as_array).into_iter().flatten() {
                out.tag("td");
                rich(out, Some(cell));
                out.tag("/td");
            }
            out.tag("/tr");
        }
        "child_page" | "child_database" => {
            out.tag("p");
            out.text(content.get("title").and_then(Value::as_str).unwrap_or_default());
            out.tag("/p");
        }
        "table_of_contents" | "breadcrumb" => {}
        _ => {
            match kind {
                "column_list" | "column" | "synced_block" => out.lose("columns and synced blocks: below one another"),
                _ => out.lose(format!("block `{}`: its text alone", short(kind))),
            }
            rich(out, content.get("rich_text"));
            below(out, block, content);
        }
    }
}

fn wrap(out: &mut Writer, block: &Value, content: &Value, tag: &str) {
    out.tag(tag);
    rich(out, content.get("rich_text"));
    out.tag(&format!("/{tag}"));
    below(out, block, content);
}

fn inside(out: &mut Writer, block: &Value, content: &Value, tag: &str, before: &str) {
    out.tag(tag);
    out.text(before);
    rich(out, content.get("rich_text"));
    below(out, block, content);
    out.tag(&format!("/{tag}"));
}

fn below(out: &mut Writer, block: &Value, content: &Value) {
    match block.get("children").or_else(|| content.get("children")).and_then(Value::as_array) {
        Some(children) => list(out, children),
        None if block.get("has_children").and_then(Value::as_bool) == Some(true) => {
            out.lose("what stands below a block: not in the record");
        }
        None => {}
    }
}

fn rich(out: &mut Writer, text: Option<&Value>) {
    for part in text.and_then(Value::as_array).into_iter().flatten() {
        let is =
            |mark: &str| part.get("annotations").and_then(|of| of.get(mark)).and_then(Value::as_bool) == Some(true);
        let marks = [("bold", "b"), ("italic", "i"), ("strikethrough", "s"), ("underline", "u"), ("code", "code")];
        let marks: Vec<&str> = marks.iter().filter(|(mark, _)| is(mark)).map(|(_, tag)| *tag).collect();
        let href = part.get("href").and_then(Value::as_str);
        if let Some(href) = href {
            out.begin("a", &[("href", href)]);
        }
        for mark in &marks {
            out.tag(mark);
        }
        let words = part.get("plain_text").and_then(Value::as_str);
        out.text(words.or_else(|| part.get("text")?.get("content")?.as_str()).unwrap_or_default());
        for mark in marks.iter().rev() {
            out.tag(&format!("/{mark}"));
        }
        if href.is_some() {
            out.tag("/a");
        }
    }
}

fn plain(text: Option<&Value>) -> String {
    let parts = text.and_then(Value::as_array).into_iter().flatten();
    parts.filter_map(|part| part.get("plain_text")?.as_str()).collect()
}

/// Where a file is: at Notion, or elsewhere.
fn address(content: &Value) -> &str {
    let of = |name: &str| content.get(name).and_then(|file| file.get("url")).and_then(Value::as_str);
    of("file").or_else(|| of("external")).or_else(|| content.get("url")?.as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_become_tags_and_items_one_list() {
        let text =
            |text: &str| serde_json::json!([{ "plain_text": text, "annotations": { "bold": true }, "href": null }]);
        let json = serde_json::json!([
            { "type": "heading_1", "heading_1": { "rich_text": text("A & B") } },
            { "type": "bulleted_list_item", "bulleted_list_item": { "rich_text": text("one") }, "children": [
                { "type": "to_do", "to_do": { "rich_text": text("two"), "checked": true } },
            ] },
            { "type": "bulleted_list_item", "bulleted_list_item": { "rich_text": text("three") } },
            { "type": "image", "image": { "type": "external", "external": { "url": "https://x.example/a.png" }, "caption": [] } },
            { "type": "table", "table": {}, "children": [{ "type": "table_row", "table_row": { "cells": [text("c")] } }] },
            { "type": "column_list", "column_list": {}, "has_children": true },
        ]);
        let (html, lost) = notion_to_html(&json.to_string()).unwrap();
        assert_eq!(
            html,
            "<h2><b>A &amp; B</b></h2><ul><li><b>one</b><ul><li>☑ <b>two</b></li></ul></li><li><b>three</b></li></ul>\
             <figure><img src=\"https://x.example/a.png\" alt=\"\"></figure><table><tr><td><b>c</b></td></tr></table>"
        );
        assert_eq!(
            lost.into_iter().collect::<Vec<_>>(),
            ["columns and synced blocks: below one another", "what stands below a block: not in the record"]
        );
        assert_eq!(notion_to_html("\"x\""), None);
    }
}
