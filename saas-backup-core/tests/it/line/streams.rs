//! Streams: their order, their checkpoints, and what happens when they are cut.

use bytes::Bytes;
use chrono::DateTime;
use saas_backup_core::{
    Cursor, Digest, ErrorKind, Json, Key, Line, LineCodec, Record, Start, StreamCheck, StreamKind, StreamWriter,
};

fn start() -> Start {
    Start::new(StreamKind::Changes, "acme", "g1", Digest::of(b"schema"), DateTime::UNIX_EPOCH)
}

fn record(data: String) -> Record {
    Record::new(Key::parse("pages", "1").unwrap(), Json::parse(data).unwrap()).with_version("1")
}

fn cursor(text: &str) -> Cursor {
    Cursor::from_json(Json::from_value(&text).unwrap()).unwrap()
}

fn check(body: &[u8]) -> saas_backup_core::Result<Vec<Line>> {
    let mut check = StreamCheck::new(LineCodec::wire());
    let lines = body.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap());
    let lines = lines.map(|line| check.decode(&Bytes::copy_from_slice(line))).collect::<Result<Vec<_>, _>>()?;
    check.finish()?;
    Ok(lines)
}

#[test]
fn a_checkpoint_is_due_after_a_thousand_lines_or_16_mib() {
    let mut body = Vec::new();
    let mut writer = StreamWriter::start(LineCodec::wire(), start(), &mut body).unwrap();
    for line in 1..=2 {
        let mut lines = 0;
        while !writer.checkpoint_is_due() {
            writer.write(&Line::Heartbeat, &mut body).unwrap();
            lines += 1;
        }
        assert_eq!(lines, 999);
        writer.checkpoint(cursor("c"), &mut body).unwrap();
        assert!(!writer.checkpoint_is_due());
        assert_eq!(writer.lines(), 1 + 1000 * line);
    }
    let large = record(format!("{{\"a\":\"{}\"}}", "x".repeat(3 * 1024 * 1024)));
    for _ in 0..5 {
        writer.put(&large, &mut body).unwrap();
        assert!(!writer.checkpoint_is_due());
    }
    writer.put(&large, &mut body).unwrap();
    assert!(writer.checkpoint_is_due());
    let end = writer.end(Some(cursor("c")), false, None, &mut body).unwrap();
    assert_eq!(end.counts.values().map(|count| count.put).sum::<u64>(), 6);
    assert!(check(&body).is_ok());
}

#[test]
fn a_stream_has_one_start_and_one_end_at_its_ends() {
    let mut body = Vec::new();
    let mut writer = StreamWriter::start(LineCodec::wire(), start(), &mut body).unwrap();
    let first = body.clone();
    assert!(writer.write(&Line::Start(Box::new(start())), &mut body).is_err());
    assert_eq!(body, first);
    let end = writer.end(None, false, None, &mut body).unwrap();
    assert!(check(&body).is_ok());

    let mut other = StreamWriter::start(LineCodec::wire(), start(), &mut Vec::new()).unwrap();
    assert!(other.write(&Line::End(Box::new(end)), &mut body).is_err());
    assert!(other.end(None, true, None, &mut body).is_err(), "more to come and no cursor");

    let two_starts = [&first[..], &body[..]].concat();
    assert_eq!(check(&two_starts).unwrap_err().kind(), ErrorKind::InvalidData);
    let after_the_end = [&body[..], b"{\"type\":\"hb\"}\n"].concat();
    assert_eq!(check(&after_the_end).unwrap_err().kind(), ErrorKind::InvalidData);
    assert_eq!(check(b"{\"type\":\"hb\"}\n").unwrap_err().kind(), ErrorKind::InvalidData);
    let without_end = check(&first).unwrap_err();
    assert_eq!(without_end.kind(), ErrorKind::Unavailable);
}

#[test]
fn an_end_that_says_something_else_is_an_integrity_error() {
    let mut body = Vec::new();
    let mut writer = StreamWriter::start(LineCodec::wire(), start(), &mut body).unwrap();
    writer.put(&record("{}".to_owned()), &mut body).unwrap();
    writer.end(None, false, None, &mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    assert!(check(body.as_bytes()).is_ok());
    for (said, other) in [
        ("\"lines\":2", "\"lines\":3"),
        ("\"put\":1}", "\"put\":2}"),
        ("\"data\":{}", "\"data\":{ }"),
        ("\"id\":\"1\"", "\"id\":\"2\""),
    ] {
        assert!(body.contains(said));
        assert_eq!(check(body.replace(said, other).as_bytes()).unwrap_err().kind(), ErrorKind::Integrity, "{said}");
    }
}

#[test]
fn a_line_that_is_refused_leaves_the_stream_as_it_was() {
    let mut body = Vec::new();
    let mut writer = StreamWriter::start(LineCodec::wire(), start(), &mut body).unwrap();
    let without_version = Record::new(Key::parse("pages", "1").unwrap(), Json::parse("{}").unwrap());
    assert!(writer.put(&without_version, &mut body).is_err());
    writer.end(None, false, None, &mut body).unwrap();
    assert_eq!(check(&body).unwrap().len(), 2);
}
