use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use saas_backup_core::{
    BlobRef, Body, Catalog, Collection, FieldMapping, Kind, Markup, Record, RecordState, RefRule, WriteMode,
};
use saas_backup_formats::vcf::{VcfConfig, VcfConnector, check};
use serde_json::json;

use crate::personal::{assert_round_trip, blob, hostile_catalog, hostile_records, record, reference, shown};
use crate::support::{
    assert_conforms_as_sink, assert_reads_back, assert_same_in_any_order, files, name, puts, start, time, write,
};

fn connector(path: &Path) -> VcfConnector {
    VcfConnector::new(VcfConfig::new(path))
}

fn catalog() -> Catalog {
    let mut fields = FieldMapping::default();
    fields.title = Some("name".to_owned());
    fields.body = Some(Body::new("about", Markup::Html));
    fields.labels = vec!["groups".to_owned(), "tags".to_owned()];
    for (property, path) in [
        ("given_name", "first"),
        ("family_name", "last"),
        ("prefix", "prefix"),
        ("emails", "emails"),
        ("phones", "phones"),
        ("organization", "organizations"),
        ("title", "job"),
        ("addresses", "addresses"),
        ("birthday", "birthday"),
        ("photo", "photo"),
        ("uid", "uid"),
        ("groups", "labels"),
        ("url", "web"),
        ("raw", "raw"),
    ] {
        fields.properties.insert(property.to_owned(), path.to_owned());
    }
    let mut titled = FieldMapping::default();
    titled.title = Some("name".to_owned());
    Catalog::new(vec![
        Collection::new(name("contacts"), Kind::Contact)
            .with_title("Contacts")
            .with_fields(fields)
            .with_ref(RefRule::many("groups", name("groups")))
            .with_ref(RefRule::many("tags", name("tags"))),
        Collection::new(name("groups"), Kind::Group).with_fields(titled.clone()),
        Collection::new(name("tags"), Kind::Record).with_fields(titled),
        Collection::new(name("unmapped"), Kind::Contact),
        Collection::new(name("empty"), Kind::Contact),
    ])
}

/// As a telephone of 2008 writes it.
const OLD: &str = "BEGIN:VCARD\r\nVERSION:2.1\r\nN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:M=C3=BCller;J=C3=B6rg;;;\r\n\
TEL;CELL;PREF:+49 1\r\nNOTE;ENCODING=QUOTED-PRINTABLE:Two=0D=0A=\r\nlines; here\r\nPHOTO;ENCODING=BASE64;JPEG:/9j/\r\n 4AAQ\r\n\
\r\nEND:VCARD\r\n";

const THREE: &str = "BEGIN:VCARD\nVERSION:3.0\nFN:Verbatim\\, three\nN:three;Verbatim;;;\nUID:three@example\n\
EMAIL;TYPE=INTERNET,WORK:a@example.com\nBDAY;X-APPLE-OMIT-YEAR=1604:1604-02-29\nX-OWN:kept\nEND:VCARD\n";

const FOUR: &str = "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Verbatim four\r\nUID:urn:uuid:03a0e51f-d1aa-4385-8a53-e29025acd8af\r\n\
BDAY:--0415\r\nTEL;VALUE=uri;PREF=1;TYPE=home:tel:+1-555\r\nPHOTO:data:image/gif;base64,R0lGODlh\r\nGENDER:F\r\nEND:VCARD\r\n";

fn world() -> (Vec<Record>, Vec<(BlobRef, Bytes)>) {
    let contact = |id: &str, data: serde_json::Value| {
        let mut contact = record("contacts", id, &data);
        contact.modified = Some(time(60));
        contact
    };
    let (photo, photo_bytes) =
        blob("p", "photo", "me.png", "image/png", b"\x89PNG\r\n\x1a\n and so on, longer than one line may be");
    let (large, large_bytes) = blob("l", "photo", "large.jpg", "image/jpeg", &vec![7; 1024 * 1024 + 1]);
    let (old, old_bytes) = blob("o", "original", "old.vcf", "text/x-vcard", OLD.as_bytes());
    let mut trashed = contact("5", json!({ "name": "gone" }));
    trashed.state = RecordState::Trashed;
    let records = vec![
        record("groups", "g1", &json!({ "name": "Friends; near, far" })),
        record("tags", "t1", &json!({ "name": "red" })),
        contact("1", json!({
            "name": "Dr. Jäne \"JJ\" Doe; and, co\\", "first": "Jäne", "last": "Doe; and, co", "prefix": "Dr.",
            "emails": [{ "value": "jane@example.com", "type": "work", "primary": true }, "j@home.example",
                { "value": "x@school.example", "type": "School; old" }, {}],
            "phones": [{ "number": "+49 30 1", "label": "mobile" }, { "number": "+49 30 2", "label": "fax" }],
            "organizations": [{ "name": "ACME, Inc.", "department": "R;D", "title": "Head" }],
            "addresses": [
                { "streetAddress": "Straße 1\nHinterhaus", "city": "Berlin", "postalCode": "10115", "country": "Germany", "type": "home" },
                "Somewhere 5, \"here\"\nThere", {}
            ],
            "birthday": { "month": 2, "day": 29 }, "labels": ["VIP"], "web": "https://jane.example/a,b",
            "about": "<p>Likes <b>cats</b></p><script>alert(1)</script>", "uid": "urn:uuid:9b1f0c5a-1111-4222-8333-444455556666",
        }))
        .with_refs("groups", vec![reference("groups", "g1")])
        .with_refs("tags", vec![reference("tags", "t1"), reference("tags", "gone")])
        .with_blob(photo.clone()),
        contact("2", json!({ "first": "Zoë", "birthday": "1980-04-15", "uid": "not an address", "photo": "https://img.example/z.png" }))
            .with_refs("groups", vec![reference("groups", "g1")]),
        contact("3", json!({ "emails": "only@example.com", "birthday": "sometime", "uid": "not an address",
            "photo": "iVBORw0KGgo=", "organizations": [{ "domain": "x" }] })),
        contact("4", json!({ "organizations": "Company only", "photo": "javascript:alert(1)" })).with_blob(large.clone()),
        trashed,
        contact("6", json!({})).with_blob(old.clone()),
        contact("7", json!({ "raw": THREE })),
        contact("8", json!({ "raw": FOUR })).with_refs("groups", vec![reference("groups", "g1")]),
        contact("9", json!({ "raw": "BEGIN:VCARD\nFN:cut", "name": "\u{202e}emaN \u{0}\u{7}\r\nEND:VCARD\r\nBEGIN:VCARD" })),
        record("unmapped", "x", &json!({ "n": 1 })),
    ];
    (records, vec![(photo, photo_bytes), (large, large_bytes), (old, old_bytes)])
}

async fn written(folder: &Path) -> PathBuf {
    let path = folder.join("contacts");
    let (records, blobs) = world();
    write(&connector(&path), WriteMode::Create, &start(catalog(), 0), puts(&records), &blobs).await.unwrap();
    path
}

#[tokio::test]
async fn address_books_read_like_this() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let mut tree = files(&path);
    tree.retain(|file, _| !file.starts_with('_'));
    insta::assert_snapshot!(shown(&tree));
}

#[tokio::test]
async fn what_is_written_has_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let report = connector(&path).check_content().await.unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.checked["cards"], 20, "{report:?}");
    assert!(connector(&path).verify().await.unwrap().is_clean());
}

#[test]
fn planted_faults_are_found() {
    let four = "BEGIN:VCARD\nVERSION:4.0\nFN:A\nUID:1\nPHOTO:data:image/png;base64,AAAA\nEND:VCARD\n";
    let three = "BEGIN:VCARD\nVERSION:3.0\nFN:A\nN:A;;;;\nUID:1\nPHOTO;ENCODING=b;TYPE=PNG:AAAA\nEND:VCARD\n";
    let long = format!("UID:1\nNOTE:{}\n", "x".repeat(80));
    let cases: &[(&str, &str, &str, &str)] = &[
        (four, "", "", ""),
        (three, "", "", ""),
        (four, "FN:A\n", "", "without a name"),
        (three, "N:A;;;;\n", "", "without the parts"),
        (four, "VERSION:4.0\nFN:A\n", "FN:A\nVERSION:4.0\n", "second line"),
        (four, "VERSION:4.0\n", "", "no version"),
        (four, "UID:1\n", &long, "more than 75 octets"),
        (four, "PHOTO:data:image/png;base64,AAAA", "PHOTO;ENCODING=b:AAAA", "knows no encodings"),
        (four, "FN:A", "FN;CHARSET=UTF-8:A", "always UTF-8"),
        (three, "PHOTO;ENCODING=b;TYPE=PNG:AAAA", "PHOTO:data:image/png;base64,AAAA", "no data addresses"),
        (four, "END:VCARD\n", "", "does not end"),
        (four, "END:VCARD\n", "BEGIN:VCARD\nEND:VCARD\n", "within another one"),
        (four, "END:VCARD\n", "END:VCARD\nBEGIN:VCARD\nVERSION:4.0\nFN:B\nUID:1\nEND:VCARD\n", "the same UID"),
        (four, "FN:A", "FN A", "no property"),
        (four, "BEGIN:VCARD\n", "NOTE:x\nBEGIN:VCARD\n", "outside of a card"),
    ];
    let problems = |text: &[u8], twin: Option<&str>| {
        let folder = tempfile::tempdir().unwrap();
        let mut names = "[\n{\"file\":\"a.vcf\",\"collection\":\"x\"}\n".to_owned();
        fs::write(folder.path().join("a.vcf"), text).unwrap();
        if let Some(twin) = twin {
            fs::write(folder.path().join("b.vcf"), twin.replace('\n', "\r\n")).unwrap();
            names.push_str(",\n{\"file\":\"b.vcf\",\"collection\":\"x\"}\n");
        }
        fs::write(folder.path().join("names.json"), names.replace("}\n,", "},") + "]\n").unwrap();
        check(folder.path()).unwrap().findings.into_iter().map(|found| found.problem).collect::<Vec<_>>()
    };
    for (good, from, to, expected) in cases {
        let text = if from.is_empty() { (*good).to_owned() } else { good.replacen(from, to, 1) };
        assert_eq!(from.is_empty(), text == *good);
        let found = problems(text.replace('\n', "\r\n").as_bytes(), None);
        let as_expected =
            if expected.is_empty() { found.is_empty() } else { found.iter().any(|it| it.contains(expected)) };
        assert!(as_expected, "{from:?}: {found:?}");
    }
    assert_eq!(problems(four.as_bytes(), None).len(), 6, "each line ends with a line feed alone");
    let text = four.replace('\n', "\r\n");
    assert_eq!(problems(text.as_bytes(), Some(three)), Vec::<String>::new());
    let other = three.replace("UID:1", "UID:2");
    assert_eq!(
        problems(text.as_bytes(), Some(&other)),
        ["the address books of this folder do not have the same contacts"]
    );
}

#[tokio::test]
async fn the_same_records_in_any_order_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let first = files(&written(folder.path()).await);
    let path = folder.path().join("again");
    let (records, blobs) = world();
    assert_same_in_any_order(&connector(&path), &path, &first, (start(catalog(), 77), puts(&records), blobs)).await;
}

#[tokio::test]
async fn it_reads_back_everything() {
    let folder = tempfile::tempdir().unwrap();
    assert_reads_back(&connector(&folder.path().join("contacts"))).await;
}

#[tokio::test]
async fn the_conformance_checks_of_sinks_pass() {
    assert_conforms_as_sink(connector).await;
}

const PROPERTIES: [&str; 16] = [
    "given_name",
    "family_name",
    "middle_name",
    "prefix",
    "emails",
    "phones",
    "addresses",
    "organization",
    "title",
    "birthday",
    "photo",
    "note",
    "url",
    "uid",
    "groups",
    "body",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(40))]

    #[test]
    fn whatever_records_hold_the_files_have_no_fault_and_read_back(records in hostile_records("contacts", &PROPERTIES)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        assert_round_trip(&connector(&path), hostile_catalog("contacts", Kind::Contact, &PROPERTIES), &records);
        proptest::prop_assert_eq!(check(&path).unwrap().findings, []);
    }
}

mod live_readers {
    use super::*;
    use crate::personal::many_hostile_records;
    use crate::support::python;

    #[tokio::test]
    #[ignore = "needs Python with vobject and radicale"]
    async fn vobject_and_radicale_read_every_contact() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path()).await;
        insta::assert_snapshot!(python("vcf.py", &path));
    }

    #[tokio::test]
    #[ignore = "needs Python with icalendar, vobject and radicale"]
    async fn they_read_whatever_records_hold() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let catalog = hostile_catalog("contacts", Kind::Contact, &PROPERTIES);
        let records = many_hostile_records("contacts", &PROPERTIES);
        write(&connector(&path), WriteMode::Create, &start(catalog, 0), puts(&records), &[]).await.unwrap();
        assert!(python("vcf.py", &path).lines().count() > 50);
    }
}
