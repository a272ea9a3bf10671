//! What the tests of personal formats share: short ways to records, and foreign readers.
#![cfg_attr(
    not(all(feature = "files", feature = "git", feature = "ics", feature = "mail", feature = "vcf")),
    allow(dead_code, reason = "a format uses a part of what all share")
)]

use std::fmt::Write as _;

use bytes::Bytes;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::testkit::assert_same;
use saas_backup_core::{
    BlobId, BlobRef, Body, Catalog, Collection, Connector, Digest, FieldMapping, Json, Key, Kind, Markup, Record,
    Reference, SnapshotOptions, WriteMode,
};

use crate::support::{name, puts, start, write};

pub(crate) fn record(collection: &str, id: &str, data: &serde_json::Value) -> Record {
    Record::new(Key::parse(collection, id).unwrap(), Json::from_value(data).unwrap())
}

pub(crate) fn reference(collection: &str, id: &str) -> Reference {
    Reference::from(&Key::parse(collection, id).unwrap())
}

/// A blob and its bytes.
pub(crate) fn blob(id: &str, role: &str, name: &str, media_type: &str, bytes: &[u8]) -> (BlobRef, Bytes) {
    let bytes = Bytes::copy_from_slice(bytes);
    let mut blob = BlobRef::new(BlobId::parse(id).unwrap(), role).with_digest(Digest::of(&bytes));
    blob.name = Some(name.to_owned()).filter(|name| !name.is_empty());
    blob.media_type = Some(media_type.to_owned()).filter(|media_type| !media_type.is_empty());
    (blob, bytes)
}

/// A mapping of a title, a plain text, and properties that stand under their own names.
pub(crate) fn mapping(title: &str, body: &str, properties: &[&str]) -> FieldMapping {
    let mut fields = FieldMapping::default();
    fields.title = Some(title.to_owned());
    fields.body = Some(Body::new(body, Markup::Plain));
    fields.properties = properties.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect();
    fields
}

/// All files of a tree as a person reads them.
pub(crate) fn shown(files: &std::collections::BTreeMap<String, Vec<u8>>) -> String {
    let mut shown = String::new();
    for (file, bytes) in files {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) if file != "SHA256SUMS" && file != "manifest.json" => text.replace('\r', "␍"),
            _ => "(bytes)".to_owned(),
        };
        let _ = writeln!(shown, "═══ {file}\n{}", text.trim_end());
    }
    shown
}

/// Values as no provider should give them, and as some do.
fn hostile_value() -> impl Strategy<Value = serde_json::Value> {
    let texts = prop_oneof![
        any::<String>(),
        "[\r\n\t ;,:=\"\\\\^<>@.\\-a-zA-Z0-9\u{e4}\u{1f389}]{0,120}",
        proptest::sample::select(vec![
            "2024-02-29",
            "2024-03-31T02:30:00",
            "2024-03-31T02:30:00+01:00",
            "20240101T000000Z",
            "9998-12-31T23:59:59Z",
            "-0001-01-01",
            "Europe/Berlin",
            "Pacific Standard Time",
            "RRULE:FREQ=DAILY;UNTIL=20250101",
            "EXDATE;TZID=America/New_York:20240101T100000,20240102T100000",
            "RDATE:20240101T100000Z\r\nEXRULE:FREQ=WEEKLY;BYDAY=MO",
            "\"Doe, J\" <j@example.com>, x@example.com",
            "From here\nFrom there\r\n\r\nEND:VCALENDAR\r\nEND:VCARD",
            "data:image/png;base64,iVBORw0KGgo=",
            "https://example.com/a;b,c?d=e#f",
            "--02-29",
            "=?UTF-8?B?",
        ])
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        8 => texts.prop_map(serde_json::Value::from),
        1 => any::<i64>().prop_map(serde_json::Value::from),
        1 => any::<bool>().prop_map(serde_json::Value::from),
        1 => Just(serde_json::Value::Null),
    ];
    let names = proptest::sample::select(vec![
        "email",
        "address",
        "name",
        "displayName",
        "value",
        "number",
        "type",
        "label",
        "primary",
        "dateTime",
        "date",
        "timeZone",
        "minutes",
        "responseStatus",
        "optional",
        "street",
        "city",
        "formatted",
        "year",
        "month",
        "day",
    ]);
    leaf.prop_recursive(2, 12, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            proptest::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..5)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Records of a collection whose mapped properties hold anything.
pub(crate) fn hostile_records(
    collection: &'static str,
    properties: &'static [&str],
) -> impl Strategy<Value = Vec<Record>> {
    let properties_of = properties;
    let properties = proptest::collection::btree_map(proptest::sample::select(properties), hostile_value(), 0..12);
    proptest::collection::vec((properties, any::<Option<u16>>()), 0..8).prop_map(move |all| {
        let records = all.into_iter().enumerate().map(|(number, (mut data, parent))| {
            // Without a start there is no event to look at.
            let starts = ["2024-03-31T02:30:00+01:00", "2024-02-29", "2024-05-01T10:00:00"];
            if let Some(start) = starts.get(number % 4).filter(|_| properties_of.contains(&"start")) {
                data.insert("start", (*start).into());
            }
            let record = record(collection, &format!("r{number}"), &serde_json::json!(data));
            match parent {
                Some(parent) => record.with_ref("parent", reference("parents", &format!("p{}", parent % 3))),
                None => record,
            }
        });
        records.collect()
    })
}

/// A catalog for [`hostile_records`].
pub(crate) fn hostile_catalog(collection: &str, kind: Kind, properties: &[&str]) -> Catalog {
    let mut fields = mapping("title", "body", properties);
    fields.body = Some(Body::new("body", Markup::Html));
    fields.parent = Some("parent".to_owned());
    let parents = Collection::new(name("parents"), Kind::Other).with_fields(mapping("title", "body", &[]));
    Catalog::new(vec![Collection::new(name(collection), kind).with_fields(fields), parents])
}

/// Writes records, looks through the files, and reads them back.
pub(crate) fn assert_round_trip(connector: &dyn Connector, catalog: Catalog, records: &[Record]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let run = start(catalog.clone(), 0);
        write(connector, WriteMode::Create, &run, puts(records), &[]).await.unwrap();
        let store = MemoryStore::new();
        store.set_catalog(catalog);
        for record in records {
            store.put(record.clone());
        }
        let source = MemoryConnector::new(store).snapshot(SnapshotOptions::default()).await.unwrap();
        let there = connector.snapshot(SnapshotOptions::default()).await.unwrap();
        assert_same(&*source, &*there).await.unwrap();
    });
}

/// The same few hundred records each time, of those that [`hostile_records`] gives.
pub(crate) fn many_hostile_records(collection: &'static str, properties: &'static [&str]) -> Vec<Record> {
    let mut runner = TestRunner::deterministic();
    let strategy = hostile_records(collection, properties);
    let mut records = Vec::new();
    while records.len() < 400 {
        for mut record in strategy.new_tree(&mut runner).unwrap().current() {
            record.key = Key::parse(collection, format!("r{:04}", records.len())).unwrap();
            records.push(record);
        }
    }
    records
}
