use std::collections::BTreeSet;
use std::ops::Range;

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

use super::rewrite::markdown_options;

/// What begins a shortcode of [Hugo](https://gohugo.io/content-management/shortcodes/), in code, too: one that it does
/// not know ends the build of the whole site.
const OPENINGS: [&str; 2] = ["{{<", "{{%"];
/// Stands between two braces in code, where nothing can be escaped: a sign without width that joins words.
const JOINED: &str = "{\u{2060}{";

/// Keeps Hugo from taking a part of a text for a shortcode.
pub(crate) fn without_shortcodes(markdown: String, lost: &mut BTreeSet<String>) -> String {
    if !OPENINGS.iter().any(|opening| markdown.contains(opening)) {
        return markdown;
    }
    let code = code_ranges(&markdown);
    let mut out = String::with_capacity(markdown.len() + 16);
    let mut rest = 0;
    while let Some(at) = next_opening(&markdown, rest) {
        out.push_str(markdown.get(rest..at).unwrap_or_default());
        if code.iter().any(|range| range.contains(&at)) {
            lost.insert("code: an invisible sign stands between the braces of what Hugo would run".to_owned());
            out.push_str(JOINED);
        } else {
            out.push_str("{{\\");
        }
        rest = at + 2;
    }
    out.push_str(markdown.get(rest..).unwrap_or_default());
    out
}

/// The same for the text of a code span.
pub(super) fn joined(code: &str) -> String {
    OPENINGS.iter().fold(code.to_owned(), |code, opening| {
        code.replace(opening, &format!("{JOINED}{}", opening.trim_start_matches('{')))
    })
}

fn next_opening(markdown: &str, from: usize) -> Option<usize> {
    let rest = markdown.get(from..)?;
    OPENINGS.iter().filter_map(|opening| rest.find(opening)).min().map(|at| from + at)
}

fn code_ranges(markdown: &str) -> Vec<Range<usize>> {
    let (mut ranges, mut begin) = (Vec::new(), None);
    for (event, range) in Parser::new_ext(markdown, markdown_options()).into_offset_iter() {
        match event {
            Event::Code(_) => ranges.push(range),
            Event::Start(Tag::CodeBlock(_)) => begin = Some(range.start),
            Event::End(TagEnd::CodeBlock) => ranges.extend(begin.take().map(|begin| begin..range.end)),
            _ => {}
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(markdown: &str) -> (String, usize) {
        let mut lost = BTreeSet::new();
        (without_shortcodes(markdown.to_owned(), &mut lost), lost.len())
    }

    #[test]
    fn text_is_escaped_and_code_gets_an_invisible_sign() {
        assert_eq!(kept("a {{% b %}} {{{< c >}}"), ("a {{\\% b %}} {{{\\< c >}}".to_owned(), 0));
        assert_eq!(kept("`{{< a >}}` {{ b }}"), ("`{\u{2060}{< a >}}` {{ b }}".to_owned(), 1));
        assert_eq!(kept("```\n{{% a\n```\n{{%"), ("```\n{\u{2060}{% a\n```\n{{\\%".to_owned(), 1));
        assert_eq!(kept("    {{< a"), ("    {\u{2060}{< a".to_owned(), 1));
    }

    #[test]
    fn nothing_that_begins_a_shortcode_is_left() {
        for text in ["{{{{<", "{{<{{%", "{{%{{%", "`{{{%`", "{{\\%"] {
            let (kept, _) = kept(text);
            assert!(OPENINGS.iter().all(|opening| !kept.contains(opening)), "{kept}");
        }
    }
}
