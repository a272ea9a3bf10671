//! Values keep their bytes.

use bytes::Bytes;
use saas_backup_core::{
    BlobStatus, ErrorKind, Event, Json, Key, Line, LineCodec, LineHead, PartitionId, Record, Reference, data_of,
    page_items,
};

fn put(data: &str) -> Record {
    Record::new(Key::parse("pages", "1").unwrap(), Json::parse(data.to_owned()).unwrap()).with_version("1")
}

#[test]
fn nasty_values_keep_their_bytes_when_stored_and_are_refused_by_the_wire() {
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(10 * 1024 * 1024));
    let nasty = [
        r#"{"n":18446744073709551616}"#,
        r#"{"n":-9007199254740993}"#,
        r#"{"n":1e400}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":{"b":1,"\u0062":2}}"#,
        r#"{"a":"\ud800"}"#,
        r#"{"a":"\udc00\ud800"}"#,
        &long,
    ];
    for data in nasty {
        let mut line = Vec::new();
        LineCodec::stored().encode_put(&put(data), &mut line).unwrap();
        assert_eq!(data_of(&line).unwrap(), data.as_bytes());
        let Line::Put(record) = LineCodec::stored().decode(&Bytes::from(line.clone())).unwrap() else { panic!() };
        assert_eq!(record.data.as_str(), data);
        assert_eq!(LineCodec::stored().decode_own_put(&Bytes::from(line.clone())).unwrap(), *record);

        assert!(LineCodec::wire().encode_put(&put(data), &mut Vec::new()).is_err());
        assert!(LineCodec::wire().decode(&Bytes::from(line)).is_err());
    }
}

#[test]
fn a_line_that_is_not_our_own_put_is_refused() {
    let own = |line: &str| LineCodec::stored().decode_own_put(&Bytes::from(line.to_owned()));
    for data in ["{}", "[]", r#""""#, "null", "-1.10", "[{\"a\":[]}]"] {
        let line = format!(r#"{{"type":"put","collection":"pages","id":"1","data":{data}}}"#);
        assert_eq!(own(&line).unwrap().data.as_str(), data);
    }
    for line in [
        r#"{"type":"put","collection":"pages","id":"1","data":{"a":1},"version":"1"}"#,
        r#"{"type":"put","collection":"pages","id":"1","data":"a","version":1}"#,
        r#"{"type":"put","collection":"pages","id":"1","data":1,"version":"1","x":}"#,
        r#"{"type":"put","collection":"pages","id":"1","data":{}"#,
        r#"{"type":"put","collection":"pages","id":"1","data":"}"#,
        r#"{"type":"put","collection":"pages","id":"1","data":}"#,
        r#"{"type":"put","collection":"pages","id":"1"}"#,
        r#"{"type":"put","collection":"pages","data":{}}"#,
        r#"{"type":"put","collection":"pages","id":1,"data":{}}"#,
        r#"{"type":"del","collection":"pages","id":"1","reason":"deleted"}"#,
    ] {
        assert_eq!(own(line).unwrap_err().kind(), ErrorKind::InvalidData, "{line}");
    }
}

#[test]
fn odd_values_that_every_reader_keeps_go_to_the_wire() {
    for data in [r#"{"n":-0.0,"m":1.10,"o":9007199254740991}"#, r#"{ "a" :	"\ud83d\ude00\/" }"#, r#"{"b":1,"a":2}"#] {
        let mut line = Vec::new();
        LineCodec::wire().encode_put(&put(data), &mut line).unwrap();
        let Line::Put(record) = LineCodec::wire().decode(&Bytes::from(line)).unwrap() else { panic!() };
        assert_eq!(record.data.as_str(), data);
    }
}

#[test]
fn a_record_of_an_indented_page_becomes_one_line() {
    let page = Bytes::from(
        "{\r\n  \"items\": [\r\n    {\r\n      \"t\": \"a\\r\\n b\",\r\n      \"n\": [ 1.10 ]\r\n    }\r\n  ]\r\n}",
    );
    let data = page_items(&page, "items").unwrap().remove(0);
    let mut line = Vec::new();
    LineCodec::stored().encode_put(&Record::new(Key::parse("pages", "1").unwrap(), data), &mut line).unwrap();
    assert_eq!(
        String::from_utf8(line).unwrap(),
        r#"{"type":"put","collection":"pages","id":"1","data":{"t":"a\r\n b","n":[1.10]}}"#
    );
}

#[test]
fn data_is_a_slice_of_the_line() {
    let line = Bytes::from_static(br#"{"type":"put","collection":"pages","id":"1","x":[1],"data":{"a": 1}}"#);
    let Line::Put(record) = LineCodec::stored().decode(&line).unwrap() else { panic!() };
    assert!(line.as_ptr_range().contains(&record.data.as_bytes().as_ptr()));
    assert!(line.as_ptr_range().contains(&record.extra["x"].as_bytes().as_ptr()));
}

#[test]
fn unknown_members_and_unknown_types_are_kept() {
    let put =
        r#"{"type":"put","collection":"pages","id":"1","version":"1","key":"k-1","z":{"a":[1.10,null]},"data":{}}"#;
    let other = r#"{"type":"future_kind","anything": [1, {"b":2}]}"#;
    for text in [put, other] {
        let line = LineCodec::wire().decode(&Bytes::from_static(text.as_bytes())).unwrap();
        let mut written = Vec::new();
        LineCodec::wire().encode(&line, &mut written).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), text);
    }
}

#[test]
fn an_unknown_member_cannot_take_the_name_of_a_known_one() {
    for name in ["type", "id", "data", "modified"] {
        let mut record = put("{}");
        record.extra.insert(name.to_owned(), Json::parse("1").unwrap());
        assert!(LineCodec::stored().encode_put(&record, &mut Vec::new()).is_err(), "{name}");
    }
    let known = Line::Other(Json::parse(r#"{"type":"hb"}"#).unwrap());
    assert!(LineCodec::stored().encode(&known, &mut Vec::new()).is_err());
    for not_a_line in ["[]", "{}", "1"] {
        let other = Line::Other(Json::parse(not_a_line).unwrap());
        assert!(LineCodec::stored().encode(&other, &mut Vec::new()).is_err());
    }
}

#[test]
fn members_are_read_in_any_order_and_written_in_one() {
    let line = r#"{"data":{},"version":"1","id":"1","blobs":[{"status":"external","external_url":"https://a.example","role":"link","blob":null}],"collection":"pages","type":"put"}"#;
    let line = LineCodec::wire().decode(&Bytes::from_static(line.as_bytes())).unwrap();
    let Line::Put(record) = &line else { panic!() };
    assert_eq!(record.blobs[0].status, BlobStatus::External);
    let mut written = Vec::new();
    LineCodec::wire().encode(&line, &mut written).unwrap();
    assert_eq!(
        String::from_utf8(written).unwrap(),
        r#"{"type":"put","collection":"pages","id":"1","version":"1","blobs":[{"blob":null,"role":"link","size":null,"status":"external","external_url":"https://a.example"}],"data":{}}"#
    );
}

#[test]
fn a_relationship_named_data_does_not_hide_the_data() {
    let to = |id| Reference::from(&Key::parse("pages", id).unwrap());
    let record = put("{}").with_ref("a", to("1")).with_ref("data", to("2")).with_ref("z", to("3"));
    let mut line = Vec::new();
    LineCodec::stored().encode_put(&record, &mut line).unwrap();
    let text = String::from_utf8(line.clone()).unwrap();
    assert_eq!(text.matches(r#","data":"#).count(), 1, "{text}");
    let Line::Put(decoded) = LineCodec::stored().decode(&Bytes::from(line)).unwrap() else { panic!() };
    assert_eq!(*decoded, record);
}

#[test]
fn the_head_of_a_stored_line_is_what_was_written() {
    let mut record = Record::new(Key::parse("Pages \"x\"", "a/☃").unwrap(), Json::parse("{}").unwrap());
    record.sequence = Some(7);
    record.partition = Some(PartitionId::parse("p\\").unwrap());
    let mut line = Vec::new();
    LineCodec::stored().encode_put(&record, &mut line).unwrap();
    let head = LineHead::parse(&line).unwrap();
    assert_eq!((&*head.collection, head.id.as_deref()), ("Pages \"x\"", Some("a/☃")));
    assert_eq!((head.partition.as_deref(), head.sequence), (Some("p\\"), Some(7)));
}

#[test]
fn events_become_lines_and_lines_become_events() {
    let event = Event::Put(Box::new(put("{}")));
    let line = Line::from_event(event.clone()).unwrap();
    assert_eq!(line.into_event(), Some(event));
    let reset =
        LineCodec::wire().decode(&Bytes::from_static(br#"{"type":"reset","collections":["*"],"reason":"rebuild"}"#));
    let Some(Event::Reset(reset)) = reset.unwrap().into_event() else { panic!() };
    assert!(reset.collections.is_empty());
    assert_eq!(Line::Heartbeat.into_event(), None);
}

/// That a partition is the only one is between a store and its lines: the record is the same with it and without, and
/// the wire, which has no partitions, has no such word.
#[test]
fn that_a_partition_is_the_only_one_is_told_by_the_head_alone() {
    let record = put("{}").with_partition(PartitionId::from_static("p"));
    let (mut sole, mut plain) = (Vec::new(), Vec::new());
    LineCodec::stored().encode_sole_put(&record, &mut sole).unwrap();
    LineCodec::stored().encode_put(&record, &mut plain).unwrap();
    assert!(LineHead::parse(&sole).unwrap().sole);
    assert!(!LineHead::parse(&plain).unwrap().sole);
    let [sole, plain] = [sole, plain].map(Bytes::from);
    assert_eq!(LineCodec::stored().decode(&sole).unwrap(), LineCodec::stored().decode(&plain).unwrap());

    let record = put("{}");
    let mut line = Vec::new();
    LineCodec::stored().encode_sole_put(&record, &mut line).unwrap();
    assert!(LineCodec::wire().decode(&Bytes::from(line)).is_err());
    assert!(LineCodec::wire().encode_sole_put(&record, &mut Vec::new()).is_err());
}
