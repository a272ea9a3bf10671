use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use saas_backup_core::{
    BlobRef, Body, Catalog, Collection, Connector, FieldMapping, Kind, Markup, Record, RecordState, RefRule, WriteMode,
};
use saas_backup_formats::mail::{MailConfig, MailConnector, MailLayout, MaildirSeparator, check};
use serde_json::json;

use crate::personal::{assert_round_trip, blob, hostile_catalog, hostile_records, record, reference, shown};
use crate::support::{
    assert_conforms_as_sink, assert_reads_back, assert_same_in_any_order, files, name, puts, start, time, write,
};

const LAYOUTS: [MailLayout; 3] = [MailLayout::Eml, MailLayout::Mbox, MailLayout::Maildir];

fn connector(layout: MailLayout, path: &Path) -> MailConnector {
    MailConnector::new(layout, MailConfig::new(path))
}

fn catalog() -> Catalog {
    let mut fields = FieldMapping::default();
    fields.title = Some("subject".to_owned());
    fields.body = Some(Body::new("body", Markup::Html));
    fields.parent = Some("thread".to_owned());
    fields.labels = vec!["labels".to_owned()];
    fields.author = Some("author".to_owned());
    for (property, path) in [
        ("from", "from"),
        ("to", "to"),
        ("cc", "cc"),
        ("bcc", "bcc"),
        ("reply_to", "replyTo"),
        ("date", "date"),
        ("message_id", "messageId"),
        ("in_reply_to", "inReplyTo"),
        ("references", "references"),
        ("labels", "labelIds"),
        ("flags", "flags"),
        ("read", "isRead"),
        ("raw", "raw"),
    ] {
        fields.properties.insert(property.to_owned(), path.to_owned());
    }
    let mut titled = FieldMapping::default();
    titled.title = Some("name".to_owned());
    let mut chat = FieldMapping::default();
    chat.body = Some(Body::new("text", Markup::Plain));
    chat.parent = Some("in".to_owned());
    Catalog::new(vec![
        Collection::new(name("messages"), Kind::Message)
            .with_title("Mail")
            .with_fields(fields)
            .with_ref(RefRule::one("thread", name("threads")))
            .with_ref(RefRule::many("labels", name("labels")))
            .with_ref(RefRule::one("author", name("users"))),
        Collection::new(name("threads"), Kind::Conversation).with_fields(titled.clone()),
        Collection::new(name("labels"), Kind::Other).with_fields(titled.clone()),
        Collection::new(name("users"), Kind::User).with_fields(titled),
        Collection::new(name("chat"), Kind::Message).with_fields(chat).with_ref(RefRule::one("in", name("threads"))),
        Collection::new(name("empty"), Kind::Message),
    ])
}

/// Signed, not UTF-8, with lines that mboxes trip over, mixed line ends and none at the end.
const SIGNED: &[u8] = b"DKIM-Signature: v=1; b=abc\r\nDate: Mon, 1 Jan 2024 10:00:00 +0100\r\nFrom: a@example.com\r\n\
Subject: caf\xe9\r\nContent-Type: multipart/mixed;\r\n boundary=\"x y\"\r\n\r\n--x y\r\n\r\nFrom here\r\n>From there\r\n\
From far\n\xff\xfe\0\r\n--x y--\r\nFrom the end";

const GMAIL: &str = "RnJvbTogYkBleGFtcGxlLmNvbQ0KRGF0ZTogVHVlLCAyIEphbiAyMDI0IDEwOjAwOjAwICswMDAwDQoNCkhlbGxvDQo";

fn world() -> (Vec<Record>, Vec<(BlobRef, Bytes)>) {
    let message = |id: &str, labels: &[&str], data: serde_json::Value| {
        let labels = labels.iter().map(|label| reference("labels", label)).collect();
        record("messages", id, &data).with_refs("labels", labels).with_ref("thread", reference("threads", "t1"))
    };
    let label = |id: &str, title: &str| record("labels", id, &json!({ "name": title }));
    let (signed, signed_bytes) = blob("m1", "raw", "original.eml", "message/rfc822", SIGNED);
    let (plan, plan_bytes) = blob("a1", "attachment", "Plän: \"A\"\r\nX-Evil: 1.pdf", "application/pdf", &[0xFF; 200]);
    let (empty, empty_bytes) = blob("a2", "attachment", "", "text/plain; charset=x", b"");
    let mut trashed = message("6", &["INBOX"], json!({ "subject": "gone", "date": 1_700_000_000 }));
    trashed.state = RecordState::Trashed;
    let mut chat = record("chat", "c1", &json!({ "text": "From me\n.\n..dots = fine 🎉\ttab \n\nend" }))
        .with_ref("in", reference("threads", "t1"));
    chat.created = Some(time(5));
    chat.by = Some(reference("users", "u1"));
    let mut answer = record("chat", "c2", &json!({ "text": "x".repeat(500) })).with_ref("in", reference("chat", "c1"));
    answer.created = Some(time(6));
    let records = vec![
        record("threads", "t1", &json!({ "name": "A thread / about" })),
        record("users", "u1", &json!({ "name": "Jäne \"JJ\" Doe" })),
        label("INBOX", "INBOX"),
        label("UNREAD", "UNREAD"),
        label("work", "Work/2024: Q1"),
        message("1", &["UNREAD", "INBOX", "work"], json!({ "subject": "Signed: café", "flags": ["\\Answered"] }))
            .with_blob(signed.clone())
            .with_blob(plan.clone()),
        message("2", &["work"], json!({ "raw": GMAIL, "subject": "From Gmail", "isRead": true, "flags": ["starred"] })),
        message("3", &[], json!({
            "subject": "Built: ünïcode subject that is long enough to need more than one encoded word 🎉🎉🎉\r\nBcc: evil@example.com",
            "from": [{ "email": "jane@example.com", "name": "Doe, \"JJ\" Jäne" }],
            "to": "\"A, B\" <a@example.com>, b@example.com, Nobody", "cc": [{ "emailAddress": { "address": "c@example.com", "name": "C" } }],
            "replyTo": "r@example.com\r\nX-Evil: 1", "bcc": [], "date": "2024-03-25T10:00:00+01:00",
            "messageId": "own@example.com", "inReplyTo": "<one@example.com>", "references": ["<one@example.com> <two@example.com>", "three@example.com"],
            "body": "<p>Grüße, <b>fett</b></p>\nFrom the body\n.\n", "flags": { "seen": true }, "labelIds": ["INBOX"],
        }))
        .with_blob(plan.clone())
        .with_blob(empty.clone()),
        record("messages", "4", &json!({ "subject": "", "date": "yesterday" })).with_ref("author", reference("users", "u1")),
        message("5", &["gone"], json!({ "subject": "../../etc/passwd", "isRead": true, "date": "Mon, 01 Jan 2024 10:00:00 +0000" })),
        trashed,
        chat,
        answer,
    ];
    (records, vec![(signed, signed_bytes), (plan, plan_bytes), (empty, empty_bytes)])
}

async fn written(layout: MailLayout, folder: &Path) -> PathBuf {
    let path = folder.join("mail");
    let (records, blobs) = world();
    write(&connector(layout, &path), WriteMode::Create, &start(catalog(), 0), puts(&records), &blobs).await.unwrap();
    path
}

#[tokio::test]
async fn messages_read_like_this() {
    for layout in LAYOUTS {
        let folder = tempfile::tempdir().unwrap();
        let path = written(layout, folder.path()).await;
        let mut tree = files(&path);
        tree.retain(|file, _| !file.starts_with("_source"));
        insta::assert_snapshot!(format!("{layout:?}"), shown(&tree));
        if layout == MailLayout::Maildir {
            assert!(path.join("messages/tmp").is_dir() && path.join("messages/Mail/new").is_dir());
        }
    }
}

#[tokio::test]
async fn an_original_is_never_touched() {
    for layout in LAYOUTS {
        let folder = tempfile::tempdir().unwrap();
        let path = written(layout, folder.path()).await;
        let tree = files(&path);
        let whole = tree.values().filter(|bytes| bytes.as_slice() == SIGNED).count();
        assert_eq!(whole, usize::from(layout != MailLayout::Mbox));
        let back = connector(layout, &path);
        let there = back.snapshot(saas_backup_core::SnapshotOptions::default()).await.unwrap();
        let owner = saas_backup_core::Key::parse("messages", "1").unwrap();
        let mut bytes = Vec::new();
        let mut stream = there.open(&owner, &world().1[0].0, None).await.unwrap();
        while let Some(chunk) = futures::StreamExt::next(&mut stream).await {
            bytes.extend_from_slice(&chunk.unwrap());
        }
        assert_eq!(bytes, SIGNED, "{layout:?}");
    }
}

#[tokio::test]
async fn what_is_written_has_no_fault() {
    for layout in LAYOUTS {
        let folder = tempfile::tempdir().unwrap();
        let path = written(layout, folder.path()).await;
        let report = connector(layout, &path).check_content().await.unwrap();
        assert_eq!(report.findings, []);
        assert_eq!(report.checked["messages"], 8, "{report:?}");
        assert!(connector(layout, &path).verify().await.unwrap().is_clean());
    }
}

#[tokio::test]
async fn the_separator_of_a_maildirs_flags_can_be_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail");
    let (records, blobs) = world();
    let config = MailConfig::new(&path).with_separator(MaildirSeparator::Colon);
    let connector = MailConnector::new(MailLayout::Maildir, config);
    write(&connector, WriteMode::Create, &start(catalog(), 0), puts(&records), &blobs).await.unwrap();
    assert!(files(&path).keys().any(|file| file.ends_with(":2,FS")));
    assert_eq!(check(&path).unwrap().findings, []);
}

#[test]
fn planted_faults_are_found() {
    let good = "Date: Mon, 1 Jan 2024 10:00:00 +0000\nFrom: a@example.com\nContent-Type: multipart/mixed; boundary=b\n\n\
        --b\nContent-Type: multipart/alternative; boundary=\"c\"\n\n--c\n\nx\n--c--\n--b--\n";
    let problems = |file: &str, text: &str, labelled: usize| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(file), text).unwrap();
        fs::write(folder.path().join("names.json"), format!("[\n{{\"file\":\"{file}\",\"collection\":\"x\"}}\n]\n"))
            .unwrap();
        let line =
            format!("{{\"file\":\"{file}\",\"collection\":\"x\",\"id\":\"1\",\"mailbox\":\"\",\"original\":true}}");
        fs::write(folder.path().join("labels.json"), format!("[\n{}\n]\n", vec![line; labelled].join(",\n"))).unwrap();
        check(folder.path()).unwrap().findings.into_iter().map(|found| found.problem).collect::<Vec<_>>()
    };
    for (from, to, expected) in [
        ("", "", ""),
        ("Date: Mon, 1 Jan 2024 10:00:00 +0000\n", "", "without a date"),
        ("Mon, 1 Jan", "sometime in", "a date that is none"),
        ("From: a@example.com\n", "", "without a sender"),
        ("boundary=b", "boundary=other", "a boundary that never comes"),
        ("; boundary=b", "", "parts without a boundary"),
        ("--b--\n", "", "a part that does not end"),
        ("--c--\n", "", "a part that does not end"),
        ("boundary=\"c\"", "boundary=\"d\"", "a part that does not end"),
    ] {
        let text = if from.is_empty() { good.to_owned() } else { good.replacen(from, to, 1) };
        assert_eq!(from.is_empty(), text == good);
        for text in [text.clone(), text.replace('\n', "\r\n")] {
            let found = problems("a.eml", &text, 1);
            assert_eq!(found.iter().any(|it| it.contains(expected)), !expected.is_empty(), "{from:?}: {found:?}");
        }
    }
    let mbox = format!("From x Mon Jan  1 10:00:00 2024\n{good}\n");
    let two = mbox.repeat(2);
    assert_eq!(problems("a.mbox", &two, 2), Vec::<String>::new());
    let split = two.replacen("x\n--c--", "x\n\nFrom here it goes on\n--c--", 1);
    assert!(problems("a.mbox", &split, 2).iter().any(|it| it.contains("it has 3 messages, and labels.json names 2")));
    assert!(problems("a.mbox", &two, 3).iter().any(|it| it.contains("it has 2 messages")));
    assert_eq!(problems("other.txt", "x", 1), ["a file that labels.json names is not there"]);
    let folder = tempfile::tempdir().unwrap();
    let found = || -> Vec<_> {
        let findings = check(folder.path()).unwrap().findings;
        findings.into_iter().map(|found| format!("{} {}: {}", found.file, found.at, found.problem)).collect()
    };
    assert_eq!(found(), ["names.json : it is missing", "labels.json : it is missing"]);
    fs::write(folder.path().join("names.json"), "[\n{}\n]\n").unwrap();
    fs::write(folder.path().join("labels.json"), "[\n{}\n]\n").unwrap();
    assert_eq!(
        found(),
        ["names.json line 2: it does not say what a file is", "labels.json line 2: it does not say what a message is"]
    );
}

#[tokio::test]
async fn the_same_records_in_any_order_give_the_same_bytes() {
    for layout in LAYOUTS {
        let folder = tempfile::tempdir().unwrap();
        let first = files(&written(layout, folder.path()).await);
        let path = folder.path().join("again");
        let (records, blobs) = world();
        let again = (start(catalog(), 77), puts(&records), blobs);
        assert_same_in_any_order(&connector(layout, &path), &path, &first, again).await;
    }
}

#[tokio::test]
async fn it_reads_back_everything() {
    for layout in LAYOUTS {
        let folder = tempfile::tempdir().unwrap();
        assert_reads_back(&connector(layout, &folder.path().join("mail"))).await;
    }
}

#[tokio::test]
async fn the_conformance_checks_of_sinks_pass() {
    for layout in LAYOUTS {
        assert_conforms_as_sink(|path| connector(layout, path)).await;
    }
}

const PROPERTIES: [&str; 13] = [
    "from",
    "to",
    "cc",
    "reply_to",
    "date",
    "message_id",
    "in_reply_to",
    "references",
    "labels",
    "flags",
    "read",
    "title",
    "body",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(12))]

    #[test]
    fn whatever_records_hold_the_files_have_no_fault_and_read_back(records in hostile_records("messages", &PROPERTIES)) {
        for layout in LAYOUTS {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("out");
            let catalog = hostile_catalog("messages", Kind::Message, &PROPERTIES);
            assert_round_trip(&connector(layout, &path), catalog, &records);
            proptest::prop_assert_eq!(check(&path).unwrap().findings, []);
        }
    }
}

mod live_readers {
    use std::process::Command;

    use super::*;
    use crate::personal::many_hostile_records;
    use crate::support::{python, succeeded};

    #[tokio::test]
    #[ignore = "needs Python"]
    async fn python_reads_every_message_without_a_defect() {
        for layout in LAYOUTS {
            let folder = tempfile::tempdir().unwrap();
            let path = written(layout, folder.path()).await;
            insta::assert_snapshot!(format!("python_{layout:?}"), python("mail.py", &path));
        }
    }

    /// Maildirs with the flags where programs look for them.
    async fn maildirs(folder: &Path) -> PathBuf {
        let path = folder.join("mail");
        let (records, blobs) = world();
        let config = MailConfig::new(&path).with_separator(MaildirSeparator::Colon);
        let connector = MailConnector::new(MailLayout::Maildir, config);
        write(&connector, WriteMode::Create, &start(catalog(), 0), puts(&records), &blobs).await.unwrap();
        path
    }

    // Debian's `notmuch`.
    #[tokio::test]
    #[ignore = "needs notmuch"]
    async fn notmuch_finds_every_message() {
        let folder = tempfile::tempdir().unwrap();
        for path in [maildirs(folder.path()).await.join("messages"), {
            let other = folder.path().join("eml");
            fs::create_dir(&other).unwrap();
            written(MailLayout::Eml, &other).await.join("messages")
        }] {
            let config = path.parent().unwrap().with_extension("config");
            fs::write(&config, format!("[database]\npath={}\n[new]\ntags=new\n", path.display())).unwrap();
            let notmuch = |arguments: &[&str]| {
                succeeded(Command::new("notmuch").env("NOTMUCH_CONFIG", &config).args(arguments)).trim().to_owned()
            };
            notmuch(&["new"]);
            assert_eq!(notmuch(&["count", "*"]), "6");
            assert_eq!(notmuch(&["count", "from:jane@example.com", "and", "to:b@example.com"]), "1");
            if path.ends_with("mail/messages") && path.starts_with(folder.path().join("mail")) {
                assert_eq!(notmuch(&["count", "tag:unread"]), "4", "two are read");
            }
        }
    }

    // Debian's `dovecot-core`.
    #[tokio::test]
    #[ignore = "needs doveadm"]
    async fn dovecot_finds_every_message_and_its_flags() {
        let folder = tempfile::tempdir().unwrap();
        let path = maildirs(folder.path()).await;
        insta::assert_snapshot!(python("dovecot.py", &path.join("messages")));
    }

    #[tokio::test]
    #[ignore = "needs Python"]
    async fn python_reads_whatever_records_hold() {
        for layout in LAYOUTS {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("out");
            let catalog = hostile_catalog("messages", Kind::Message, &PROPERTIES);
            let records = many_hostile_records("messages", &PROPERTIES);
            write(&connector(layout, &path), WriteMode::Create, &start(catalog, 0), puts(&records), &[]).await.unwrap();
            assert!(python("mail.py", &path).lines().count() > records.len());
        }
    }
}
