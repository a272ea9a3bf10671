//! Values that a careless store damages.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::TryStreamExt as _;
use proptest::prelude::*;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::testkit::{NASTY_IDS, NASTY_JSON};
use saas_backup_core::{
    At, Connector as _, ErrorKind, Event, Json, Key, Line, LineCodec, LineLimits, LineReader, MAX_JSON_DEPTH,
    PartitionId, ReadRequest, Record, SnapshotOptions, TransferOptions, transfer,
};
use saas_backup_repository::{Identity, Keys, Repository, Source};

use crate::support::{back_up_memory, clock, key, note, options};

/// Tokens that change when they are parsed into numbers, text or maps and written again.
const TOKENS: &[&str] = &[
    "18446744073709551616",
    "-0.0",
    "-0",
    "0e0",
    "1e400",
    "1E-400",
    "1.10",
    "0.1000000000000000055511151231257827",
    "12345678901234567890123456789012345678901234567890",
    r#""\ud800""#,
    r#""\udc00\ud800""#,
    r#""\ud83d\ude00 😀""#,
    r#""\u0000""#,
    "\"\u{2028}\u{2029}\u{feff}\"",
    "\"\u{7f}\u{85}\u{fffe}\"",
    r#""\/ / \u002f""#,
    r#""""#,
    "null",
    "true",
    "[]",
    "{}",
    r#"{"":1,"":2}"#,
    r#"{"a\u0000":1,"a":2,"\u0061":3}"#,
    r#"{ "spaced" : [ 1 , 2 ] }"#,
];

fn value() -> impl Strategy<Value = String> {
    let name =
        prop::sample::select(vec![r#""""#, r#""a""#, r#""\u0061""#, r#""\u0000""#, r#""\ud800""#, "\"\u{2028}\""]);
    let leaf = prop::sample::select(TOKENS).prop_map(str::to_owned);
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|members| {
                let members: Vec<String> = members.into_iter().map(|(name, value)| format!("{name}:{value}")).collect();
                format!("{{{}}}", members.join(", "))
            }),
        ]
    })
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

fn record(id: &str, data: &str) -> Record {
    Record::new(key(id), Json::parse(data.to_owned()).unwrap())
}

/// The text that a record must keep, by key.
fn texts(records: &[Record]) -> BTreeMap<Key, Bytes> {
    records.iter().map(|record| (record.key.clone(), record.data.clone().into_bytes())).collect()
}

async fn source(encrypted: bool) -> Source {
    let keys = if encrypted { Keys::owner(Identity::generate()) } else { Keys::none() };
    Repository::init(options(&clock()).with_keys(keys)).await.unwrap().source("blog").unwrap()
}

/// The lines of an archive: the stored profile, read back by the reader of lines.
fn through_lines(records: Vec<Record>) -> BTreeMap<Key, Bytes> {
    let mut archive = Vec::new();
    for record in records {
        LineCodec::stored().encode_put(&record, &mut archive).unwrap();
        archive.push(b'\n');
    }
    let (mut lines, mut read) = (LineReader::new(LineLimits::stored().bytes), BTreeMap::new());
    // In chunks that cut characters and escapes.
    for chunk in archive.chunks(4093) {
        lines.push(Bytes::copy_from_slice(chunk));
        while let Some(line) = lines.next_line().unwrap() {
            let Line::Put(record) = LineCodec::stored().decode(&line).unwrap() else { panic!("not a record") };
            read.insert(record.key.clone(), record.data.into_bytes());
        }
    }
    lines.finish().unwrap();
    read
}

/// Every way in which a point gives its records out.
async fn read_every_way(source: &Source, at: At, expected: &[Record]) {
    let wanted = texts(expected);
    let snapshot = source.snapshot(SnapshotOptions::at(at.clone())).await.unwrap();
    let mut read = Vec::new();
    for feed in snapshot.feeds().try_collect::<Vec<_>>().await.unwrap() {
        let events: Vec<Event> = snapshot.read(ReadRequest::new(feed)).try_collect().await.unwrap();
        read.extend(events.into_iter().filter_map(|event| match event {
            Event::Put(record) => Some(*record),
            _ => None,
        }));
    }
    assert!(texts(&read) == wanted, "read at {at:?}");
    assert!(through_lines(read) == wanted, "exported at {at:?}");
    for record in expected {
        let one = source.record(&record.key, &at).await.unwrap().unwrap();
        assert!(one.data.as_bytes() == record.data.as_bytes(), "{} at {at:?}", record.key);
        assert_eq!(one.partition, record.partition);
    }
    let restored = MemoryStore::new();
    let target = MemoryConnector::new(restored.clone());
    transfer(source, &target, TransferOptions::backup().with_at(at)).await.unwrap();
    assert!(texts(&restored.live().into_values().collect::<Vec<_>>()) == wanted, "restored");
}

async fn keeps(before: Vec<Record>, after: Vec<Record>, encrypted: bool) {
    let (clock, account, blog) = (clock(), MemoryStore::new(), source(encrypted).await);
    for round in [&before, &after] {
        let known = account.live();
        let news = round.iter().filter(|record| known.get(&record.key) != Some(*record));
        news.for_each(|record| account.put(record.clone()));
        back_up_memory(&account, &blog, &clock).await;
    }
    read_every_way(&blog, At::Now, &after).await;
    let points = blog.points().await.unwrap();
    read_every_way(&blog, At::Sequence(points[0].sequence), &before).await;
    for (old, new) in before.iter().zip(&after) {
        let history = blog.history(&new.key).await.unwrap();
        let versions: Vec<&[u8]> = history
            .iter()
            .map(|event| match event {
                Event::Put(record) => record.data.as_bytes(),
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = [new.data.as_bytes(), old.data.as_bytes()];
        let expected = if expected[0] == expected[1] { &expected[..1] } else { &expected[..] };
        assert!(versions == expected, "the history of {}", new.key);
    }
}

/// A provider's JSON is given back byte for byte, whichever way it is read.
#[tokio::test]
async fn nasty_values_keep_their_bytes() {
    let long = format!(r#"{{"text":"{}","end":-0.0}}"#, "lorem \\ud800 ".repeat(10 * 1024 * 1024 / 13));
    let noise: String =
        (0..1_500_000_u32).map(|at| char::from(35 + (at.wrapping_mul(2_654_435_761) >> 27) as u8)).collect();
    let deep = [nested(MAX_JSON_DEPTH), format!("{{\"a\":{}}}", nested(MAX_JSON_DEPTH - 1))];
    let mut values: Vec<String> = TOKENS.iter().chain(NASTY_JSON).map(|text| (*text).to_owned()).collect();
    values.extend([long, format!("\"{noise}\"")]);
    values.extend(deep);
    for encrypted in [false, true] {
        let before: Vec<Record> =
            values.iter().enumerate().map(|(id, text)| record(&format!("{id:03}"), text)).collect();
        // Each record gets its neighbour's value.
        let after: Vec<Record> = values
            .iter()
            .enumerate()
            .map(|(id, _)| record(&format!("{id:03}"), &values[(id + 1) % values.len()]))
            .collect();
        keeps(before, after, encrypted).await;
    }
    let too_deep = Json::parse(nested(MAX_JSON_DEPTH + 1)).unwrap_err();
    assert_eq!(too_deep.kind(), ErrorKind::LimitExceeded);
}

/// Names that break paths and separators are names like all others: as ids and as partitions.
#[tokio::test]
async fn nasty_names_are_told_apart() {
    for encrypted in [false, true] {
        let named = |text: &str| {
            let all = NASTY_IDS.iter().enumerate();
            all.map(|(at, id)| {
                let partition = NASTY_IDS[(at * 5 + 3) % NASTY_IDS.len()];
                note(id, &format!("{text} {at}")).with_partition(PartitionId::parse(partition).unwrap())
            })
            .collect::<Vec<Record>>()
        };
        keeps(named("before"), named("after"), encrypted).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn any_json_keeps_its_bytes(
        values in prop::collection::vec((value(), value()), 1..30),
        encrypted in any::<bool>(),
    ) {
        let records = |side: fn(&(String, String)) -> &String| {
            values.iter().enumerate().map(|(id, pair)| record(&id.to_string(), side(pair))).collect::<Vec<_>>()
        };
        let (before, after) = (records(|pair| &pair.0), records(|pair| &pair.1));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(keeps(before, after, encrypted));
    }
}
