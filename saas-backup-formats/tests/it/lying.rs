//! Attachments that are not what their name or their media type says, and some of no bytes, in every format.

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use saas_backup_core::{
    BlobRef, Body, Catalog, CheckReport, Collection, Connector, Digest, Kind, Markup, Record, Result, WriteMode,
};
use saas_backup_formats::auto::{self, AutoConfig, AutoConnector};
use saas_backup_formats::bagit::{self, BagItConfig, BagItConnector};
use saas_backup_formats::csv::{self, CsvConfig, CsvConnector};
use saas_backup_formats::files::{self, FilesConfig, FilesConnector};
use saas_backup_formats::git::{self, GitConfig, GitConnector};
use saas_backup_formats::html::{self, HtmlConfig, HtmlConnector};
use saas_backup_formats::ics::{self, IcsConfig, IcsConnector};
use saas_backup_formats::jsonl::{self, JsonlConfig, JsonlConnector};
use saas_backup_formats::mail::{self, MailConfig, MailConnector, MailLayout};
use saas_backup_formats::markdown::{self, MarkdownConfig, MarkdownConnector};
use saas_backup_formats::parquet::{self, ParquetConfig, ParquetConnector};
use saas_backup_formats::sqlite::{self, SqliteConfig, SqliteConnector};
use saas_backup_formats::vcf::{self, VcfConfig, VcfConnector};
use saas_backup_formats::wxr::{self, WxrConfig, WxrConnector};
use serde_json::json;

use crate::personal::{blob, mapping, record};
use crate::support::{files as tree, name, puts, start, write};

pub(crate) type Check = fn(&Path) -> Result<CheckReport>;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\0\0\0\x0cIDATx\x9cc\xf8\xcf\xc0\0\0\x03\x01\x01\0\xc9\xfe\x92\xef\0\0\0\0IEND\xaeB`\x82";
const PAGE: &[u8] = b"<!doctype html><script>window.__hacked = 1</script><h1>a page</h1>";
const DRAWING: &[u8] = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>window.__hacked = 1</script></svg>";
const MAIL: &[u8] = b"Date: Mon, 1 Jan 2024 10:00:00 +0000\r\nFrom: a@example.com\r\n\r\nFrom here\r\n";

/// Name, media type, bytes.
const LIES: [(&str, &str, &[u8]); 25] = [
    ("page.png", "image/png", PAGE),
    ("drawing.png", "image/png", DRAWING),
    ("drawing.jpg", "image/svg+xml", DRAWING),
    ("", "image/png", PAGE),
    ("", "image/svg+xml", PAGE),
    ("", "text/html", PNG),
    ("", "text/html", PAGE),
    ("picture.html", "image/png", PNG),
    ("picture.html.png", "text/html", PAGE),
    ("page.txt", "text/html", PAGE),
    ("page.pdf", "application/pdf", PAGE),
    ("page.mp3", "audio/mpeg", PAGE),
    ("page", "application/octet-stream", PAGE),
    ("utf-16", "", b"\xff\xfe<\0s\0v\0g\0>\0"),
    ("a.ics", "text/calendar", PAGE),
    ("a.vcf", "text/vcard", PNG),
    ("b.eml", "message/rfc822", PNG),
    ("a.eml", "message/rfc822; charset=\"\r\nX-Evil: 1", MAIL),
    ("a.bundle", "application/x-git-bundle-not", PAGE),
    ("parts", "multipart/mixed; boundary=x", b"--x\r\n"),
    ("evil", "text/plain\r\nX-Evil: 1\r\n\r\n<script>window.__hacked=1</script>", b"x"),
    ("=1+1", "=HYPERLINK(\"http://evil.example\")", b"y"),
    ("quote", "\"><img src=x onerror=window.__hacked=1>", b"z"),
    ("nul\0.png", "\0", b"\0"),
    ("no-type", "🎉/\u{202e}", b"w"),
];

/// One record of each kind that some format makes more of than a row, with all attachments and one without bytes.
pub(crate) fn world(kind_of_nothing: &str) -> (Catalog, Vec<Record>, Vec<(BlobRef, Bytes)>) {
    // Each has bytes of its own: formats keep the same bytes once, under one name.
    let lie = |(at, (name, kind, bytes)): (usize, &(&str, &str, &[u8]))| {
        blob(&at.to_string(), "attachment", name, kind, &[*bytes, format!("\n{at}").as_bytes()].concat())
    };
    let mut blobs: Vec<_> = LIES.iter().enumerate().map(lie).collect();
    blobs.insert(0, blob("nothing", "attachment", "nothing", kind_of_nothing, b""));
    let kinds = [
        ("documents", Kind::Document, Markup::Html),
        ("media", Kind::Media, Markup::Plain),
        ("drive", Kind::File, Markup::Plain),
        ("mail", Kind::Message, Markup::Html),
        ("events", Kind::Event, Markup::Plain),
        ("contacts", Kind::Contact, Markup::Plain),
        ("repositories", Kind::Repository, Markup::Plain),
        ("rows", Kind::Record, Markup::Plain),
    ];
    let collections = kinds.iter().map(|(of, kind, markup)| {
        let mut fields = mapping("title", "body", &["from", "date", "start"]);
        fields.body = Some(Body::new("body", *markup));
        Collection::new(name(of), *kind).with_fields(fields)
    });
    let catalog = Catalog::new(collections.collect());
    let records = kinds.iter().map(|(of, ..)| {
        let shown: Vec<String> =
            (0..blobs.len()).map(|at| format!("<img src=\"cid:{at}\"><a href=\"cid:{at}\">{at}</a>")).collect();
        let data = json!({ "title": "All", "body": shown.concat(), "from": "a@example.com", "date": "2024-01-01T00:00:00Z", "start": "2024-01-01T00:00:00Z" });
        blobs.iter().fold(record(of, "1", &data), |record, (blob, _)| record.with_blob(blob.clone()))
    });
    (catalog, records.collect(), blobs)
}

pub(crate) fn forms(path: &Path) -> Vec<(&'static str, Box<dyn Connector>, Check)> {
    let at = |format: &str| path.join(format);
    let mail = |layout, format: &str| Box::new(MailConnector::new(layout, MailConfig::new(at(format))));
    vec![
        ("jsonl", Box::new(JsonlConnector::new(JsonlConfig::new(at("jsonl")))), jsonl::check),
        ("bagit", Box::new(BagItConnector::new(BagItConfig::new(at("bagit")))), bagit::check),
        ("html", Box::new(HtmlConnector::new(HtmlConfig::new(at("html")))), html::check),
        ("markdown", Box::new(MarkdownConnector::new(MarkdownConfig::new(at("markdown")))), markdown::check),
        ("csv", Box::new(CsvConnector::new(CsvConfig::new(at("csv")).with_spreadsheet(true))), csv::check),
        ("sqlite", Box::new(SqliteConnector::new(SqliteConfig::new(at("sqlite")))), sqlite::check),
        ("parquet", Box::new(ParquetConnector::new(ParquetConfig::new(at("parquet")))), parquet::check),
        ("files", Box::new(FilesConnector::new(FilesConfig::new(at("files")))), files::check),
        ("ics", Box::new(IcsConnector::new(IcsConfig::new(at("ics")))), ics::check),
        ("vcf", Box::new(VcfConnector::new(VcfConfig::new(at("vcf")))), vcf::check),
        ("git", Box::new(GitConnector::new(GitConfig::new(at("git")))), git::check),
        ("wxr", Box::new(WxrConnector::new(WxrConfig::new(at("wxr")).with_media_url("http://a.example"))), wxr::check),
        ("eml", mail(MailLayout::Eml, "eml"), mail::check),
        ("mbox", mail(MailLayout::Mbox, "mbox"), mail::check),
        ("maildir", mail(MailLayout::Maildir, "maildir"), mail::check),
        ("auto", Box::new(AutoConnector::new(AutoConfig::new(at("auto")))), auto::check),
    ]
}

pub(crate) async fn written(connector: &dyn Connector, kind_of_nothing: &str) -> Vec<(BlobRef, Bytes)> {
    let (catalog, records, blobs) = world(kind_of_nothing);
    write(connector, WriteMode::Create, &start(catalog, 0), puts(&records), &blobs).await.unwrap();
    blobs
}

#[tokio::test]
async fn every_format_keeps_their_bytes_and_finds_no_fault_in_itself() {
    for kind_of_nothing in
        ["", "image/png", "text/calendar", "text/vcard", "message/rfc822", "application/x-git-bundle"]
    {
        let folder = tempfile::tempdir().unwrap();
        for (format, connector, check) in forms(folder.path()) {
            let blobs = written(&*connector, kind_of_nothing).await;
            let path = folder.path().join(format);
            let findings = check(&path).unwrap().findings;
            // A repository's bundle without bytes is no repository, and a person has to know.
            let is_lost = |problem: &str| kind_of_nothing == "application/x-git-bundle" && problem == "it is no bundle";
            let faults: Vec<_> = findings.iter().filter(|found| !is_lost(&found.problem)).collect();
            assert!(faults.is_empty(), "{format}, {kind_of_nothing}: {faults:?}");
            assert_eq!(findings.len(), usize::from(is_lost("it is no bundle") && matches!(format, "git" | "auto")));
            let held: BTreeSet<Digest> = tree(&path).values().map(|bytes| Digest::of(bytes)).collect();
            for (blob, bytes) in blobs {
                assert!(held.contains(&Digest::of(&bytes)), "{format} lacks {:?} {:?}", blob.name, blob.media_type);
            }
        }
    }
}

mod live_readers {
    use super::*;
    use crate::support::{browse, python};

    #[tokio::test]
    #[ignore = "needs the readers of testing/servers.d"]
    async fn foreign_readers_take_what_holds_them() {
        let folder = tempfile::tempdir().unwrap();
        for (format, connector, _) in forms(folder.path()) {
            let script = match format {
                "bagit" => "bag.py",
                "csv" => "csv_tables.py",
                "sqlite" => "sqlite_database.py",
                "parquet" => "parquet_columns.py",
                "files" => "files.py",
                "ics" => "ics.py",
                "vcf" => "vcf.py",
                "eml" | "mbox" | "maildir" => "mail.py",
                _ => continue,
            };
            written(&*connector, "text/plain").await;
            python(script, &folder.path().join(format));
        }
    }

    #[tokio::test]
    #[ignore = "needs chromium and the readers of testing/servers.d"]
    async fn a_browser_runs_none_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("html");
        written(&HtmlConnector::new(HtmlConfig::new(&path)), "text/html").await;
        std::fs::write(path.join("planted.html"), PAGE).unwrap();
        let mut opened = vec!["planted.html".to_owned()];
        // A drawing would run where it is opened by itself; no page links to it.
        let shown = [".html", ".txt", ".png", ".jpg"];
        opened.extend(
            tree(&path)
                .into_keys()
                .filter(|file| file != "planted.html" && shown.iter().any(|extension| file.ends_with(extension))),
        );
        let attachments = opened.iter().filter(|file| file.contains("_attachments/")).count();
        assert!(attachments > 10, "{opened:?}");
        let ask = json!(["ask", "window.__hacked ?? null"]);
        let steps: Vec<_> = opened.iter().flat_map(|file| [json!(["open", file]), ask.clone()]).collect();
        let told = browse(&path, &steps.into());
        let answers: Vec<_> = told["answers"].as_array().unwrap().iter().skip(1).step_by(2).collect();
        assert_eq!(answers[0], &json!(1), "the test would see it");
        for (file, hacked) in opened.iter().zip(answers).skip(1) {
            assert_eq!(hacked, &json!(null), "{file}");
        }
        assert_eq!(told["requests"], json!([]));
    }
}
