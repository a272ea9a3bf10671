//! Lines that break a rule are refused with the rule, on the wire and, where the rule is one of both, when stored.

use bytes::Bytes;
use saas_backup_core::{ErrorKind, Line, LineCodec, LineLimits};

fn decode(codec: LineCodec, line: &str) -> saas_backup_core::Result<Line> {
    codec.decode(&Bytes::copy_from_slice(line.as_bytes()))
}

const SCHEMA: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

#[test]
fn what_no_profile_allows_is_refused_by_both() {
    let start = |version: &str, kind: &str| {
        format!(
            r#"{{"type":"start","open_export":"{version}","kind":"{kind}","account":"a","generation":"g","schema":"{SCHEMA}","at":"2026-01-01T00:00:00Z"}}"#
        )
    };
    let lines = [
        String::new(),
        "{}".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        r#"{"no":"type"}"#.to_owned(),
        r#"{"type":1}"#.to_owned(),
        r#"{"type":""}"#.to_owned(),
        r#"{"type":"a_type_of_more_than_32_characters"}"#.to_owned(),
        r#" {"type":"hb"}"#.to_owned(),
        "{\"type\":\"hb\"}\r".to_owned(),
        "{\"type\":\"hb\",\n\"a\":1}".to_owned(),
        "{\"type\":\"hb\",\r\"a\":1}".to_owned(),
        "\u{feff}{\"type\":\"hb\"}".to_owned(),
        r#"{"type":"hb"}{"type":"hb"}"#.to_owned(),
        r#"{"type":"hb","type":"hb"}"#.to_owned(),
        r#"{"type":"put","collection":"pages","id":"1","version":"1"}"#.to_owned(),
        r#"{"type":"put","collection":"pages","id":"1","id":"2","version":"1","data":{}}"#.to_owned(),
        r#"{"type":"put","collection":"pages","id":"","version":"1","data":{}}"#.to_owned(),
        r#"{"type":"put","collection":"pages","id":1,"version":"1","data":{}}"#.to_owned(),
        r#"{"type":"put","collection":"pages","id":"\ud800","version":"1","data":{}}"#.to_owned(),
        r#"{"type":"put","collection":"pages","id":"a\u0000","version":"1","data":{}}"#.to_owned(),
        r#"{"type":"put","collection":"pages","id":"1","version":"1","data":{},"x":1,"x":1}"#.to_owned(),
        r#"{"type":"put","collection":"pages","id":"1","version":"1","data":{},"state":"gone"}"#.to_owned(),
        r#"{"type":"put","collection":"pages","id":"1","version":"1","data":{},"modified":"2026-01-01 00:00"}"#.to_owned(),
        r#"{"type":"put","collection":"pages","id":"1","version":"1","data":{},"refs":{"a":null,"a":null}}"#.to_owned(),
        r#"{"type":"put","collection":"pages","id":"1","version":"1","data":{},"by":{"collection":"users"}}"#.to_owned(),
        r#"{"type":"put","collection":"pages","id":"1","version":"1","data":{},"blobs":[{"blob":"b","role":"a","status":"lost"}]}"#.to_owned(),
        r#"{"type":"del","collection":"pages","id":"1","reason":"gone"}"#.to_owned(),
        r#"{"type":"del","collection":"pages","reason":"deleted"}"#.to_owned(),
        r#"{"type":"err","collection":"p","problem":{"title":"x"},"retry":true}"#.to_owned(),
        r#"{"type":"err","collection":"p","problem":{"type":"a","title":"x"},"retry":1}"#.to_owned(),
        r#"{"type":"reset","collections":[],"reason":"rebuild"}"#.to_owned(),
        r#"{"type":"reset","collections":["a"],"reason":"because"}"#.to_owned(),
        r#"{"type":"ckpt"}"#.to_owned(),
        r#"{"type":"ckpt","cursor":"a","lines":-1}"#.to_owned(),
        r#"{"type":"schema","schema":"sha256:12","url":"u"}"#.to_owned(),
        r#"{"type":"end","more":true,"lines":1,"digest":{"sha-256":"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}}"#.to_owned(),
        r#"{"type":"end","more":false,"lines":1,"digest":{}}"#.to_owned(),
        r#"{"type":"end","more":false,"lines":1,"digest":{"sha-256":"47DE"}}"#.to_owned(),
        r#"{"type":"end","more":false,"lines":1,"digest":{"md5":"1B2M2Y8AsgTpgAmY7PhCfg=="}}"#.to_owned(),
        r#"{"type":"result","key":"1","status":"failed"}"#.to_owned(),
        r#"{"type":"result","key":"1","status":"lost"}"#.to_owned(),
        r#"{"type":"erase","erasure":"e","at":"2026-01-01T00:00:00Z","basis":"other","targets":[],"apply_by":"2026-01-01T00:00:00Z"}"#.to_owned(),
        r#"{"type":"erase","erasure":"e","at":"2026-01-01T00:00:00Z","basis":"other","targets":[{}],"apply_by":"2026-01-01T00:00:00Z"}"#.to_owned(),
        r#"{"type":"erase","erasure":"e","at":"2026-01-01T00:00:00Z","basis":"other","targets":[{"collection":"a","only":"b"}],"apply_by":"2026-01-01T00:00:00Z"}"#.to_owned(),
        start("2.0", "changes"),
        start("1.", "changes"),
        start("1.0", "snapshot"),
        start("1.0", "everything"),
    ];
    for line in &lines {
        for codec in [LineCodec::wire(), LineCodec::stored()] {
            assert!(decode(codec, line).is_err(), "{:?} accepts {line}", codec.profile);
        }
    }
    assert_eq!(decode(LineCodec::wire(), &start("2.0", "changes")).unwrap_err().kind(), ErrorKind::UnsupportedVersion);
    assert!(decode(LineCodec::wire(), &start("1.7", "changes")).is_ok());
}

#[test]
fn what_only_the_stored_profile_allows_is_refused_by_the_wire_in_both_directions() {
    let long_id = "x".repeat(257);
    let long_version = "é".repeat(129);
    let long_cursor = "c".repeat(2049);
    let lines = [
        r#"{"type":"put","collection":"Pages & more","id":"1","version":"1","data":{}}"#.to_owned(),
        r#"{"type":"put","collection":"pages","id":"1","data":{}}"#.to_owned(),
        r#"{"type":"put","collection":"pages","id":"1","version":"","data":{}}"#.to_owned(),
        format!(r#"{{"type":"put","collection":"pages","id":"1","version":"{long_version}","data":{{}}}}"#),
        format!(r#"{{"type":"put","collection":"pages","id":"{long_id}","version":"1","data":{{}}}}"#),
        r#"{"type":"put","collection":"pages","id":"1","partition":"p","version":"1","data":{}}"#.to_owned(),
        r#"{"type":"put","collection":"pages","id":"1","seq":1,"version":"1","data":{}}"#.to_owned(),
        r#"{"type":"put","collection":"pages","id":"1","version":"1","data":[]}"#.to_owned(),
        r#"{"type":"put","collection":"pages","id":"1","version":"1","data":null}"#.to_owned(),
        r#"{"type":"put","collection":"pages","id":"1","version":"1","by":{"collection":"U","id":"1"},"data":{}}"#.to_owned(),
        r#"{"type":"put","collection":"pages","id":"1","version":"1","refs":{"a":[{"collection":"U","id":"1"}]},"data":{}}"#.to_owned(),
        r#"{"type":"put","collection":"pages","id":"1","version":"1","blobs":[{"blob":null,"role":"a","size":1,"status":"available"}],"data":{}}"#.to_owned(),
        r#"{"type":"put","collection":"pages","id":"1","version":"1","blobs":[{"blob":"b","role":"a","size":9007199254740992,"status":"available"}],"data":{}}"#.to_owned(),
        r#"{"type":"ckpt","cursor":"c","lines":9007199254740992}"#.to_owned(),
        r#"{"type":"put","collection":"pages","id":"1","version":"1","x":{"a":1,"a":2},"data":{}}"#.to_owned(),
        r#"{"type":"del","collection":"pages","id":"1","reason":"reconciled"}"#.to_owned(),
        r#"{"type":"del","collection":"pages","id":"1","reason":"merged"}"#.to_owned(),
        r#"{"type":"del","collection":"pages","id":"1","seq":4,"reason":"deleted"}"#.to_owned(),
        r#"{"type":"err","collection":"pages","partition":"p","problem":{"type":"a","title":"b"},"retry":true}"#.to_owned(),
        r#"{"type":"item","collection":"pages","id":"1"}"#.to_owned(),
        r#"{"type":"item","collection":"pages","id":"1","version":"1","seq":5}"#.to_owned(),
        r#"{"type":"ckpt","cursor":"has space"}"#.to_owned(),
        r#"{"type":"ckpt","cursor":""}"#.to_owned(),
        r#"{"type":"ckpt","cursor":{"a":1}}"#.to_owned(),
        format!(r#"{{"type":"ckpt","cursor":"{long_cursor}"}}"#),
        format!(r#"{{"type":"schema","schema":"{SCHEMA}"}}"#),
        r#"{"type":"erase","erasure":"e","at":"2026-01-01T00:00:00Z","basis":"a whim","apply_by":"2026-01-01T00:00:00Z","targets":[{"collection":"a"}]}"#.to_owned(),
        r#"{"type":"future","a":1,"a":2}"#.to_owned(),
    ];
    for line in &lines {
        let stored = decode(LineCodec::stored(), line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let mut written = Vec::new();
        LineCodec::stored().encode(&stored, &mut written).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), *line);

        assert!(decode(LineCodec::wire(), line).is_err(), "{line}");
        let mut kept = b"before".to_vec();
        let error = LineCodec::wire().encode(&stored, &mut kept).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.context().next().is_some(), "a reason: {line}");
        assert_eq!(kept, b"before");
    }
}

#[test]
fn an_available_blob_without_size_is_refused_by_the_wire() {
    let line = r#"{"type":"put","collection":"pages","id":"1","version":"1","blobs":[{"blob":"b","role":"a","status":"available"}],"data":{}}"#;
    assert!(decode(LineCodec::wire(), line).is_err());
    let pending = line.replace("available", "pending");
    assert!(decode(LineCodec::wire(), &pending).is_ok());
}

#[test]
fn limits_bound_length_depth_and_counts() {
    let limits = LineLimits::wire().with_bytes(200).with_depth(3);
    let codec = LineCodec::stored().with_limits(limits);
    let put = |data: &str| format!(r#"{{"type":"put","collection":"a","id":"1","data":{data}}}"#);
    assert!(decode(codec, &put("[[[1]]]")).is_ok());
    assert_eq!(decode(codec, &put("[[[[1]]]]")).unwrap_err().kind(), ErrorKind::LimitExceeded);
    assert_eq!(decode(codec, &put(&format!("\"{}\"", "x".repeat(200)))).unwrap_err().kind(), ErrorKind::LimitExceeded);

    let record = match decode(LineCodec::stored(), &put(&format!("\"{}\"", "x".repeat(200)))).unwrap() {
        Line::Put(record) => record,
        other => panic!("{other:?}"),
    };
    assert_eq!(codec.encode_put(&record, &mut Vec::new()).unwrap_err().kind(), ErrorKind::LimitExceeded);

    let many = |count: usize| vec![r#"{"collection":"u","id":"1"}"#; count].join(",");
    let mut limits = LineLimits::stored();
    (limits.references, limits.blobs, limits.access, limits.extra) = (3, 1, 1, 1);
    let codec = LineCodec::stored().with_limits(limits);
    let with = |member: &str| format!(r#"{{"type":"put","collection":"a","id":"1",{member},"data":{{}}}}"#);
    let blob = r#"{"blob":"b","role":"a","status":"pending"}"#;
    let access = r#"{"principal":"all","role":"a"}"#;
    for (fits, exceeds) in [
        (format!(r#""refs":{{"a":[{}],"b":null}}"#, many(2)), format!(r#""refs":{{"a":[{}],"b":null}}"#, many(3))),
        (format!(r#""blobs":[{blob}]"#), format!(r#""blobs":[{blob},{blob}]"#)),
        (format!(r#""access":[{access}]"#), format!(r#""access":[{access},{access}]"#)),
        (r#""x":1"#.to_owned(), r#""x":1,"y":2"#.to_owned()),
    ] {
        let line = decode(codec, &with(&fits)).unwrap();
        assert!(codec.encode(&line, &mut Vec::new()).is_ok());
        assert_eq!(decode(codec, &with(&exceeds)).unwrap_err().kind(), ErrorKind::LimitExceeded, "{exceeds}");
        let line = decode(LineCodec::stored(), &with(&exceeds)).unwrap();
        assert_eq!(codec.encode(&line, &mut Vec::new()).unwrap_err().kind(), ErrorKind::LimitExceeded, "{exceeds}");
    }
}

#[test]
fn an_error_never_quotes_the_line() {
    for line in [
        r#"{"type":"put","collection":"pages","id":"secret","version":"1","data":{},"state":"secret"}"#,
        r#"{"type":"put","collection":"secret secret","id":"secret","version":"secret","data":"secret"}"#,
        r#"{"type":"put","collection":"pages","id":"1","version":"1","data":{"secret":secret}}"#,
        r#"{"type":"ckpt","cursor":"secret secret"}"#,
        r#"{"type":"end","more":false,"lines":1,"digest":{"sha-256":"secret"}}"#,
    ] {
        let error = decode(LineCodec::wire(), line).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}
