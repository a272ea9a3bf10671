use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn rewritten(markdown: &str) -> (String, BTreeSet<String>) {
    let mut lost = BTreeSet::new();
    let text = rewrite(markdown, &mut lost, &mut |address, _| match address {
        "bad" => Resolution::Text,
        address if address.starts_with("old") => Resolution::To(address.replace("old", "new")),
        _ => Resolution::Keep,
    });
    (text, lost)
}

fn html(text: &str) -> String {
    html_to_markdown(text).0
}

#[test]
fn every_kind_of_link_is_rewritten_and_the_rest_stays_byte_for_byte() {
    let cases = [
        ("[a](old)", "[a](new)"),
        ("[a]( <old x> 'title' )", "[a]( new x 'title' )"),
        ("[a\\](x](old \"t\") b", "[a\\](x](new \"t\") b"),
        ("![i](old1) and ![j](keep)", "![i](new1) and ![j](keep)"),
        ("[![i](old1)](old2)", "[![i](new1)](new2)"),
        ("[`](`](old)", "[`](`](new)"),
        ("[a][r] [r][] [r]\n\n[r]: old \"t\"\n", "[a][r] [r][] [r]\n\n[r]: new \"t\"\n"),
        ("[a](old(1))", "[a](new(1))"),
        ("    [a](old)\n", "    [a](old)\n"),
        ("`[a](old)` \\[a](old)", "`[a](old)` \\[a](old)"),
        ("> - [a](old)\r\n", "> - [a](new)\r\n"),
        ("| [a](old) |\n| --- |\n| [b](old2) |\n", "| [a](new) |\n| --- |\n| [b](new2) |\n"),
        ("[](old)", "[](new)"),
        ("[a](bad)", "a (`bad`)"),
        ("[a **b**](bad) c", "a **b** (`bad`) c"),
        ("![a](bad)", "a (`bad`)"),
        ("x  \ny\t* z", "x  \ny\t* z"),
    ];
    for (markdown, expected) in cases {
        assert_eq!(rewritten(markdown), (expected.to_owned(), BTreeSet::new()), "{markdown:?}");
    }
}

#[test]
fn tables_keep_every_cell_with_a_header_and_without() {
    let cases = [
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "| | |\n| --- | --- |\n| a | b |\n| c | |"),
        (
            "<table><thead><tr><th>A</th><th>B</th></tr></thead><tr><td>1<td>2</table>",
            "| A | B |\n| --- | --- |\n| 1 | 2 |",
        ),
        (
            "<table><tr><th>k</th><td>v</td></tr><tr><th>l</th><td>w</td></tr></table>",
            "| | |\n| --- | --- |\n| k | v |\n| l | w |",
        ),
        (
            "<table><caption>C</caption><tr><td>x|y<br>z</td><td><p>p</p><p>q</p></td></tr></table>",
            "C\n\n| | |\n| --- | --- |\n| x\\|y z | p q |",
        ),
        ("<table><tr><td><p>only</p></td></tr><tr><td>text</td></tr></table>", "only\n\ntext"),
        (
            "<table><tr><td><table><tr><td>a<td>b</table></td><td>c</td></tr></table>",
            "| | |\n| --- | --- |\n| a | b |\n\nc",
        ),
    ];
    for (table, expected) in cases {
        assert_eq!(html(table).trim(), expected, "{table}");
    }
    let markdown = html(cases[0].0);
    let first = pulldown_cmark::Parser::new_ext(&markdown, markdown_options()).next();
    assert!(matches!(first, Some(pulldown_cmark::Event::Start(pulldown_cmark::Tag::Table(_)))), "{first:?}");
}

#[test]
fn html_in_markdown_becomes_markdown_or_text() {
    let (text, lost) = rewritten("H<sub>2</sub>O<br>x <span onclick=\"x()\">y</span>");
    assert_eq!(text, "H<sub>2</sub>O<br>x y");
    assert_eq!(lost, BTreeSet::from(["HTML in Markdown: tags removed".to_owned()]));
    assert_eq!(rewritten("a <img src=\"old.png\" onerror=\"x()\"> b").0, "a ![](new.png) b");
    let (text, lost) = rewritten("<div><a href=\"old\">a</a><script>x()</script></div>\n\nb\n");
    assert_eq!(text, "[a](new)\n\nb\n");
    assert_eq!(lost, BTreeSet::from(["scripts: removed".to_owned()]));
    assert_eq!(rewritten("- <div>\n  <script>x</script>\n").0, "- &lt;div>\n  &lt;script>x&lt;/script>\n");
    assert_eq!(rewritten("> <ul><li>[a](bad)").0, "> &lt;ul>&lt;li>\\[a\\](bad)");
}

#[test]
fn a_link_that_an_edit_brings_about_is_resolved_too() {
    assert_eq!(rewritten("`[a](old)`<a href='x'>`").0, "`[a](new)``");
    assert_eq!(rewritten("`[a](bad)`<a href='x'>`").0, "`a (`bad`)``");
    assert_eq!(rewritten("[b](old) [a](new)").0, "[b](new) [a](new)");
}

#[test]
fn html_reads_as_markdown() {
    let cases = [
        ("<h1>A</h1><p>b <b>c</b> <i>d</i></p>", "# A\n\nb **c** *d*"),
        ("<p>1 &lt; 2 &amp; <code>x`y</code></p>", "1 < 2 & ``x`y``"),
        ("<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>", "\\<script>alert(1)\\</script>"),
        ("<a href='x y'>a</a>", "[a](x%20y)"),
        ("<a href='java&#10;script:x'>a</a>", "[a](javascript:x)"),
        ("<a href='x)y'><h2>Big</h2><p>link</p></a>", "[Big link](x\\)y)"),
        ("<a name=top></a>text", "text"),
        ("<input type=checkbox checked>done", "[x] done"),
        ("<table><tr><th>a</th></tr><tr><td>1|2</td></tr></table>", "| a |\n| --- |\n| 1\\|2 |"),
        ("plain & simple", "plain & simple"),
        ("<p>unclosed <b>bold", "unclosed **bold**"),
        ("", ""),
    ];
    for (source, expected) in cases {
        assert_eq!(html(source), expected, "{source:?}");
    }
}

#[test]
fn hostile_html_costs_its_formatting_and_not_the_export() {
    let deep = format!("{}x{}", "<div>".repeat(100_000), "</div>".repeat(100_000));
    let reopened = format!("{}{}", "<font color=1>".repeat(500), "<p>x".repeat(20_000));
    let many = "<b>x</b>".repeat(150_000);
    let large = "x <i>y</i> ".repeat(1_000_000);
    for bomb in [deep, reopened, many, large] {
        let (text, lost) = html_to_markdown(&bomb);
        assert_eq!(lost.len(), 1, "{lost:?}");
        assert!(text.contains('x') && !text.contains("<b>") && !text.contains("<div>"));
    }
    // Lists and unclosed paragraphs are no bombs.
    assert_eq!(html_to_markdown(&"<p>x<li>y".repeat(1000)).1.len(), 0);
}

#[test]
fn what_nests_as_deep_as_allowed_fits_the_stack() {
    let lists = format!("{}x{}", "<ul><li>".repeat(190), "</li></ul>".repeat(190));
    let (text, lost) = html_to_markdown(&lists);
    assert!(text.contains('x') && lost.is_empty(), "{lost:?}");
    let tables = "<table><tr><td>".repeat(190);
    assert_eq!(html_to_markdown(&tables).1.len(), 1, "a table nests four deep");
}

/// Pieces that parsers stumble over, more often than random text has them.
fn markup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "[",
            "]",
            "(",
            ")",
            "](",
            "![",
            "<",
            ">",
            "`",
            "``",
            "\\",
            "*",
            "_",
            "\n",
            "\n\n",
            "> ",
            "- ",
            "1. ",
            "    ",
            "|",
            "[a](old)",
            "[r]: old 't'\n",
            "<a href='old'>",
            "</a>",
            "<b>",
            "<div>",
            "<script>",
            "<img src=old>",
            "<!--",
            "-->",
            "<ul><li>",
            "</ul>",
            "<table><tr><th>",
            "<td>",
            "</table>",
            "&amp;",
            "&#0;",
            "<![CDATA[",
            "<?x?>",
            "```",
            "~~~",
            "#",
            "é",
            "\u{202e}",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
        "[a-z ]{0,8}",
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_kept_is_kept_byte_for_byte(text in markup()) {
        let mut lost = BTreeSet::new();
        let kept = rewrite(&text, &mut lost, &mut |_, _| Resolution::Keep);
        let has_html = pulldown_cmark::Parser::new_ext(&text, markdown_options())
            .any(|event| matches!(event, pulldown_cmark::Event::Html(_) | pulldown_cmark::Event::InlineHtml(_)));
        prop_assert!(has_html || kept == text);
    }

    #[test]
    fn no_link_keeps_an_address_that_is_not_allowed(text in markup(), is_html: bool) {
        let markdown = if is_html { html_to_markdown(&text).0 } else { text };
        let mut lost = BTreeSet::new();
        let mut resolve = |address: &str, _: bool| if address == "old" { Resolution::To("new".to_owned()) } else { Resolution::Text };
        let rewritten = rewrite(&markdown, &mut lost, &mut resolve);
        for event in pulldown_cmark::Parser::new_ext(&rewritten, markdown_options()) {
            match event {
                pulldown_cmark::Event::Start(
                    pulldown_cmark::Tag::Link { dest_url, .. } | pulldown_cmark::Tag::Image { dest_url, .. },
                ) => prop_assert!(matches!(&*dest_url, "new" | "#"), "{dest_url:?} in {rewritten:?} of {markdown:?}"),
                pulldown_cmark::Event::Html(html) | pulldown_cmark::Event::InlineHtml(html) => {
                    prop_assert!(!html.contains("script") && !html.contains('='), "{html:?} in {rewritten:?} of {markdown:?}");
                }
                _ => {}
            }
        }
    }

    #[test]
    fn plain_text_shows_no_link_and_no_html(text in markup()) {
        for shown in [paragraphs(&text), inline(&text), format!("[{}](x)", inline(&text))] {
            for event in pulldown_cmark::Parser::new_ext(&shown, markdown_options()) {
                let is_plain = match &event {
                    pulldown_cmark::Event::Start(tag) => matches!(tag, pulldown_cmark::Tag::Paragraph)
                        || matches!(tag, pulldown_cmark::Tag::Link { dest_url, .. } if &**dest_url == "x"),
                    pulldown_cmark::Event::Html(_) | pulldown_cmark::Event::InlineHtml(_) => false,
                    _ => true,
                };
                prop_assert!(is_plain, "{event:?} in {shown:?} of {text:?}");
            }
        }
    }
}

#[test]
fn plain_text_is_no_markup() {
    let text = "# no heading\n- no *list*\n1. none\n\n    no code <b> [x](y) a|b $x$ &amp;\n===\n";
    let markdown = paragraphs(text);
    let parser = pulldown_cmark::Parser::new_ext(&markdown, markdown_options());
    let mut shown = String::new();
    for event in parser {
        match event {
            pulldown_cmark::Event::Text(text) => shown.push_str(&text),
            pulldown_cmark::Event::SoftBreak | pulldown_cmark::Event::HardBreak => shown.push('\n'),
            pulldown_cmark::Event::Start(pulldown_cmark::Tag::Paragraph) => {}
            pulldown_cmark::Event::End(pulldown_cmark::TagEnd::Paragraph) => shown.push_str("\n\n"),
            other => panic!("{other:?} in {markdown:?}"),
        }
    }
    assert_eq!(shown.replace('\u{a0}', " ").trim_end(), text.trim_end());
    assert_eq!(inline("a\n# b | [c]"), "a # b \\| \\[c\\]");
    assert_eq!(code("a `b` ``c"), "```a `b` ``c```");
}

#[test]
fn character_references_and_tags_fall_away() {
    assert_eq!(plain_from_html("a &#8211; b&#x21; &lt;i&gt; <b>c</b> 1 < 2 &bogus; &"), "a – b! <i> c 1 < 2 &bogus; &");
    assert_eq!(plain_from_html("<!-- x -->y<br/>z &#xD800; é&"), "yz &#xD800; é&");
}

#[test]
fn paths_lead_from_one_file_to_another() {
    let cases = [
        ("index.md", "a/b.md", "a/b.md"),
        ("a/b.md", "index.md", "../index.md"),
        ("a/b/c.md", "a/d/e f.md", "../d/e%20f.md"),
        ("a/b.md", "a/b/c.md", "b/c.md"),
        ("a/x.md", "a/x.md", "x.md"),
        ("a/a.md", "b/(1) & é.md", "../b/%281%29%20%26%20é.md"),
    ];
    for (from, to, link) in cases {
        assert_eq!(relative(from, to), link);
        assert_eq!(resolve_path(from, &unescape_path(link).unwrap()).as_deref(), Some(to));
    }
    assert_eq!(resolve_path("a/b.md", "../../x"), None);
    assert_eq!(unescape_path("%ff"), None);
    assert_eq!(unescape_path("100%").as_deref(), Some("100%"));
}
