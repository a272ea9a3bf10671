//! The examples of the protocol, with their true digests.

use bytes::Bytes;
use saas_backup_core::{Line, LineCodec, LineLimits, LineReader, StreamCheck, StreamWriter};

const STREAMS: [(&str, &str); 5] = [
    ("changes", include_str!("../../data/lines/changes.ndjson")),
    ("erasures", include_str!("../../data/lines/erasures.ndjson")),
    ("import-results", include_str!("../../data/lines/import-results.ndjson")),
    ("inventory", include_str!("../../data/lines/inventory.ndjson")),
    ("snapshot", include_str!("../../data/lines/snapshot.ndjson")),
];

/// The members of three objects stand in another order there than the codec writes them.
const REORDERED: [(&str, &str); 3] = [
    (
        r#"{"parent":{"collection":"databases","id":"db_9"},"mentions":[{"collection":"users","id":"u_2"}]}"#,
        r#"{"mentions":[{"collection":"users","id":"u_2"}],"parent":{"collection":"databases","id":"db_9"}}"#,
    ),
    (
        r#"{"subject":{"collection":"users","id":"u_9"},"collection":"comments","paths":["/data/author_email"]}"#,
        r#"{"collection":"comments","paths":["/data/author_email"],"subject":{"collection":"users","id":"u_9"}}"#,
    ),
    (r#"{"pages":{"put":1,"del":2},"contacts":{"del":1}}"#, r#"{"contacts":{"del":1},"pages":{"put":1,"del":2}}"#),
];

fn lines_of(body: &'static str) -> Vec<Bytes> {
    let mut reader = LineReader::new(LineLimits::wire().bytes);
    reader.push(Bytes::from_static(body.as_bytes()));
    let mut lines = Vec::new();
    while let Some(line) = reader.next_line().unwrap() {
        lines.push(line);
    }
    reader.finish().unwrap();
    lines
}

#[test]
fn every_example_line_keeps_its_bytes_in_both_profiles() {
    for (name, body) in STREAMS {
        for line in lines_of(body) {
            let mut expected = String::from_utf8(line.to_vec()).unwrap();
            for (before, after) in REORDERED {
                expected = expected.replace(before, after);
            }
            for codec in [LineCodec::wire(), LineCodec::stored()] {
                let decoded = codec.decode(&line).unwrap();
                let mut written = Vec::new();
                codec.encode(&decoded, &mut written).unwrap();
                assert_eq!(String::from_utf8(written).unwrap(), expected, "{name}");
            }
        }
    }
}

#[test]
fn every_example_stream_has_its_true_digest() {
    for (name, body) in STREAMS {
        let mut check = StreamCheck::new(LineCodec::wire());
        for line in lines_of(body) {
            check.decode(&line).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        check.finish().unwrap();
    }
}

#[test]
fn one_changed_byte_or_one_missing_line_is_found() {
    for (name, body) in STREAMS {
        let lines = lines_of(body);
        for skipped in 0..lines.len() {
            let mut check = StreamCheck::new(LineCodec::wire());
            let kept = lines.iter().enumerate().filter(|(index, _)| *index != skipped);
            let result = kept.map(|(_, line)| check.decode(line)).collect::<Result<Vec<_>, _>>();
            assert!(result.is_err() || check.finish().is_err(), "{name} without line {skipped}");
        }
        let mut check = StreamCheck::new(LineCodec::wire());
        let changed =
            lines.iter().map(|line| Bytes::from(String::from_utf8(line.to_vec()).unwrap().replace("ws_42", "ws_43")));
        let result = changed.map(|line| check.decode(&line)).collect::<Result<Vec<_>, _>>();
        assert!(result.is_err(), "{name}");
    }
}

#[test]
fn the_stream_writer_says_what_the_examples_say() {
    for (name, body) in STREAMS {
        let codec = LineCodec::wire();
        let lines: Vec<Line> = lines_of(body).iter().map(|line| codec.decode(line).unwrap()).collect();
        let (Some(Line::Start(start)), Some(Line::End(end))) = (lines.first(), lines.last()) else { panic!("{name}") };
        let mut written = Vec::new();
        let mut writer = StreamWriter::start(codec, (**start).clone(), &mut written).unwrap();
        for line in &lines[1..lines.len() - 1] {
            match line {
                Line::Checkpoint { cursor, .. } => writer.checkpoint(cursor.clone(), &mut written).unwrap(),
                line => writer.write(line, &mut written).unwrap(),
            }
        }
        let said = writer.end(end.cursor.clone(), end.more, end.head_at, &mut written).unwrap();
        assert_eq!((said.lines, &said.counts), (end.lines, &end.counts), "{name}");

        let mut check = StreamCheck::new(codec);
        for line in written.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n') {
            check.decode(&Bytes::copy_from_slice(line)).unwrap();
        }
        assert_eq!(check.finish().unwrap(), said);
        let reordered =
            REORDERED.iter().any(|(before, _)| body.rsplit_once(r#"{"type":"end""#).unwrap().0.contains(before));
        assert_eq!(said.digest == end.digest, !reordered, "{name}");
    }
}
