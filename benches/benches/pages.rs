//! From a page of a provider to the lines of its records, against a tree of values that is written out again.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark documents itself and stops at a failure"
)]

use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

use benches::{COLLECTIONS, Workload};
use bytes::Bytes;
use criterion::{Criterion, Throughput};
use saas_backup_core::{CollectionName, Key, LineCodec, Record, RecordId, page_items};
use serde_json::Value;

const RECORDS: u64 = 100;

fn compact() -> Bytes {
    let workload = Workload::default();
    let records: Vec<String> = (0..RECORDS).map(|index| workload.record(1, index, 0)).collect();
    Bytes::from(format!("{{\"results\":[{}],\"next\":\"abc\"}}", records.join(",")))
}

fn indented() -> Bytes {
    let page: Value = serde_json::from_slice(&compact()).unwrap();
    Bytes::from(serde_json::to_string_pretty(&page).unwrap())
}

/// Cuts the records out and writes their lines.
fn slices(page: &Bytes, out: &mut Vec<u8>) {
    let (codec, collection) = (LineCodec::stored(), CollectionName::from_static(COLLECTIONS[1]));
    for data in page_items(page, "results").unwrap() {
        let id: String = data.member("id").unwrap().unwrap();
        let record = Record::new(Key::new(collection.clone(), RecordId::parse(id).unwrap()), data);
        codec.encode_put(&record, out).unwrap();
        out.push(b'\n');
    }
}

/// Parses the page into a tree, and writes the same lines from it.
fn values(page: &Bytes, out: &mut Vec<u8>) {
    let page: Value = serde_json::from_slice(page).unwrap();
    for data in page["results"].as_array().unwrap() {
        write!(out, "{{\"type\":\"put\",\"collection\":\"{}\",\"id\":{},\"data\":", COLLECTIONS[1], data["id"])
            .unwrap();
        serde_json::to_writer(&mut *out, data).unwrap();
        out.extend_from_slice(b"}\n");
    }
}

/// The fastest of many runs: what the work costs when nothing disturbs it.
fn fastest(page: &Bytes, work: fn(&Bytes, &mut Vec<u8>)) -> Duration {
    let mut out = Vec::with_capacity(2 * page.len());
    let run = |_| {
        out.clear();
        let begin = Instant::now();
        work(black_box(page), &mut out);
        begin.elapsed()
    };
    (0..500).map(run).min().unwrap_or_default()
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let pages = [("compact", compact()), ("indented", indented())];
    for (name, page) in &pages {
        let mut group = criterion.benchmark_group(format!("{name} page of {RECORDS} records"));
        group.throughput(Throughput::Bytes(page.len() as u64));
        for (way, work) in [("slices", slices as fn(&Bytes, &mut Vec<u8>)), ("values", values)] {
            let mut out = Vec::with_capacity(2 * page.len());
            group.bench_function(way, |bencher| {
                bencher.iter(|| {
                    out.clear();
                    work(black_box(page), &mut out);
                });
            });
        }
        group.finish();
    }
    criterion.final_summary();
    for (name, page) in &pages {
        let (ours, theirs) = (fastest(page, slices), fastest(page, values));
        let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
        println!("{name}: slices are {ratio:.2} times as fast as values ({ours:?} : {theirs:?})");
    }
}
