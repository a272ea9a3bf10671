use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::TryStreamExt as _;
use saas_backup_core::testkit::{sample_blob, sample_collection, sample_records};
use saas_backup_core::{
    Access, BlobId, BlobRef, BlobStatus, Body, Catalog, Collection, Connector, Digest, Error, ErrorKind, Event, Feed,
    FieldMapping, Gap, Json, Key, Kind, Markup, Principal, ReadRequest, Record, RecordState, RefRule, Reference,
    SinkOptions, SnapshotOptions, Visibility, WriteMode,
};
use saas_backup_formats::markdown::{MarkdownConfig, MarkdownConnector, check};

use crate::support::{
    assert_conforms_as_sink, assert_reads_back, assert_same_in_any_order, files, name, puts, start, time, write,
};

fn vault(path: &Path) -> MarkdownConnector {
    MarkdownConnector::new(MarkdownConfig::new(path))
}

fn mapping(change: impl FnOnce(&mut FieldMapping)) -> FieldMapping {
    let mut fields = FieldMapping::default();
    fields.title = Some("title".to_owned());
    fields.url = Some("link".to_owned());
    change(&mut fields);
    fields
}

fn is_page(path: &str) -> bool {
    path.strip_suffix(".md").is_some_and(|stem| !stem.ends_with("/index") && stem != "index")
}

fn catalog() -> Catalog {
    let posts = mapping(|fields| {
        fields.title = Some("title.rendered".to_owned());
        fields.body = Some(Body::new("content", Markup::Html));
        fields.summary = Some(Body::new("excerpt", Markup::Html));
        fields.author = Some("author".to_owned());
        fields.parent = Some("parent".to_owned());
        fields.labels = vec!["tags".to_owned()];
        fields.properties.insert("price".to_owned(), "price".to_owned());
        fields.properties.insert("state".to_owned(), "mood".to_owned());
    });
    let notes = mapping(|fields| fields.body = Some(Body::new("text", Markup::Markdown)));
    let comments = mapping(|fields| {
        fields.title = None;
        fields.body = Some(Body::new("text", Markup::Plain));
    });
    let users = mapping(|fields| {
        fields.title = Some("name".to_owned());
        fields.properties.insert("Mail | address".to_owned(), "mail".to_owned());
    });
    Catalog::new(vec![
        Collection::new(name("posts"), Kind::Document)
            .with_title("Posts")
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

fn record(collection: &str, id: &str, data: &str) -> Record {
    Record::new(Key::parse(collection, id).unwrap(), Json::parse(data.to_owned()).unwrap())
}

fn reference(collection: &str, id: &str) -> Reference {
    Reference::from(&Key::parse(collection, id).unwrap())
}

fn picture() -> (BlobRef, Bytes) {
    let bytes = Bytes::from_static(b"\x89PNG not really");
    let blob = BlobRef::new(BlobId::parse("img/1").unwrap(), "inline")
        .with_name("A cat (1).png")
        .with_media_type("image/png")
        .with_digest(Digest::of(&bytes))
        .with_path("/data/media/0");
    (blob, bytes)
}

fn document() -> (BlobRef, Bytes) {
    let bytes = Bytes::from_static(b"%PDF not really");
    let blob = BlobRef::new(BlobId::parse("doc/1").unwrap(), "attachment")
        .with_name("CON")
        .with_media_type("application/pdf")
        .with_digest(Digest::of(&bytes));
    (blob, bytes)
}

fn events() -> Vec<Event> {
    let mut hello = record(
        "posts",
        "1",
        r#"{"title":{"rendered":"Hello &#8211; world: #1"},"link":"https://blog.example/hello/","price":1.10,"mood":"NO",
        "excerpt":"<p>Short &amp; sweet</p>","media":[{"url":"https://cdn.example/cat.png"}],
        "content":"<h2>Hi</h2><p>See <a href=\"https://blog.example/about?utm_source=x#team\">about (us)</a>, <a href=\"../missing\">gone</a>, <a href=\"/about?p=9\">not about</a>, <a href=\"//cdn.example/cat.png?w=99\">cat</a>, <a href=\"https://other.example/a_(b)\">other</a>, <a href=\"javascript:alert(1)\">click</a>.</p><img src=\"https://cdn.example/cat.png\" alt=\"A [cat]\"><script>alert(1)</script><iframe src=\"https://video.example/1\"></iframe><ul><li>one</li><li>two *stars*</li></ul>"}"#,
    )
    .with_ref("author", reference("users", "u1"))
    .with_refs("tags", vec![reference("tags", "t1"), reference("tags", "nobody")])
    .with_refs("see", vec![reference("notes", "n1"), reference("notes", "gone")])
    .with_blob(picture().0)
    .with_blob(document().0)
    .with_version("7");
    hello.created = Some(time(0));
    hello.modified = Some(time(60));
    hello.access = vec![Access::new(Principal::Named("anyone".to_owned()), "reader")];
    let mut blocked = BlobRef::new(BlobId::parse("blocked").unwrap(), "attachment").with_name("secret.txt");
    blocked.status = BlobStatus::Blocked;
    let about = record(
        "posts",
        "2",
        r#"{"title":{"rendered":"About"},"link":"https://blog.example/about","content":"<p>Back to <a href=\"/hello\">hello</a>.</p>"}"#,
    )
    .with_ref("parent", reference("posts", "1"))
    .with_blob(blocked)
    .with_blob(BlobRef::external("https://files.example/big file.zip", "attachment"));
    let twin =
        record("posts", "3", r#"{"title":{"rendered":"ABOUT"},"link":"https://blog.example/about-2","content":""}"#)
            .with_ref("parent", reference("posts", "1"))
            .with_state(RecordState::Trashed);
    let note = record(
        "notes",
        "n1",
        r#"{"title":"Note.md","link":"","text":"Plain *Markdown*, [a post][p] and ![cat](cat.png \"Cat\").\n\n<b>bold</b> <img src='https://cdn.example/cat.png'> <https://blog.example/hello>\n\n[p]: https://blog.example/about-2 'Title'\n"}"#,
    )
    .with_blob(picture().0.with_name("cat.png"));
    let comment = |id: &str, post: &str, text: &str, seconds| {
        let data = Json::from_value(&serde_json::json!({ "text": text })).unwrap();
        let mut comment =
            Record::new(Key::parse("comments", id).unwrap(), data).with_ref("post", reference("posts", post));
        comment.by = Some(reference("users", "u1"));
        comment.created = Some(time(seconds));
        comment
    };
    let mut events = puts(&[
        hello,
        about,
        twin,
        note,
        comment("c1", "1", "Second, with 1. a list\n    and # <b>markup</b>", 200),
        comment("c2", "1", "First", 100),
        comment("c3", "99", "Nobody's | comment", 300),
        record("users", "u1", r#"{"name":"Jane | Doe","mail":"jane@blog.example","link":"https://blog.example/jane"}"#),
        record("tags", "t1", r#"{"title":"Cats & dogs"}"#),
        record("settings", "s1", r#"{"language":"de"}"#),
        record("surprise", "x", r#"{"unknown":true}"#),
    ]);
    let error = Error::new(ErrorKind::PermissionDenied, "not for you");
    events.push(Event::Gap(Gap::record(&Key::parse("posts", "4").unwrap(), &error)));
    events
}

async fn written(folder: &Path) -> PathBuf {
    let path = folder.join("vault");
    let blobs = [picture(), document()];
    write(&vault(&path), WriteMode::Create, &start(catalog(), 0), events(), &blobs).await.unwrap();
    path
}

#[tokio::test]
async fn a_vault_reads_like_this() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let mut shown = String::new();
    for (file, bytes) in files(&path) {
        let text = match String::from_utf8(bytes) {
            Ok(text) if !file.contains("_attachments/") && file != "SHA256SUMS" => text,
            _ => "(bytes)".to_owned(),
        };
        let text = match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(manifest) if file == "manifest.json" => ["/content/links", "/content/attachments", "/losses", "/gaps"]
                .map(|member| format!("{member}: {}", manifest.pointer(member).unwrap()))
                .join("\n"),
            _ => text,
        };
        let _ = write!(shown, "═══ {file}\n{}\n", text.trim_end());
    }
    insta::assert_snapshot!(shown);
}

#[tokio::test]
async fn every_link_resolves_and_a_planted_fault_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let report = check(&path).unwrap();
    assert_eq!(report.findings, []);
    assert!(report.checked["links within the vault"] > 25 && report.checked["links to elsewhere"] > 3, "{report:?}");
    assert!(vault(&path).verify().await.unwrap().is_clean());

    fs::remove_file(path.join("notes/_attachments/cat.png")).unwrap();
    fs::write(path.join("mine.md"), "[out](../../etc/passwd) [case](POSTS/index.md) [ok](posts/index.md#x)").unwrap();
    let report = check(&path).unwrap();
    let broken: Vec<_> = report.findings.iter().map(|found| (found.file.as_str(), found.at.as_str())).collect();
    assert_eq!(
        broken,
        [
            ("mine.md", "../../etc/passwd"),
            ("mine.md", "POSTS/index.md"),
            ("notes/Note.md", "_attachments/cat.png"),
            ("notes/Note.md", "_attachments/cat.png"),
            ("posts/Hello – world- 1.md", "../notes/_attachments/cat.png"),
            ("posts/Hello – world- 1.md", "../notes/_attachments/cat.png"),
        ]
    );
}

#[tokio::test]
async fn front_matter_that_readers_disagree_about_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let page = path.join("mine.md");
    for line in ["a: \"NO\"", "a: [\"x\", 1, true]", "\"no: x\": null", "a: 1.10", "a: \"x\\u2028: y\""] {
        fs::write(&page, format!("---\n{line}\n---\n")).unwrap();
        assert_eq!(check(&path).unwrap().findings, [], "{line}");
    }
    let value = "a value without quotation marks that some readers take for something else";
    let faults = [
        ("country: NO", value),
        ("a: Yes", value),
        ("a: 12:30:00", value),
        ("a: 2024-01-01", value),
        ("a: 010", value),
        ("a: 12345678901234567890", value),
        ("a: [NO]", value),
        ("a: {\"b\": 1}", value),
        ("\"a\": x: \"y\"", value),
        ("no: \"x\"", "a name without quotation marks that some readers take for something else"),
        ("a:b", "a line that is no name and value"),
    ];
    for (line, problem) in faults {
        fs::write(&page, format!("---\nid: \"1\"\n{line}\n---\n")).unwrap();
        let found = check(&path).unwrap().findings;
        let found: Vec<_> = found.iter().map(|found| (found.at.as_str(), found.problem.as_str())).collect();
        assert_eq!(found, [("line 3", problem)], "{line}");
    }
}

#[tokio::test]
async fn the_same_records_in_any_order_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let first = files(&written(folder.path()).await);
    let path = folder.path().join("again");
    let again = (start(catalog(), 77), events(), vec![document(), picture()]);
    assert_same_in_any_order(&vault(&path), &path, &first, again).await;
}

#[tokio::test]
async fn nothing_is_lost_the_source_has_every_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault");
    let records = sample_records(&name("CON/../☃"), 5, 80).unwrap();
    let catalog = Catalog::new(vec![sample_collection(name("CON/../☃"))]);
    let (blob, bytes) = sample_blob("b", 9, 100_000).unwrap();
    let mut owner = records[0].clone();
    owner.blobs.push(blob.clone());
    let mut all = records.clone();
    all[0] = owner;
    write(&vault(&path), WriteMode::Create, &start(catalog, 0), puts(&all), &[(blob, bytes.clone())]).await.unwrap();
    assert_eq!(check(&path).unwrap().findings, []);
    let tree = files(&path);
    let source = &tree["_source/CON-..-☃.jsonl"];
    let codec = saas_backup_core::LineCodec::stored();
    let mut found: Vec<Record> = Vec::new();
    for line in source.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let saas_backup_core::Line::Put(record) = codec.decode(&Bytes::copy_from_slice(line)).unwrap() else {
            panic!("not a record");
        };
        found.push(*record);
    }
    all.sort_by(|one, other| one.key.cmp(&other.key));
    assert!(found == all);
    assert_eq!(tree.values().filter(|file| **file == bytes).count(), 1);
    let pages = tree.keys().filter(|path| is_page(path)).count();
    assert_eq!(pages, 80);
    let names: serde_json::Value = serde_json::from_slice(&tree["names.json"]).unwrap();
    assert_eq!(names.as_array().unwrap().len(), 81);
    for path in tree.keys() {
        for part in path.split('/') {
            assert!(part.len() <= 255 && !part.ends_with(['.', ' ']), "{part:?}");
            assert!(!part.contains(['<', '>', ':', '"', '\\', '|', '?', '*', '\u{202e}']), "{part:?}");
        }
        assert!(path.len() < 220, "{path}");
    }
}

#[tokio::test]
async fn a_persons_own_files_stay_and_their_edits_are_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    fs::create_dir(path.join(".obsidian")).unwrap();
    fs::write(path.join(".obsidian/app.json"), "{}").unwrap();
    fs::write(path.join("posts/My note.md"), "mine").unwrap();
    let run = start(catalog(), 1);
    let again = || async { write(&vault(&path), WriteMode::Overwrite, &run, events(), &[picture(), document()]).await };
    again().await.unwrap();
    assert_eq!(fs::read_to_string(path.join("posts/My note.md")).unwrap(), "mine");
    assert!(path.join(".obsidian/app.json").exists());

    let edited = path.join("posts/Hello – world- 1.md");
    fs::write(&edited, "better").unwrap();
    let error = again().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("posts/Hello – world- 1.md"), "{error}");
    assert_eq!(fs::read_to_string(&edited).unwrap(), "better");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn parents_in_circles_and_deep_down_still_get_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault");
    let mut records = Vec::new();
    for number in 0..100 {
        let data = format!(r#"{{"title":{{"rendered":"A long title of page {number}"}},"content":""}}"#);
        records.push(
            record("posts", &format!("{number:03}"), &data)
                .with_ref("parent", reference("posts", &format!("{:03}", (number + 1) % 100))),
        );
    }
    records.push(
        record("posts", "self", r#"{"title":{"rendered":"Self"}}"#).with_ref("parent", reference("posts", "self")),
    );
    records.push(
        record("posts", "lost", r#"{"title":{"rendered":"index"}}"#).with_ref("parent", reference("users", "u1")),
    );
    write(&vault(&path), WriteMode::Create, &start(catalog(), 0), puts(&records), &[]).await.unwrap();
    assert_eq!(check(&path).unwrap().findings, []);
    let tree = files(&path);
    let posts: Vec<_> = tree.keys().filter(|path| path.starts_with("posts/") && !path.ends_with("/index.md")).collect();
    assert_eq!(posts.len(), 102, "{posts:?}");
    assert!(posts.iter().all(|path| path.len() < 220));
    assert!(posts.iter().any(|path| path.matches('/').count() > 2));
}

#[tokio::test]
async fn long_collections_are_listed_on_several_pages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault");
    let mut records: Vec<Record> =
        (0..2001).map(|number| record("users", &format!("{number:04}"), r#"{"name":"x"}"#)).collect();
    records.push(
        record("posts", "1", r#"{"title":{"rendered":"index-2"}}"#)
            .with_refs("tags", Vec::new())
            .with_ref("author", reference("users", "0000"))
            .with_ref("reviewer", reference("users", "1999")),
    );
    write(&vault(&path), WriteMode::Create, &start(catalog(), 0), puts(&records), &[]).await.unwrap();
    assert_eq!(check(&path).unwrap().findings, []);
    let tree = files(&path);
    let rows = |file: &str| String::from_utf8_lossy(&tree[file]).matches("\n| x |").count();
    assert_eq!(["users/index.md", "users/index-2.md", "users/index-3.md"].map(rows), [1000, 1000, 1]);
    assert!(String::from_utf8_lossy(&tree["posts/index-2.md"]).contains("[x](../users/index-2.md)"));
}

#[tokio::test]
async fn the_conformance_checks_of_sinks_pass() {
    assert_conforms_as_sink(vault).await;
}

#[tokio::test]
async fn a_vault_reads_back_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault");
    assert_reads_back(&vault(&path)).await;
}

#[tokio::test]
async fn what_is_missing_is_missing_when_it_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let snapshot = vault(&path).snapshot(SnapshotOptions::default()).await.unwrap();
    let events: Vec<Event> = snapshot.read(ReadRequest::new(Feed::slice(name("posts")))).try_collect().await.unwrap();
    let gaps = events.iter().filter(|event| matches!(event, Event::Gap(_))).count();
    assert_eq!(gaps, 1, "{events:?}");
}

#[tokio::test]
async fn edits_of_pages_are_not_read_and_the_coverage_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    fs::write(path.join("notes/Note.md"), "# Mine").unwrap();
    let snapshot = vault(&path).snapshot(SnapshotOptions::default()).await.unwrap();
    let coverage = &snapshot.coverage().await.unwrap().collections[&name("notes")];
    assert_eq!(coverage.visible, Visibility::Partial);
    assert!(coverage.reason.as_ref().unwrap().starts_with("1 pages"), "{coverage:?}");

    let attachment = path.join("notes/_attachments/cat.png");
    fs::remove_file(&attachment).unwrap();
    fs::write(attachment, "other bytes").unwrap();
    let refused = vault(&path).snapshot(SnapshotOptions::default()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Integrity);
}

#[tokio::test]
async fn what_it_does_not_claim_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let connector = vault(&folder.path().join("vault"));
    let sink = connector.sink(SinkOptions::new(WriteMode::Create)).await.unwrap();
    let state = sink.state().await.unwrap();
    assert!(state.feeds.is_empty() && state.unfinished.is_none());
    sink.abort().await.unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_link_to_a_record_that_is_a_file_leads_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault");
    let catalog = Catalog::new(vec![
        Collection::new(name("posts"), Kind::Document)
            .with_fields(mapping(|fields| fields.body = Some(Body::new("text", Markup::Plain))))
            .with_ref(RefRule::one("featured", name("media"))),
        Collection::new(name("media"), Kind::Media).with_fields(mapping(|_| {})),
    ]);
    let (blob, bytes) = picture();
    let post = record("posts", "1", r#"{"title":"Post","text":"x"}"#).with_ref("featured", reference("media", "7"));
    let media = record("media", "7", r#"{"title":"Cat"}"#).with_blob(blob.clone());
    write(&vault(&path), WriteMode::Create, &start(catalog, 0), puts(&[post, media]), &[(blob, bytes)]).await.unwrap();
    let page = fs::read_to_string(path.join("posts/Post.md")).unwrap();
    assert!(page.contains("- featured: [Cat](../media/_attachments/A%20cat%20%281%29.png)"), "{page}");
    assert_eq!(check(&path).unwrap().findings, []);
}

/// Debian's package `hugo` builds sites of vaults.
mod live_readers {
    use super::*;
    use crate::support::build_with_hugo;

    /// Text that directs Hugo, YAML or a template where it is not kept from it.
    const HOSTILE: [&str; 12] = [
        "{{< figure src=\"x\" >}}",
        "{{% notice %}} {{</ notice >}}",
        "{{ template \"x\" }} {{/*",
        "`{{< code >}}` and\n\n```\n{{< code >}}\n{{% code %}}\n```\n\n    {{< indented >}}\n",
        "---\ntitle: other\n---",
        "+++\ndraft = true\n+++",
        "<!--more-->",
        "NO: yes # [a]: {b} & *c !d |e >f %g @h `i \"j\" 'k'",
        "\u{202e}gnp.exe\u{2066} עברית العربية",
        "👩‍👩‍👧‍👦 🇪🇺 e\u{301}\u{0}\u{7}\u{feff}\u{2028}",
        "<script>alert(1)</script><b>unclosed <a href='javascript:1'>x",
        "#REF! =1+1 C:\\path\\new {#id .class} [^1]: note",
    ];

    /// Hugo 0.111 and newer.
    #[tokio::test]
    #[ignore = "needs hugo"]
    async fn hugo_builds_a_vault_of_hostile_records() {
        let folder = tempfile::tempdir().unwrap();
        let content = folder.path().join("content");
        let mut events = events();
        for (number, text) in HOSTILE.iter().enumerate() {
            let html =
                serde_json::json!({ "title": { "rendered": text }, "link": text, "content": text, "excerpt": text });
            events.extend(puts(&[record("posts", &format!("h{number}"), &html.to_string())]));
            let markdown = serde_json::json!({ "title": text, "link": text, "text": text });
            events.extend(puts(&[record("notes", &format!("h{number}"), &markdown.to_string())]));
            let comment = serde_json::json!({ "text": text }).to_string();
            let comment = record("comments", &format!("h{number}"), &comment).with_ref("post", reference("posts", "1"));
            events.extend(puts(&[comment]));
        }
        let blobs = [picture(), document()];
        write(&vault(&content), WriteMode::Create, &start(catalog(), 0), events, &blobs).await.unwrap();
        assert_eq!(check(&content).unwrap().findings, []);

        let pages = files(&content).keys().filter(|file| is_page(file)).count();
        let built = files(&build_with_hugo(&content));
        let singles = built.keys().filter(|file| file.ends_with("index.html")).count();
        assert!(singles >= pages && pages > 24, "{pages} {singles}");
        let all: String = built.values().map(|bytes| String::from_utf8_lossy(bytes)).collect();
        assert_eq!(all.matches("<script>").count(), 0);
        assert!(all.contains("{{&lt; figure"), "what looks like a shortcode is a text");
    }
}
