use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use saas_backup_core::testkit;
use saas_backup_core::{
    BlobId, BlobRef, Body, Catalog, Collection, Connector, Digest, Event, FieldMapping, Json, Key, Kind, Markup,
    Record, RecordState, RefRule, Reference, WriteMode,
};
use saas_backup_formats::wxr::{WxrConfig, WxrConnector, check};

use crate::support::{assert_reads_back, assert_same_in_any_order, files, name, puts, start, time, write};

fn config(path: &Path) -> WxrConfig {
    WxrConfig::new(path)
}

fn mapping(change: impl FnOnce(&mut FieldMapping)) -> FieldMapping {
    let mut fields = FieldMapping::default();
    fields.title = Some("title".to_owned());
    fields.url = Some("link".to_owned());
    change(&mut fields);
    fields
}

fn catalog() -> Catalog {
    let document = |markup| {
        mapping(|fields| {
            fields.body = Some(Body::new("content", markup));
            fields.summary = Some(Body::new("excerpt", Markup::Html));
            fields.slug = Some("slug".to_owned());
            fields.author = Some("author".to_owned());
            fields.parent = Some("parent".to_owned());
            fields.labels = vec!["tags".to_owned(), "categories".to_owned()];
            fields.properties.insert("status".to_owned(), "status".to_owned());
            fields.properties.insert("price".to_owned(), "price".to_owned());
        })
    };
    let comments = mapping(|fields| {
        fields.title = None;
        fields.body = Some(Body::new("text", Markup::Plain));
        fields.parent = Some("parent".to_owned());
        fields.properties.insert("author".to_owned(), "who".to_owned());
    });
    let users = mapping(|fields| {
        fields.title = Some("name".to_owned());
        fields.properties.insert("e-mail".to_owned(), "mail".to_owned());
    });
    let categories = mapping(|fields| fields.parent = Some("parent".to_owned()));
    Catalog::new(vec![
        Collection::new(name("posts"), Kind::Document)
            .with_fields(document(Markup::Html))
            .with_ref(RefRule::one("author", name("users")))
            .with_ref(RefRule::many("tags", name("tags")))
            .with_ref(RefRule::many("categories", name("categories")))
            .with_ref(RefRule::one("cover", name("media"))),
        Collection::new(name("pages"), Kind::Document)
            .with_fields(document(Markup::Markdown))
            .with_ref(RefRule::one("parent", name("pages"))),
        Collection::new(name("comments"), Kind::Comment)
            .with_fields(comments)
            .with_ref(RefRule::one("post", name("posts")).required())
            .with_ref(RefRule::one("parent", name("comments"))),
        Collection::new(name("media"), Kind::Media).with_fields(mapping(|_| {})),
        Collection::new(name("users"), Kind::User).with_fields(users),
        Collection::new(name("tags"), Kind::Record).with_fields(mapping(|_| {})),
        Collection::new(name("categories"), Kind::Record)
            .with_fields(categories)
            .with_ref(RefRule::one("parent", name("categories"))),
        Collection::new(name("settings"), Kind::Setting),
    ])
}

fn record(collection: &str, id: &str, data: &serde_json::Value) -> Record {
    Record::new(Key::parse(collection, id).unwrap(), Json::from_value(data).unwrap())
}

fn reference(collection: &str, id: &str) -> Reference {
    Reference::from(&Key::parse(collection, id).unwrap())
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\0\0\0\x0cIDATx\x9cc\xf8\xcf\xc0\0\0\x03\x01\x01\0\xc9\xfe\x92\xef\0\0\0\0IEND\xaeB`\x82";

fn attachments() -> Vec<(BlobRef, Bytes)> {
    let file = |id: &str, name: &str, bytes: &'static [u8]| {
        let bytes = Bytes::from_static(bytes);
        let blob =
            BlobRef::new(BlobId::parse(id).unwrap(), "attachment").with_name(name).with_digest(Digest::of(&bytes));
        (blob.with_path("/data/file"), bytes)
    };
    vec![file("img/1", "A cat (1).png", PNG), file("doc/1", "notes & more.txt", b"hello")]
}

fn events() -> Vec<Event> {
    let files = attachments();
    let mut hello = record(
        "posts",
        "7",
        &serde_json::json!({
            "title": "Hello &amp; <b>world</b>", "link": "https://blog.example/hello/", "slug": "hello", "status": "draft",
            "price": 1.5, "excerpt": "<p>Short</p>", "file": "https://blog.example/old/notes.txt",
            "content": "<p>CDATA ]]> ends &amp; begins <![CDATA[ <img src=\"https://blog.example/old/cat.png\"> [shortcode]\u{b}</p>",
        }),
    )
    .with_ref("author", reference("users", "u1"))
    .with_refs("tags", vec![reference("tags", "t1"), reference("tags", "gone")])
    .with_refs("categories", vec![reference("categories", "3")])
    .with_ref("cover", reference("media", "9"))
    .with_blob(files[1].0.clone());
    hello.created = Some(time(0));
    hello.modified = Some(time(60));
    let page = |id: &str, parent: Option<&str>, title: &str| {
        let data = serde_json::json!({ "title": title, "content": "# One\n\n- *two* ]]>\n" });
        let mut page = record("pages", id, &data);
        page.created = Some(time(5));
        match parent {
            Some(parent) => page.with_ref("parent", reference("pages", parent)),
            None => page,
        }
    };
    let comment = |id: &str, post: &str, parent: Option<&str>| {
        let data = serde_json::json!({ "text": format!("said <{id}>\n\nand ]]> more"), "who": "A guest" });
        let mut comment = record("comments", id, &data).with_ref("post", reference("posts", post));
        comment.created = Some(time(100));
        match parent {
            Some(parent) => comment.with_ref("parent", reference("comments", parent)),
            None => comment,
        }
    };
    puts(&[
        hello,
        page("b", Some("z"), "Below"),
        page("z", None, "Above"),
        page("7", Some("b"), "Below that").with_state(RecordState::Trashed),
        comment("1", "7", None),
        comment("2", "7", Some("1")),
        comment("3", "99", None),
        record("media", "9", &serde_json::json!({ "title": "Cat", "file": "https://blog.example/old/cat.png" }))
            .with_blob(files[0].0.clone())
            .with_ref("post", reference("posts", "7")),
        record("users", "u1", &serde_json::json!({ "name": "Zoë <Lindqvist>", "mail": "zoe@blog.example" })),
        record("tags", "t1", &serde_json::json!({ "title": "Cats & dogs" })),
        record("categories", "2", &serde_json::json!({ "title": "Animals" })),
        record("categories", "3", &serde_json::json!({ "title": "Pets" }))
            .with_ref("parent", reference("categories", "2")),
        record("settings", "s", &serde_json::json!({ "language": "de" })),
    ])
}

async fn written(config: WxrConfig) -> PathBuf {
    let path = config.path.clone();
    let connector = WxrConnector::new(config);
    write(&connector, WriteMode::Create, &start(catalog(), 0), events(), &attachments()).await.unwrap();
    path
}

#[tokio::test]
async fn a_file_for_wordpress_reads_like_this() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(config(&folder.path().join("blog")).with_media_url("https://files.example/blog")).await;
    let file = fs::read_to_string(path.join("wordpress-001.xml")).unwrap();
    let losses = fs::read_to_string(path.join("losses.ndjson")).unwrap();
    insta::assert_snapshot!(format!("{file}\n{losses}"));
}

/// Records as WordPress's own API gives them.
fn own_records() -> (Catalog, Vec<Record>, Vec<(BlobRef, Bytes)>) {
    let document = |body: &str| {
        mapping(|fields| {
            fields.title = Some("title.raw".to_owned());
            fields.slug = Some("slug".to_owned());
            fields.body = Some(Body::new(body, Markup::Html));
            fields.properties.insert("status".to_owned(), "status".to_owned());
        })
    };
    let people = mapping(|fields| {
        fields.title = Some("name".to_owned());
        fields.slug = Some("slug".to_owned());
    });
    let labels = people.clone();
    let comments = mapping(|fields| fields.body = Some(Body::new("content.raw", Markup::Html)));
    let catalog = Catalog::new(vec![
        Collection::new(name("posts"), Kind::Document)
            .with_fields(mapping(|fields| {
                *fields = document("content.raw");
                fields.labels = vec!["tags".to_owned()];
            }))
            .with_ref(RefRule::many("tags", name("tags"))),
        Collection::new(name("blocks"), Kind::Document).with_fields(document("content.raw")),
        Collection::new(name("templates"), Kind::Document).with_fields(document("content.raw")),
        Collection::new(name("revisions"), Kind::Document)
            .with_fields(mapping(|fields| {
                *fields = document("content.raw");
                fields.version_of = Some("revision_of".to_owned());
            }))
            .with_ref(RefRule::one("revision_of", name("posts"))),
        Collection::new(name("comments"), Kind::Comment)
            .with_fields(comments)
            .with_ref(RefRule::one("post", name("posts")).required())
            .with_ref(RefRule::one("author", name("users"))),
        Collection::new(name("media"), Kind::Media).with_fields(document("description.raw")),
        Collection::new(name("tags"), Kind::Record).with_fields(labels),
        Collection::new(name("users"), Kind::User).with_fields(people),
    ]);
    let long = "A title of more than three hundred signs, ".repeat(9);
    let post = |kind: &str, slug: &str, title: &str| {
        serde_json::json!({
            "type": kind, "slug": slug, "status": "publish", "title": { "raw": title }, "content": { "raw": "x" },
            "date": "2024-07-01T12:00:00", "date_gmt": "2024-07-01T10:00:00", "guid": { "rendered": format!("http://b.example/?p={slug}") },
            "password": "sesame", "comment_status": "closed", "ping_status": "open", "menu_order": 7, "sticky": true,
        })
    };
    let template = |id: &str, number: u32| {
        let data = serde_json::json!({
            "type": "wp_template", "slug": id, "status": "publish", "title": { "raw": id }, "content": { "raw": "x" },
            "theme": "plain", "wp_id": number,
        });
        record("templates", &format!("plain//{id}"), &data)
    };
    let comment = |id: &str, status: &str| {
        let data = serde_json::json!({
            "author_name": "Jo", "author_email": "jo@example.com", "author_url": "http://jo.example", "author_ip": "192.0.2.1", "status": status,
            "date": "2024-07-01T12:00:00", "date_gmt": "2024-07-01T10:00:00", "type": "comment", "content": { "raw": status },
        });
        record("comments", id, &data)
            .with_ref("post", reference("posts", "1"))
            .with_ref("author", reference("users", "5"))
    };
    let bytes = Bytes::from_static(PNG);
    // A version stands behind the `#`.
    let image = BlobRef::new(BlobId::parse("http://b.example/up/a.png#17-3").unwrap(), "attachment")
        .with_digest(Digest::of(&bytes));
    let mut picture = post("attachment", "a", "A");
    picture["alt_text"] = "a cat".into();
    picture["post"] = 1.into();
    picture["status"] = "inherit".into();
    let mut comments =
        vec![comment("1", "approved"), comment("2", "hold"), comment("3", "spam"), comment("4", "new word")];
    for comment in &mut comments {
        comment.by = Some(reference("users", "5"));
    }
    let records = vec![
        record("posts", "1", &post("post", "", "  <em>Two</em>  spaces & "))
            .with_refs("tags", vec![reference("tags", "9")]),
        record("posts", "2", &post("book", "2", &long)),
        record("posts", "3", &post("post", "3", "")),
        record("blocks", "4", &post("wp_block", "4", "A block")),
        record("revisions", "posts/1/8", &post("revision", "1-revision", "Before")),
        template("home", 0),
        template("single", 6),
        record("media", "10", &picture).with_blob(image.clone()),
        record("tags", "9", &serde_json::json!({ "name": "日本語", "slug": "%e6%97%a5%e6%9c%ac" })),
        record(
            "users",
            "5",
            &serde_json::json!({ "name": "Jo", "slug": "jo", "username": "jo", "email": "jo@example.com", "first_name": "J", "last_name": "O" }),
        ),
    ];
    (catalog, [records, comments].concat(), vec![(image, bytes)])
}

#[tokio::test]
async fn what_wordpress_says_of_its_own_records_is_carried() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blog");
    let (catalog, records, blobs) = own_records();
    let connector = WxrConnector::new(config(&path));
    write(&connector, WriteMode::Create, &start(catalog, 0), puts(&records), &blobs).await.unwrap();
    assert_eq!(check(&path).unwrap().findings, []);
    let file = fs::read_to_string(path.join("wordpress-001.xml")).unwrap();
    let losses = fs::read_to_string(path.join("losses.ndjson")).unwrap();
    insta::assert_snapshot!(format!("{file}\n{losses}"));
}

#[tokio::test]
async fn a_title_of_another_provider_is_text_and_not_html() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blog");
    let script =
        record("pages", "1", &serde_json::json!({ "title": "<script>alert(1)</script> & more", "content": "" }));
    let connector = WxrConnector::new(config(&path));
    write(&connector, WriteMode::Create, &start(catalog(), 0), puts(&[script]), &[]).await.unwrap();
    let file = fs::read_to_string(path.join("wordpress-001.xml")).unwrap();
    assert!(file.contains("<title><![CDATA[&lt;script&gt;alert(1)&lt;/script&gt; &amp; more]]></title>"), "{file}");
}

#[tokio::test]
async fn files_are_whole_in_themselves_and_split_at_their_size() {
    let folder = tempfile::tempdir().unwrap();
    let small = written(config(&folder.path().join("small")).with_file_bytes(3000)).await;
    let report = check(&small).unwrap();
    assert_eq!(report.findings, []);
    assert!(report.files > 3, "{report:?}");
    let whole = check(&written(config(&folder.path().join("whole"))).await).unwrap();
    assert_eq!((whole.files, &whole.checked), (1, &report.checked));
    assert_eq!((whole.checked["posts"], whole.checked["attachments"], whole.checked["comments"]), (6, 2, 2));
}

#[tokio::test]
async fn each_planted_fault_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(config(&folder.path().join("blog"))).await;
    assert_eq!(check(&path).unwrap().findings, []);
    let file = path.join("wordpress-001.xml");
    let good = fs::read_to_string(&file).unwrap();
    let faults = [
        ("</channel>", "", "not well-formed"),
        ("</rss>\n", "", "it ends too early"),
        ("]]]]><![CDATA[>", "]]>", "text beside a section"),
        ("<wp:post_id>7</wp:post_id>", "<wp:post_id>9</wp:post_id>", "a number that two posts have"),
        ("<wp:post_id>7</wp:post_id>", "<wp:post_id>x</wp:post_id>", "a post without a number"),
        ("<wp:post_parent>7</wp:post_parent>", "<wp:post_parent>12</wp:post_parent>", "a parent that is in no file"),
        ("<wp:wxr_version>1.2", "<wp:wxr_version>1.9", "not of version 1.2"),
        (
            "<wp:attachment_url><![CDATA[https:",
            "<wp:attachment_url><![CDATA[gone:",
            "an attachment without an address, or without its file",
        ),
        ("<wp:status><![CDATA[draft]]></wp:status>", "", "a post without type or state"),
        ("<wp:comment_id>", "<wp:comment_id>0", "a comment without a number"),
        (
            "<wp:comment_parent>0</wp:comment_parent>",
            "<wp:comment_parent>12</wp:comment_parent>",
            "an answer to a comment that is in no file",
        ),
    ];
    for (from, to, problem) in faults {
        let bad = match problem {
            "a comment without a number" => good.replacen("<wp:comment_id>", "<wp:comment_id>x", 1),
            _ => good.replacen(from, to, 1),
        };
        assert_ne!(bad, good, "{from}");
        fs::write(&file, bad).unwrap();
        let found = check(&path).unwrap();
        assert!(found.findings.iter().any(|found| found.problem.contains(problem)), "{problem}: {found:?}");
    }
    let comment = good.split("<wp:comment>").nth(2).unwrap();
    let twice = good.replacen(
        "<wp:comment>",
        &format!(
            "<wp:comment>{}<wp:comment>",
            comment.split("</wp:comment>").next().unwrap().to_owned() + "</wp:comment>\n"
        ),
        1,
    );
    fs::write(&file, twice).unwrap();
    assert!(check(&path).unwrap().findings.iter().any(|found| found.problem == "a number that two comments have"));
    fs::remove_file(&file).unwrap();
    assert_eq!(check(&path).unwrap().findings[0].problem, "there is no file for WordPress");
}

#[tokio::test]
async fn the_same_records_in_any_order_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let first = files(&written(config(&folder.path().join("blog"))).await);
    let path = folder.path().join("again");
    let again = (start(catalog(), 77), events(), attachments());
    assert_same_in_any_order(&WxrConnector::new(config(&path)), &path, &first, again).await;
}

#[tokio::test]
async fn it_reads_back_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let connector = WxrConnector::new(config(&folder.path().join("blog")));
    assert_reads_back(&connector).await;
    assert_eq!(connector.check_content().await.unwrap().findings, []);
    assert!(connector.verify().await.unwrap().is_clean());
}

#[tokio::test]
async fn the_conformance_checks_of_sinks_pass() {
    let folder = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicU32::new(0);
    let report = testkit::sink(async || {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let connector = WxrConnector::new(config(&folder.path().join(number.to_string())));
        Ok(std::sync::Arc::new(connector) as std::sync::Arc<dyn Connector>)
    })
    .await;
    report.assert_passed();
}

/// `feedparser` and `lxml` of `testing/requirements/readers.txt` read what was written.
mod live_readers {
    use crate::support::python;

    use super::*;

    #[tokio::test]
    #[ignore = "needs the readers of testing/servers.d"]
    async fn readers_of_feeds_find_posts_comments_and_terms() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(config(&folder.path().join("blog")).with_media_url("https://files.example/blog")).await;
        let told = python("wxr.py", &path.join("wordpress-001.xml"));
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["bozo"], false);
        assert_eq!(told["entries"].as_array().unwrap().len(), 6);
        let hello = &told["items"]["7"];
        assert_eq!(hello["title"], "Hello &amp; world");
        let content = hello["content"].as_str().unwrap();
        assert!(
            content
                .starts_with("<p>CDATA ]]> ends &amp; begins <![CDATA[ <img src=\"https://blog.example/old/cat.png\">")
        );
        assert_eq!(hello["creator"], "zoe-lindqvist");
        assert_eq!(
            hello["comments"],
            serde_json::json!([
                ["A guest", "said &lt;1&gt;\n\nand ]]&gt; more"],
                ["A guest", "said &lt;2&gt;\n\nand ]]&gt; more"]
            ])
        );
        assert_eq!(
            hello["terms"],
            serde_json::json!([
                ["post_tag", "cats-dogs", "Cats & dogs"],
                ["post_tag", "gone", "gone"],
                ["category", "pets", "Pets"]
            ])
        );
        assert_eq!(told["items"]["9"]["attachment"], "https://files.example/blog/media/_attachments/A-cat-1.png");
        assert_eq!(told["authors"], serde_json::json!([["zoe-lindqvist", "zoe@blog.example", "Zoë <Lindqvist>"]]));
    }
}
