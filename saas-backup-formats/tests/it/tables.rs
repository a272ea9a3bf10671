//! What the formats with rows and columns have to cope with, and what a foreign program says of them.

use bytes::Bytes;
use saas_backup_core::testkit::{NASTY_JSON, sample_blob, sample_records};
use saas_backup_core::{
    Access, BlobId, BlobRef, BlobStatus, Catalog, Collection, Event, FieldMapping, Json, Key, Kind, Principal, Record,
    RefRule, Reference,
};

use crate::support::{name, puts, time};

pub(crate) fn record(collection: &str, id: &str, data: &str) -> Record {
    Record::new(Key::parse(collection, id).unwrap(), Json::parse(data.to_owned()).unwrap())
}

pub(crate) fn reference(collection: &str, id: &str) -> Reference {
    Reference::from(&Key::parse(collection, id).unwrap())
}

/// A small shop: every kind of column, relationship and trap, few enough to be looked at.
pub(crate) fn shop() -> (Catalog, Vec<Event>, Vec<(BlobRef, Bytes)>) {
    let mut person = FieldMapping::default();
    person.title = Some("name".to_owned());
    let catalog = Catalog::new(vec![
        Collection::new(name("orders"), Kind::Transaction)
            .with_title("Orders")
            .with_blobs()
            .with_ref(RefRule::one("customer", name("customers")))
            .with_ref(RefRule::many("tags", name("tags")))
            .with_ref(RefRule::one("about", name("orders")).or(name("customers"))),
        Collection::new(name("customers"), Kind::Contact)
            .with_title("Customers")
            .with_fields(person)
            .with_ref(RefRule::one("referred_by", name("customers"))),
        Collection::new(name("tags"), Kind::Record).with_title("Tags"),
        Collection::new(name("Empty Ones"), Kind::Record).with_ref(RefRule::one("order", name("orders"))),
    ]);
    let (receipt, bytes) = sample_blob("receipt", 1, 3000).unwrap();
    let receipt = receipt.with_name("=cmd|' /C calc'!A0.pdf").with_path("/data/files/0");
    let mut blocked = BlobRef::new(BlobId::parse("blocked").unwrap(), "inline").with_name("nul\0 and \r");
    blocked.status = BlobStatus::Blocked;
    let mut first = record(
        "orders",
        "1",
        r#"{"total":1.10,"paid":true,"day":"2024-02-29","at":"2024-02-29T10:00:00.5Z","note":"=HYPERLINK(\"http://evil\")","mixed":5,"big":18446744073709551616,"count":-5,
        "customer":{"name":"Jane, \"J\"","mail":null,"address":{"city":"Köln","geo":{"lat":50.9375}}},
        "_links":{"self":"https://shop.example/1"},
        "items":[{"sku":"a-1","price":9.90,"options":["red","XL"]},{"sku":"b-2","price":10,"options":[]}],
        "labels":["new","-5",""],"matrix":[[1,2],[3]],"never":[],"void":null,"text":"two\r\nlines","id":"other"}"#,
    )
    .with_ref("customer", reference("customers", "c1"))
    .with_refs("tags", vec![reference("tags", "t1"), reference("tags", "gone")])
    .with_ref("about", reference("customers", "c2"))
    .with_blob(receipt.clone())
    .with_blob(blocked)
    .with_version("7");
    first.created = Some(time(0));
    first.by = Some(reference("customers", "c1"));
    first.access = vec![
        Access::new(Principal::Named("anyone".to_owned()), "reader"),
        Access::new(Principal::Record(reference("customers", "c1")), "owner"),
    ];
    let second = record(
        "orders",
        "2",
        r#"{"total":1e400,"paid":false,"day":"2024-03-01","at":"2024-02-29T12:00:00+02:00","note":"","mixed":"five","big":1,"count":9223372036854775807,
        "customer":{"name":"\ud800","mail":"","address":null},"items":[],"labels":[],"matrix":[],"text":"a\rb","text":"twice","a_b":1,"a":{"b":2},"A":{"B":3},"\\N":"\\N"}"#,
    )
    .with_ref("customer", reference("customers", "nobody"))
    .with_ref("about", reference("orders", "1"))
    .with_refs("tags", Vec::new())
    .with_blob(receipt.clone());
    let mut elsewhere = reference("orders", "1");
    elsewhere.account = Some("another".to_owned());
    let third = record("orders", "\\N", r#"{"total":-0.0,"mixed":{"a":1},"items":null,"labels":null,"text":"\u0000"}"#)
        .with_ref("about", elsewhere);
    let mut events = puts(&[
        first,
        second,
        third,
        record("customers", "c1", r#"{"name":"Jane"}"#).with_ref("referred_by", reference("customers", "c2")),
        record("customers", "c2", r#"{"name":"Joe"}"#).with_ref("referred_by", reference("customers", "c1")),
        record("customers", "c3", r#"{"name":"Self"}"#).with_ref("referred_by", reference("customers", "c3")),
        record("tags", "t1", r#"{"name":"new"}"#),
    ]);
    events.reverse();
    (catalog, events, vec![(receipt, bytes)])
}

/// Everything that a careless export damages.
pub(crate) fn hostile() -> (Catalog, Vec<Event>, Vec<(BlobRef, Bytes)>) {
    let mut records = sample_records(&name("CON/../☃"), 5, 60).unwrap();
    let (empty, nothing) = sample_blob("empty", 1, 0).unwrap();
    let (large, bytes) = sample_blob("large", 2, 100_000).unwrap();
    let odd_size = large.clone().with_size(u64::MAX);
    records[0].blobs = vec![empty.clone(), odd_size];
    let traps = "traps / Ловушки";
    for (number, json) in NASTY_JSON.iter().enumerate() {
        records.push(record(traps, &format!("nasty {number}"), json));
    }
    let data = [
        format!("{{\"text\":\"{}\"}}", "x".repeat(10_000_000)),
        format!("{{\"deep\":{}1{}}}", "{\"a\":[".repeat(100), "]}".repeat(100)),
        format!("{{{}}}", (0..3000).map(|number| format!("\"field {number}\":{number}")).collect::<Vec<_>>().join(",")),
        format!("{{\"map\":{{{}}}}}", (0..500).map(|at| format!("\"k{at}\":[{at}]")).collect::<Vec<_>>().join(",")),
        "{\"\":1,\" \":2,\"_id\":3,\"_ID\":4,\"é\":5,\"e\\u0301\":6,\"\\ud800\":7,\"a.b\":8,\"a/b\":9,\"a~b\":10}".to_owned(),
        "{\"script\":\"<script>alert(1)</script>\",\"rtl\":\"\\u202eabc\",\"quote\":\"\\\"'`\",\"sql\":\"'); DROP TABLE x;--\"}".to_owned(),
        "{\"list\":[1,\"a\",null,{\"b\":1},[2],[],{}]}".to_owned(),
        "{\"list\":{\"not\":\"a list\"},\"date\":\"2024-01-01\",\"time\":\"2024-01-01T00:00:00\"}".to_owned(),
        "{\"list\":5,\"date\":\"\",\"time\":\"2024-01-01T00:00:00.123456789\"}".to_owned(),
    ];
    for (number, data) in data.iter().enumerate() {
        records.push(record(traps, &format!("trap {number}"), data));
    }
    let lists: Vec<_> = (0..100).map(|at| format!("\"list{at}\":[{at}]")).collect();
    records.push(record("lists", "1", &format!("{{{}}}", lists.join(","))));
    let catalog = Catalog::new(vec![Collection::new(name("sqlite_x"), Kind::Record)]);
    (catalog, puts(&records), vec![(empty, nothing), (large, bytes)])
}
