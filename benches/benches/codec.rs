//! What a line costs: records of about 1 KB, one at a time.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark documents itself and stops at a failure")]

use std::hint::black_box;

use benches::{COLLECTIONS, Workload};
use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use saas_backup_core::{Json, Key, Line, LineCodec, LineHead, Record, Reference, data_of};

const RECORDS: u64 = 1000;

fn records() -> Vec<Record> {
    let workload = Workload::default();
    let record = |index: u64| {
        let data = Json::parse(workload.record(1, index, 0)).unwrap();
        let id: String = data.member("id").unwrap().unwrap();
        let to = |collection, id: u64| Reference::from(&Key::parse(collection, id.to_string()).unwrap());
        let key = Key::parse(COLLECTIONS[1], id).unwrap();
        let mut record =
            Record::new(key, data).with_version(index.to_string()).with_ref("account", to("accounts", index));
        record.modified = Some("2026-11-20T16:03:11.120Z".parse().unwrap());
        record.by = Some(to("users", index));
        record
    };
    (0..RECORDS).map(record).collect()
}

fn lines(codec: LineCodec, records: &[Record]) -> Vec<Bytes> {
    let line = |record: &Record| {
        let mut line = Vec::new();
        codec.encode_put(record, &mut line).unwrap();
        Bytes::from(line)
    };
    records.iter().map(line).collect()
}

fn codec(criterion: &mut Criterion) {
    let records = records();
    for (profile, codec) in [("stored", LineCodec::stored()), ("wire", LineCodec::wire())] {
        let lines = lines(codec, &records);
        let mut group = criterion.benchmark_group(format!("1000 records {profile}"));
        group.throughput(Throughput::Bytes(lines.iter().map(|line| line.len() as u64).sum()));
        group.bench_function("encode", |bencher| {
            let mut out = Vec::with_capacity(4 * 1024 * 1024);
            bencher.iter(|| {
                out.clear();
                for record in &records {
                    codec.encode_put(black_box(record), &mut out).unwrap();
                }
            });
        });
        group.bench_function("decode", |bencher| {
            let decode =
                |lines: Vec<Bytes>| -> Vec<Line> { lines.iter().map(|line| codec.decode(line).unwrap()).collect() };
            bencher.iter_batched(|| lines.clone(), decode, BatchSize::SmallInput);
        });
        group.finish();
    }
}

fn parts(criterion: &mut Criterion) {
    let lines = lines(LineCodec::stored(), &records());
    let mut group = criterion.benchmark_group("1000 stored lines");
    group.throughput(Throughput::Bytes(lines.iter().map(|line| line.len() as u64).sum()));
    group.bench_function("head", |bencher| {
        bencher.iter(|| {
            lines.iter().map(|line| LineHead::parse(black_box(line)).unwrap().collection.len()).sum::<usize>()
        });
    });
    group.bench_function("data", |bencher| {
        bencher.iter(|| lines.iter().map(|line| data_of(black_box(line)).unwrap().len()).sum::<usize>());
    });
    group.bench_function("decode with serde_json::Value", |bencher| {
        let decode =
            || -> Vec<serde_json::Value> { lines.iter().map(|line| serde_json::from_slice(line).unwrap()).collect() };
        bencher.iter(decode);
    });
    group.finish();
}

criterion_group!(benches, codec, parts);
criterion_main!(benches);
