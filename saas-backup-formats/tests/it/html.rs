use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use saas_backup_core::{
    Access, Account, BlobId, BlobRef, BlobStatus, Body, Catalog, Collection, CollectionCoverage, Digest, Error,
    ErrorKind, Event, FieldMapping, Gap, Json, Key, Kind, Markup, Principal, Record, RecordState, RefRule, Reference,
    RunStart, Visibility, WriteMode,
};
use saas_backup_formats::html::{HtmlConfig, HtmlConnector, check};

use crate::support::{
    assert_conforms_as_sink, assert_reads_back, assert_same_in_any_order, files, name, puts, start, time, write,
};

fn site(path: &Path) -> HtmlConnector {
    HtmlConnector::new(HtmlConfig::new(path))
}

fn mapping(change: impl FnOnce(&mut FieldMapping)) -> FieldMapping {
    let mut fields = FieldMapping::default();
    fields.title = Some("title".to_owned());
    fields.url = Some("link".to_owned());
    change(&mut fields);
    fields
}

fn catalog() -> Catalog {
    let posts = mapping(|fields| {
        fields.body = Some(Body::new("content", Markup::Html));
        fields.summary = Some(Body::new("excerpt", Markup::Html));
        fields.author = Some("author".to_owned());
        fields.parent = Some("parent".to_owned());
        fields.labels = vec!["tags".to_owned()];
        fields.properties.insert("price <b>".to_owned(), "price".to_owned());
    });
    let notes = mapping(|fields| fields.body = Some(Body::new("text", Markup::Markdown)));
    let comments = mapping(|fields| {
        fields.title = None;
        fields.body = Some(Body::new("text", Markup::Plain));
    });
    let users = mapping(|fields| {
        fields.title = Some("name".to_owned());
        fields.properties.insert("Mail".to_owned(), "mail".to_owned());
    });
    Catalog::new(vec![
        Collection::new(name("posts"), Kind::Document)
            .with_title("Posts & <pages>")
            .with_fields(posts)
            .with_ref(RefRule::one("author", name("users")))
            .with_ref(RefRule::one("parent", name("posts")))
            .with_ref(RefRule::many("tags", name("tags")))
            .with_ref(RefRule::many("see", name("notes"))),
        Collection::new(name("notes"), Kind::Document).with_title("Notes").with_fields(notes),
        Collection::new(name("comments"), Kind::Comment)
            .with_title("Comments")
            .with_fields(comments)
            .with_ref(RefRule::one("post", name("posts")).required()),
        Collection::new(name("users"), Kind::User).with_title("People").with_fields(users),
        Collection::new(name("tags"), Kind::Record).with_title("Tags").with_fields(mapping(|_| {})),
        Collection::new(name("settings"), Kind::Setting).with_title("Settings"),
    ])
}

fn record(collection: &str, id: &str, data: &serde_json::Value) -> Record {
    Record::new(Key::parse(collection, id).unwrap(), Json::from_value(data).unwrap())
}

fn reference(collection: &str, id: &str) -> Reference {
    Reference::from(&Key::parse(collection, id).unwrap())
}

fn file(id: &str, name: &str, media_type: &str, bytes: &'static [u8]) -> (BlobRef, Bytes) {
    let bytes = Bytes::from_static(bytes);
    let blob = BlobRef::new(BlobId::parse(id).unwrap(), "attachment")
        .with_name(name)
        .with_media_type(media_type)
        .with_digest(Digest::of(&bytes));
    (blob, bytes)
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\0\0\0\x0cIDATx\x9cc\xf8\xcf\xc0\0\0\x03\x01\x01\0\xc9\xfe\x92\xef\0\0\0\0IEND\xaeB`\x82";
const SVG: &[u8] = b"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"><script>top.__hacked = 1</script><rect width=\"9\" height=\"9\"/></svg>";
const PAGE: &[u8] = b"<!doctype html><script>window.__hacked = 1</script><h1>attachment</h1>";

fn attachments() -> Vec<(BlobRef, Bytes)> {
    vec![
        file("img/1", "A cat (1).png", "image/png", PNG),
        file("svg/1", "drawing.svg", "image/svg+xml", SVG),
        file("html/1", "evil.HTML", "text/html", PAGE),
        file("none/1", "\"><img src=x onerror=window.__hacked=1>", "", PAGE),
        file("mp3/1", "song.mp3", "audio/mpeg", b"ID3 not really"),
        file("zero/1", "empty.txt", "text/plain", b""),
    ]
}

/// What hostile texts try, each so that it would set `window.__hacked`.
const ATTACKS: &[&str] = &[
    "<script>window.__hacked=1</script>",
    "<img src=x onerror=window.__hacked=1>",
    "<a href=\"javascript:window.__hacked=1\">click</a>",
    "<a href=\" \u{1}java\tscript:window.__hacked=1\">click</a>",
    "<a href=\"data:text/html,<script>window.__hacked=1</script>\">data</a>",
    "<a href=\"vbscript:x\" onclick=\"window.__hacked=1\">vb</a>",
    "<svg onload=window.__hacked=1><a xlink:href=\"javascript:window.__hacked=1\"><text>x</text></a></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.__hacked=1></style></mglyph></table></mtext></math>",
    "<noscript><p title=\"</noscript><img src=x onerror=window.__hacked=1>\"></noscript>",
    "<iframe srcdoc=\"<script>parent.__hacked=1</script>\" src=\"javascript:window.__hacked=1\"></iframe>",
    "<object data=\"javascript:window.__hacked=1\"></object><embed src=\"javascript:window.__hacked=1\">",
    "<form action=\"javascript:window.__hacked=1\" id=search><input name=q value=secret><button>Go</button></form>",
    "<style>@import 'https://evil.example/x.css'; body{background:url(https://evil.example/y)}</style>",
    "<p style=\"background:url(https://evil.example/z)\" id=\"content\" class=\"top\">styled</p>",
    "<meta http-equiv=refresh content=\"0;url=https://evil.example/\"><base href=\"https://evil.example/\">",
    "<link rel=stylesheet href=\"https://evil.example/a.css\">",
    "<img src=\"https://evil.example/pixel.png\" alt=\"tracking\" srcset=\"https://evil.example/2x 2x\">",
    "<video src=\"https://evil.example/v.mp4\" poster=\"https://evil.example/p.png\" autoplay></video>",
    "<details open ontoggle=window.__hacked=1><summary>more</summary>text</details>",
    "<template><script>window.__hacked=1</script></template><plaintext></div><script>window.__hacked=1</script>",
];

fn events() -> Vec<Event> {
    let content = format!(
        "<h1>Hi</h1><h2 id=\"team\">Team</h2><p>See <a href=\"https://blog.example/about?utm_source=x#team\">about (us)</a>, \
         <a href=\"../missing\">gone</a>, <a href=\"#team\">here</a>, <a href=\"https://other.example/a_(b)\">other</a>.</p>\
         <img src=\"cid:img/1\" alt=\"A [cat]\" width=\"20\"><a href=\"cid:svg/1\">the drawing</a>\
         <table><tr><th colspan=2>x</th></tr><tr><td>1</td><td><ul><li>a</li></ul></td></tr></table>{}",
        ATTACKS.concat()
    );
    let mut hello = record(
        "posts",
        "1",
        &serde_json::json!({
            "title": "Hello &lt;script&gt;window.__hacked=1&lt;/script&gt; \"world\" &amp; zoë's Crème brûlée",
            "link": "https://blog.example/hello/", "price": "<b>1.10</b>", "content": content,
            "excerpt": "<p>Short &amp; sweet</p>",
        }),
    )
    .with_ref("author", reference("users", "u1"))
    .with_refs("tags", vec![reference("tags", "t1"), reference("tags", "nobody")])
    .with_refs("see", vec![reference("notes", "n1"), reference("notes", "gone")])
    .with_version("7");
    hello.blobs.extend(attachments().into_iter().map(|(blob, _)| blob));
    hello.created = Some(time(0));
    hello.modified = Some(time(60));
    hello.access = vec![
        Access::new(Principal::Named("anyone".to_owned()), "reader"),
        Access::new(Principal::Record(reference("users", "u1")), "owner"),
    ];
    let mut blocked = BlobRef::new(BlobId::parse("blocked").unwrap(), "attachment").with_name("secret.txt");
    blocked.status = BlobStatus::Blocked;
    let about = record(
        "posts",
        "2",
        &serde_json::json!({
            "title": "About", "link": "https://blog.example/about", "content": "<p>Back to <a href=\"/hello\">hello</a>. 台北の春</p>",
        }),
    )
    .with_ref("parent", reference("posts", "1"))
    .with_blob(blocked)
    .with_blob(BlobRef::external("https://files.example/big file.zip", "attachment"));
    let twin = record(
        "posts",
        "3",
        &serde_json::json!({ "title": "ABOUT", "link": "https://blog.example/about-2", "content": "" }),
    )
    .with_ref("parent", reference("posts", "1"))
    .with_state(RecordState::Trashed);
    let note = record(
        "notes",
        "n1",
        &serde_json::json!({
            "title": "../../etc/passwd \u{202e}fdp.exe", "link": "",
            "text": "Plain *Markdown*, [a post](https://blog.example/about), https://blog.example/hello and\n\n\
                     <img src=x onerror=window.__hacked=1> <b>bold</b> [x](javascript:window.__hacked=1)\n\n```js\n</script>\n```\n",
        }),
    );
    let comment = |id: &str, post: &str, text: &str, seconds| {
        let mut comment =
            record("comments", id, &serde_json::json!({ "text": text })).with_ref("post", reference("posts", post));
        comment.by = Some(reference("users", "u1"));
        comment.created = Some(time(seconds));
        comment
    };
    let mut events = puts(&[
        hello,
        about,
        twin,
        note,
        comment("c1", "1", "Second, with <script>window.__hacked=1</script>\n\nand https://blog.example/about.", 200),
        comment("c2", "1", "First", 100),
        comment("c3", "99", "Nobody's comment", 300),
        record("users", "u1", &serde_json::json!({ "name": "Jane <Doe>", "mail": "jane@blog.example" })),
        record("tags", "t1", &serde_json::json!({ "title": "Cats & dogs" })),
        record(
            "settings",
            "s1",
            &serde_json::json!({ "language": "de", "html": "<img src=x onerror=window.__hacked=1>" }),
        ),
        record("surprise", "x", &serde_json::json!({ "unknown": true })),
    ]);
    let error = Error::new(ErrorKind::PermissionDenied, "not for you");
    events.push(Event::Gap(Gap::record(&Key::parse("posts", "4").unwrap(), &error)));
    events
}

fn beginning() -> RunStart {
    let mut start = start(catalog(), 0);
    start.account = Some(Account::new("blog-1", "The blog </title><script>window.__hacked=1</script>"));
    let mut coverage = CollectionCoverage::new(Visibility::Partial).with_reason("drafts of others");
    coverage.hidden = Some(2);
    start.coverage = start.coverage.with(name("notes"), coverage);
    start
}

async fn written(folder: &Path) -> PathBuf {
    let path = folder.join("site");
    write(&site(&path), WriteMode::Create, &beginning(), events(), &attachments()).await.unwrap();
    path
}

const HELLO: &str = "posts/Hello -script-window.__hacked=1-script- world- & zoë's Crème brûlée.html";

#[tokio::test]
async fn a_site_reads_like_this() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let mut shown = String::new();
    for (file, bytes) in files(&path) {
        let text = String::from_utf8(bytes).unwrap_or_default();
        let is_shown = [HELLO, "index.html", "tags/index.html", "losses.ndjson", "_search/index.js"].contains(&&*file);
        let _ = write!(shown, "═══ {file}\n{}", if is_shown { text.as_str() } else { "" });
    }
    insta::assert_snapshot!(shown);
}

#[tokio::test]
async fn nothing_leads_nowhere_runs_or_loads() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let report = check(&path).unwrap();
    assert_eq!(report.findings, []);
    assert!(report.checked["links within the site"] > 80 && report.checked["links to elsewhere"] > 3, "{report:?}");
    assert_eq!(report.checked["searchable"], 11);
    assert!(site(&path).verify().await.unwrap().is_clean());
    let text = fs::read_to_string(path.join(HELLO)).unwrap();
    let reasons = fs::read_to_string(path.join("losses.ndjson")).unwrap();
    assert!(reasons.contains("external image: not in the archive") && reasons.contains("scripts: removed"));
    assert!(text.contains("image: tracking</a>") && !text.contains("src=\"http"), "{text}");
}

#[tokio::test]
async fn each_planted_fault_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let page = path.join("posts/index.html");
    let good = fs::read_to_string(&page).unwrap();
    let faults = [
        ("</main>", "<a href=\"gone.html\">x</a></main>", "a link that leads nowhere"),
        ("</main>", "<a href=\"../../x.html\">x</a></main>", "a link that leads nowhere"),
        ("</main>", "<a href=\"/etc/passwd\">x</a></main>", "a link that leads nowhere"),
        ("</main>", "<img src=\"gone.png\"></main>", "a link that leads nowhere"),
        ("</main>", "<img src=\"//evil.example/x.png\"></main>", "something that loads from elsewhere"),
        ("</main>", "<img src=\"https://evil.example/x.png\"></main>", "something that loads from elsewhere"),
        (
            "<link rel=\"stylesheet\" href=\"../_site",
            "<link rel=\"stylesheet\" href=\"gone",
            "a link that leads nowhere",
        ),
        (
            "<link rel=\"stylesheet\" href=\"../_site/",
            "<link rel=\"stylesheet\" href=\"https://x.example/",
            "something that loads from elsewhere",
        ),
        ("</main>", "<script>1</script></main>", "a script that is not the site's own"),
        ("</main>", "<script src=\"../_search/index.js\"></script></main>", "a script that is not the site's own"),
        ("</main>", "<p onclick=\"1\"></p></main>", "an attribute that no page has"),
        ("</main>", "<p style=\"color:red\"></p></main>", "an attribute that no page has"),
        ("</main>", "<iframe></iframe></main>", "a tag that no page has"),
        ("</main>", "<template><script>1</script></template></main>", "a script that is not the site's own"),
        ("</main>", "<a href=\"javascript:1\">x</a></main>", "a link that could run something"),
        ("</main>", "<a href=\" javascript:1\">x</a></main>", "a link that could run something"),
        ("</main>", "<a href=\"_attachments/drawing.svg\">x</a></main>", "a link to a file that a browser runs"),
        ("</main>", "<h1>again</h1></main>", "not exactly one first heading"),
        ("<h1", "<h2", "not exactly one first heading"),
        ("lang=\"en\"", "", "no language"),
        ("<title>", "<title></title><p>", "no title"),
        (
            "script-src &#39;self&#39;",
            "script-src &#39;unsafe-inline&#39; &#39;self&#39;",
            "not the policy that keeps scripts from running",
        ),
    ];
    for (from, to, problem) in faults {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        fs::write(&page, bad).unwrap();
        let found = check(&path).unwrap();
        assert!(found.findings.iter().any(|found| found.problem == problem), "{to}: {found:?}");
    }
    fs::write(&page, &good).unwrap();
    assert_eq!(check(&path).unwrap().findings, []);

    let index = [
        (
            "_search/d0.js",
            "notes/etc-passwd%20fdp.exe.html",
            "notes/gone.html",
            "an entry of the search that leads nowhere",
        ),
        (
            "_search/d0.js",
            "archiveShard(",
            "alert(1),archiveShard(",
            "a file of the search holds something else than its data",
        ),
        ("_search/w0.js", "\"about\"", "\"zzz\"", "a word out of order, or of no document"),
        ("_search/index.js", "\"documents\":11", "\"documents\":12", "not as many entries as it says"),
        ("_search/index.js", "\"each\":", "\"each\":0,\"more\":", "files of the search with no entries"),
        ("_search/index.js", "\"words\":[\"", "\"words\":[\"another ", "a file that begins with another word"),
    ];
    for (file, from, to, problem) in index {
        let good = fs::read_to_string(path.join(file)).unwrap();
        let bad = good.replace(from, to);
        assert_ne!(bad, good, "{from}");
        fs::write(path.join(file), bad).unwrap();
        let found = check(&path).unwrap();
        assert!(found.findings.iter().any(|found| found.problem == problem), "{to}: {found:?}");
        fs::write(path.join(file), good).unwrap();
    }
    fs::write(path.join("posts/own.js"), "1").unwrap();
    assert_eq!(check(&path).unwrap().findings[0].problem, "a script that is not the site's own");
    fs::remove_file(path.join("posts/own.js")).unwrap();
    fs::remove_file(path.join("_search/w0.js")).unwrap();
    assert_eq!(check(&path).unwrap().findings[0].problem, "a file of the search is not there");
}

#[tokio::test]
async fn the_same_records_in_any_order_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let first = files(&written(folder.path()).await);
    let path = folder.path().join("again");
    let again = (beginning(), events(), attachments());
    assert_same_in_any_order(&site(&path), &path, &first, again).await;
}

#[tokio::test]
async fn it_reads_back_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let connector = site(&folder.path().join("site"));
    assert_reads_back(&connector).await;
    assert_eq!(connector.check_content().await.unwrap().findings, []);
}

#[tokio::test]
async fn the_conformance_checks_of_sinks_pass() {
    assert_conforms_as_sink(site).await;
}

#[tokio::test]
async fn long_lists_threads_and_hierarchies_have_several_pages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("site");
    let mut records: Vec<Record> = (0..401)
        .map(|number| record("users", &format!("{number:04}"), &serde_json::json!({ "name": format!("x{number}") })))
        .collect();
    let title = |title: &str| serde_json::json!({ "title": title, "content": "" });
    records.push(record("posts", "top", &title("index-2")).with_ref("author", reference("users", "0399")));
    for number in 0..2100 {
        let parent = if number % 10 == 0 { "top".to_owned() } else { format!("{:04}", number - 1) };
        records.push(
            record("posts", &format!("{number:04}"), &title("Page")).with_ref("parent", reference("posts", &parent)),
        );
    }
    for number in 0..450 {
        let mut comment = record("comments", &format!("{number:04}"), &serde_json::json!({ "text": "said" }))
            .with_ref("post", reference("posts", "top"));
        comment.created = Some(time(number));
        records.push(comment);
    }
    write(&site(&path), WriteMode::Create, &start(catalog(), 0), puts(&records), &[]).await.unwrap();
    assert_eq!(check(&path).unwrap().findings, []);
    let tree = files(&path);
    let count = |file: &str, what: &str| String::from_utf8_lossy(&tree[file]).matches(what).count();
    assert_eq!(
        ["users/index.html", "users/index-2.html", "users/index-3.html"].map(|file| count(file, "<tr id=")),
        [200, 200, 1]
    );
    let top = tree.keys().find(|path| {
        path.starts_with("posts/index-2") && !path[6..].contains('/') && count(path, "<article class=\"comment\"") > 0
    });
    let top = top.unwrap().clone();
    assert_eq!(count(&top, "<article class=\"comment\""), 200);
    let below = top.strip_suffix(".html").unwrap();
    let further =
        ["comments 2", "comments 3"].map(|name| count(&format!("{below}/{name}.html"), "<article class=\"comment\""));
    assert_eq!(further, [200, 50]);
    assert!(String::from_utf8_lossy(&tree[&top]).contains("users/index-2.html#r-"), "the author's row");
    assert_eq!(count("posts/tree.html", ">Page</a>"), 1999);
    assert_eq!(count("posts/tree-2.html", ">Page</a>"), 101);
    assert!(String::from_utf8_lossy(&tree["posts/tree-2.html"]).contains("Continued below"));
    assert!(tree.keys().all(|path| path.len() < 240));
}

#[tokio::test]
async fn circles_large_texts_and_deep_nesting_are_survived() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("site");
    let deep = format!("{}deep{}", "<div>".repeat(5000), "</div>".repeat(5000));
    let large = "word <b>large</b> ".repeat(600_000);
    let circle = |id: &str, parent: &str, content: &str| {
        record("posts", id, &serde_json::json!({ "title": id, "content": content }))
            .with_ref("parent", reference("posts", parent))
    };
    let nested = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let nested = Record::new(Key::parse("settings", "nested").unwrap(), Json::parse(nested).unwrap());
    let records =
        [circle("a", "b", &deep), circle("b", "a", &large), circle("c", "c", "<p>18446744073709551616"), nested];
    write(&site(&path), WriteMode::Create, &start(catalog(), 0), puts(&records), &[]).await.unwrap();
    assert_eq!(check(&path).unwrap().findings, []);
    let losses = fs::read_to_string(path.join("losses.ndjson")).unwrap();
    assert_eq!(losses.matches("formatting: the HTML is too large or nests too deep").count(), 2, "{losses}");
}

#[tokio::test]
async fn texts_that_are_trees_of_blocks_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("site");
    let bodies = [
        (
            "pages",
            Markup::Confluence,
            serde_json::json!(
                "<p>storage</p><ac:image><ri:attachment ri:filename=\"A cat (1).png\"/></ac:image><ac:structured-macro ac:name=\"jira\"/><script>x</script>"
            ),
        ),
        (
            "posts",
            Markup::Lexical,
            serde_json::json!(
                r#"{"root":{"children":[{"type":"html","html":"<p>lexical</p><script>x</script>"},{"type":"paywall"}]}}"#
            ),
        ),
        (
            "notes",
            Markup::NotionBlocks,
            serde_json::json!([{"type": "paragraph", "paragraph": {"rich_text": [{"plain_text": "notion", "href": "javascript:1"}]}}]),
        ),
        ("others", Markup::Lexical, serde_json::json!("not JSON")),
    ];
    let collection = |(of, markup, _): &(&str, Markup, serde_json::Value)| {
        Collection::new(name(of), Kind::Document)
            .with_fields(mapping(|fields| fields.body = Some(Body::new("body", *markup))))
    };
    let catalog = Catalog::new(bodies.iter().map(collection).collect());
    let blobs = &attachments()[..1];
    let records: Vec<Record> = bodies
        .iter()
        .map(|(of, _, body)| {
            record(of, "1", &serde_json::json!({ "title": of, "body": body })).with_blob(blobs[0].0.clone())
        })
        .collect();
    write(&site(&path), WriteMode::Create, &start(catalog, 0), puts(&records), blobs).await.unwrap();
    assert_eq!(check(&path).unwrap().findings, []);
    let page = |of: &str| fs::read_to_string(path.join(format!("{of}/{of}.html"))).unwrap();
    assert!(
        page("pages").contains("<p>storage</p><figure><img src=\"../notes/_attachments/A%20cat%20%281%29.png\""),
        "{}",
        page("pages")
    );
    assert!(
        page("posts").contains("<p>lexical</p>") && page("notes").contains("<p><span>notion</span>"),
        "{}",
        page("notes")
    );
    assert!(page("others").contains("<p class=\"plain\">not JSON</p>"));
    let losses = fs::read_to_string(path.join("losses.ndjson")).unwrap();
    for reason in ["macro `jira`", "block `paywall`", "not in the markup that it should be in", "scripts: removed"] {
        assert!(losses.contains(reason), "{losses}");
    }
}

/// Chromium opens what was written: Debian's packages `chromium`, and `testing/requirements/readers.txt`.
mod live_readers {
    use serde_json::{Value, json};

    use super::*;
    use crate::support::browse;

    #[tokio::test]
    #[ignore = "needs chromium and the readers of testing/servers.d"]
    async fn hostile_content_does_not_run_and_nothing_leaves_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path()).await;
        // Where a script is planted and allowed to run, the test sees it.
        fs::write(path.join("planted.html"), "<script>window.__hacked=1</script>").unwrap();
        let mut steps = vec![json!(["open", "planted.html"]), json!(["ask", "window.__hacked"])];
        let pages: Vec<String> = files(&path).into_keys().filter(|file| file.strip_suffix(".html").is_some()).collect();
        let pages: Vec<&String> = pages.iter().filter(|file| *file != "planted.html").collect();
        for page in &pages {
            steps.push(json!(["open", page]));
            // What a person can do on a page: open what is folded, follow what looks like a link.
            steps.push(json!([
                "ask",
                "document.querySelectorAll('details').forEach((one) => { one.open = true; }); \
                 document.querySelectorAll('main [onclick], main a:not([href])').forEach((one) => one.click()); \
                 document.querySelectorAll('main script, main iframe, main form, main style').length"
            ]));
            steps.push(json!(["ask", "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(window.__hacked ?? null))))"]));
            steps.push(json!(["ask", "document.title.includes('<script>')"]));
        }
        // An attachment of HTML that is opened shows its text.
        steps.push(json!(["open", "posts/_attachments/evil.HTML.txt"]));
        steps.push(json!(["ask", "[window.__hacked ?? null, document.body.textContent.includes('<h1>')]"]));
        let told = browse(&path, &Value::Array(steps));
        let answers = told["answers"].as_array().unwrap();
        assert_eq!(answers[1], 1, "the test would see it");
        for (index, page) in pages.iter().enumerate() {
            let at = 2 + 4 * index;
            assert_eq!(answers[at + 1..at + 4], [json!(0), Value::Null, json!(true)], "{page}");
        }
        assert_eq!(answers.last().unwrap(), &json!([null, true]));
        assert_eq!(told["requests"], json!([]));
        assert_eq!(told["console"], json!([]));
    }

    /// What is measured is printed, with `--no-capture`; how fast a machine is, is no promise of ours.
    #[tokio::test]
    #[ignore = "needs chromium and the readers of testing/servers.d"]
    async fn ten_thousand_documents_are_opened_and_searched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site");
        let mut state = 1_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        // Few words are said often and many are said rarely.
        let mut word = || {
            let number = random(20_000) * random(20_000) / 20_000;
            let letter = |number: u64| char::from(b'a' + (number % 26) as u8);
            format!(
                "{}{}{}{}{}",
                letter(number),
                letter(number / 7),
                letter(number / 3),
                letter(number / 11),
                number % 97
            )
        };
        let mut records = Vec::new();
        for number in 0..10_000 {
            let text: Vec<String> = (0..200).map(|_| word()).collect();
            let title = format!("{} {} {number}", word(), word());
            records.push(record(
                "notes",
                &number.to_string(),
                &serde_json::json!({ "title": title, "text": text.join(" ") }),
            ));
        }
        write(&site(&path), WriteMode::Create, &start(catalog(), 0), puts(&records), &[]).await.unwrap();
        let mut steps = vec![json!(["open", "index.html"]), json!(["open", "notes/index.html"]), json!(["key", "/"])];
        let queries = ["4711", "a", "ba", "bac", "aaaa0", "aaaa0 aaaa1 9", "baaa1 b"];
        for query in queries {
            steps.extend([
                json!([
                    "ask",
                    "globalThis.begun = performance.now(); globalThis.done = 0; \
                    globalThis.watch = new MutationObserver(() => { done = performance.now(); }); \
                    watch.observe(document.getElementById('results'), { childList: true }); \
                    watch.observe(document.getElementById('found'), { attributes: true }); 0"
                ]),
                json!(["type", query]),
                json!(["await", "done > 0", 20]),
                json!(["ask", "done - begun"]),
                json!(["ask", "document.getElementById('status').textContent"]),
                json!(["key", "Escape"]),
                json!(["key", "/"]),
            ]);
        }
        let told = browse(&path, &Value::Array(steps));
        let answers = told["answers"].as_array().unwrap();
        println!("{} bytes of index; start page {} ms, list {} ms", index_bytes(&path), answers[0], answers[1]);
        for (index, query) in queries.iter().enumerate() {
            let answers = &answers[2 + 4 * index..];
            println!("{query:>16}: {} ms, {}", answers[2], answers[3]);
        }
        assert_eq!(answers[2 + 3], "1 result");
        assert_eq!(told["console"], json!([]));
    }

    fn index_bytes(site: &Path) -> u64 {
        fs::read_dir(site.join("_search")).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    }

    #[tokio::test]
    #[ignore = "needs chromium and the readers of testing/servers.d"]
    async fn the_search_finds_what_the_keyboard_asks_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path()).await;
        let results = "document.querySelectorAll('#results li').length";
        let first = "document.querySelector('#results strong').textContent";
        let mut steps = vec![json!(["open", "notes/index.html"])];
        for query in ["creme BRUL", "台北", "京", "nothing-like-it", "jane", "cat.png"] {
            steps.push(json!(["key", "/"]));
            steps.push(json!(["ask", "document.activeElement.id"]));
            steps.push(json!(["type", query]));
            let shown = format!("document.getElementById('results').dataset.of === {}", json!(query));
            steps.push(json!(["await", format!("{shown} && !document.getElementById('found').hidden"), 10]));
            steps.push(json!(["ask", results]));
            steps.push(json!(["key", "Escape"]));
            steps.push(json!(["ask", "document.getElementById('found').hidden"]));
            steps.push(json!(["key", "Escape"]));
        }
        steps.extend([
            json!(["key", "/"]),
            json!(["type", "brulee"]),
            json!(["await", "document.getElementById('results').dataset.of === 'brulee'", 10]),
            json!(["ask", first]),
            json!(["key", "ArrowDown"]),
            json!(["ask", "document.activeElement.getAttribute('aria-activedescendant')"]),
            json!(["key", "Enter"]),
            json!(["await", "document.querySelector('h1')?.textContent.startsWith('Hello')", 10]),
            // A page has a heading before it has its colours.
            json!(["await", "document.readyState === 'complete'", 10]),
            json!(["scheme", "dark"]),
            json!(["ask", "getComputedStyle(document.body).backgroundColor"]),
            json!(["scheme", "light"]),
            json!(["ask", "getComputedStyle(document.body).backgroundColor"]),
            json!(["size", 360, 700]),
            json!(["ask", "document.documentElement.scrollWidth <= 360"]),
        ]);
        let told = browse(&path, &Value::Array(steps));
        let answers = told["answers"].as_array().unwrap();
        let found: Vec<&Value> = (0..6).map(|query| &answers[1 + 4 * query + 2]).collect();
        assert_eq!(found, [3, 1, 0, 0, 5, 1], "{answers:?}");
        assert!((0..6).all(|query| answers[1 + 4 * query] == "search" && answers[1 + 4 * query + 3] == true));
        let rest = &answers[1 + 4 * 6..];
        assert_eq!(rest[1], "Hello <script>window.__hacked=1</script> \"world\" & zoë's Crème brûlée");
        assert_eq!(rest[2], "result-0");
        assert_eq!(rest[5..], [json!("rgb(20, 23, 27)"), json!("rgb(255, 255, 255)"), json!(true)]);
        assert_eq!((&told["requests"], &told["console"]), (&json!([]), &json!([])));
    }
}
