//! Arbitrary lines that are valid in a profile.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use proptest::array::uniform4;
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use saas_backup_core::{
    Access, BlobId, BlobRef, BlobStatus, CollectionName, Consistency, Cursor, Deletion, DeletionReason, Digest, End,
    ErasureEnd, ErasureRequest, ErasureTarget, Error, ErrorKind, Gap, ImportResult, ImportStatus, Item, Json, Key,
    Line, LineCounts, Loss, PartitionId, Principal, Problem, Profile, Record, RecordId, RecordState, Reference,
    References, Reset, ResetReason, SchemaChange, SnapshotHeader, Start, StreamKind,
};

pub(crate) fn line(profile: Profile) -> BoxedStrategy<Line> {
    prop_oneof![
        6 => record(profile).prop_map(|record| Line::Put(Box::new(record))),
        2 => deletion(profile).prop_map(Line::Delete),
        1 => gap(profile).prop_map(Line::Gap),
        1 => item(profile).prop_map(Line::Item),
        1 => schema(profile).prop_map(Line::Schema),
        1 => reset(profile).prop_map(Line::Reset),
        1 => (cursor(profile), of(number(profile))).prop_map(|(cursor, lines)| Line::Checkpoint { cursor, lines }),
        1 => Just(Line::Heartbeat),
        1 => erasure(profile).prop_map(Line::Erase),
        1 => erasure(profile).prop_map(Line::Hold),
        1 => (id(profile), time()).prop_map(|(id, at)| Line::EraseCancel(ErasureEnd::new(id, at))),
        1 => (id(profile), time()).prop_map(|(id, at)| Line::HoldRelease(ErasureEnd::new(id, at))),
        1 => result(profile).prop_map(|result| Line::Result(Box::new(result))),
        1 => start(profile).prop_map(|start| Line::Start(Box::new(start))),
        1 => end(profile).prop_map(|end| Line::End(Box::new(end))),
        1 => json_object(profile).prop_map(|object| {
            let rest = object.as_str().trim_start_matches('{').trim_start();
            let comma = if rest.starts_with('}') { "" } else { "," };
            Line::Other(Json::parse(format!("{{\"type\":\"another\"{comma}{rest}")).unwrap())
        }),
    ]
    .boxed()
}

pub(crate) fn record(profile: Profile) -> BoxedStrategy<Record> {
    let stored = profile == Profile::Stored;
    let position = (of(id(profile)), of(any::<u64>()));
    let times = (of(time()), of(time()), of(time()));
    let state = select(vec![RecordState::Live, RecordState::Trashed, RecordState::Archived]);
    let lists = (refs(profile), vec(blob(profile), 0..3), vec(access(profile), 0..3));
    let data = if stored { json_value(profile) } else { json_object(profile) };
    let version = if stored { of(text()).boxed() } else { version().prop_map(Some).boxed() };
    (key(profile), position, version, times, state, of(reference(profile)), lists, extra(profile), data)
        .prop_map(move |(key, (partition, sequence), version, times, state, by, lists, extra, data)| {
            let mut record = Record::new(key, data).with_state(state);
            if stored {
                record.partition = partition.map(|partition| PartitionId::parse(partition).unwrap());
                record.sequence = sequence;
            }
            record.version = version;
            (record.created, record.modified, record.purge_at) = times;
            record.by = by;
            (record.refs, record.blobs, record.access) = lists;
            record.extra = extra;
            record
        })
        .boxed()
}

fn deletion(profile: Profile) -> impl Strategy<Value = Deletion> {
    let mut reasons = vec![
        DeletionReason::Deleted,
        DeletionReason::Expired,
        DeletionReason::Erased,
        DeletionReason::AccessLost,
        DeletionReason::MovedOut,
        DeletionReason::Unknown,
    ];
    if profile == Profile::Stored {
        reasons.extend([DeletionReason::Merged, DeletionReason::Reconciled]);
    }
    let into = of(reference(profile));
    (key(profile), of(id(profile)), of(any::<u64>()), select(reasons), of(time()), of(reference(profile)), into)
        .prop_map(move |(key, partition, sequence, reason, at, by, into)| {
            let mut deletion = Deletion::new(key, reason);
            if profile == Profile::Stored {
                deletion.partition = partition.map(|partition| PartitionId::parse(partition).unwrap());
                deletion.sequence = sequence;
            } else if into.is_some() {
                deletion.reason = DeletionReason::Merged;
            }
            (deletion.at, deletion.by, deletion.into) = (at, by, into);
            deletion
        })
}

fn gap(profile: Profile) -> impl Strategy<Value = Gap> {
    (key(profile), any::<bool>(), of(id(profile)), of(id(profile)), problem(), any::<bool>()).prop_map(
        move |(key, whole, blob, partition, problem, retry)| {
            let mut gap = Gap::record(&key, &Error::new(ErrorKind::NotFound, "gone"));
            if whole {
                gap.id = None;
            }
            gap.blob = blob.map(|blob| BlobId::parse(blob).unwrap());
            if profile == Profile::Stored {
                gap.partition = partition.map(|partition| PartitionId::parse(partition).unwrap());
            }
            (gap.problem, gap.retry) = (problem, retry);
            gap
        },
    )
}

fn item(profile: Profile) -> impl Strategy<Value = Item> {
    (key(profile), version(), vec(blob(profile), 0..2), extra(profile)).prop_map(|(key, version, blobs, extra)| {
        let mut item = Item::new(key).with_version(version);
        (item.blobs, item.extra) = (blobs, extra);
        item
    })
}

fn schema(profile: Profile) -> impl Strategy<Value = SchemaChange> {
    (digest(), text(), of(json_value(profile))).prop_map(|(digest, url, document)| {
        let mut change = SchemaChange::new(digest);
        (change.url, change.document) = (Some(url), document);
        change
    })
}

fn reset(profile: Profile) -> impl Strategy<Value = Reset> {
    let reasons = vec![
        ResetReason::CursorExpired,
        ResetReason::TooManyChanges,
        ResetReason::SchemaBreak,
        ResetReason::CoverageChanged,
        ResetReason::Rebuild,
    ];
    (vec(collection(profile), 0..3), select(reasons)).prop_map(|(collections, reason)| Reset::new(collections, reason))
}

fn erasure(profile: Profile) -> impl Strategy<Value = ErasureRequest> {
    let target = (collection(profile), of(id(profile)), vec(text(), 0..3), of(id(profile)), of(reference(profile)))
        .prop_map(|(collection, id, paths, blob, subject)| {
            let mut target = ErasureTarget::default();
            target.collection = Some(collection);
            target.id = id.map(|id| RecordId::parse(id).unwrap());
            target.paths = paths;
            target.blob = blob.map(|blob| BlobId::parse(blob).unwrap());
            target.subject = subject;
            target
        });
    let basis = select(vec!["data-subject-request", "retention", "court-order", "other"]);
    let scope = of(select(vec!["all-versions", "versions-before"]));
    (id(profile), time(), basis, time(), scope, of(time()), vec(target, 1..3)).prop_map(
        |(id, at, basis, apply_by, scope, before, targets)| {
            let mut request = ErasureRequest::new(id, at, basis, apply_by, targets);
            (request.scope, request.before) = (scope.map(str::to_owned), before);
            request
        },
    )
}

fn result(profile: Profile) -> impl Strategy<Value = ImportResult> {
    let statuses = vec![
        ImportStatus::Created,
        ImportStatus::Updated,
        ImportStatus::Skipped,
        ImportStatus::Conflict,
        ImportStatus::Deferred,
        ImportStatus::Failed,
    ];
    let lost = vec((text(), text()).prop_map(|(path, reason)| Loss { path, reason }), 0..3);
    (text(), select(statuses), of(key(profile)), of(reference(profile)), lost, problem(), extra(profile)).prop_map(
        |(key, status, sent, target, lost, problem, extra)| {
            let mut result = ImportResult::new(key, status);
            result.collection = sent.as_ref().map(|sent| sent.collection.clone());
            result.id = sent.map(|sent| sent.id);
            result.problem = (status == ImportStatus::Failed).then_some(problem);
            (result.target, result.lost, result.extra) = (target, lost, extra);
            result
        },
    )
}

fn start(profile: Profile) -> impl Strategy<Value = Start> {
    let kinds = vec![
        StreamKind::Snapshot,
        StreamKind::Changes,
        StreamKind::Inventory,
        StreamKind::Records,
        StreamKind::Erasures,
        StreamKind::File,
        StreamKind::ImportResults,
    ];
    let snapshot = (id(profile), select(vec![Consistency::PointInTime, Consistency::Fuzzy]), time(), of(time()));
    let ids = (id(profile), id(profile));
    (select(kinds), ids, digest(), time(), snapshot, of(cursor(profile)), extra(profile)).prop_map(
        |(kind, (account, generation), schema, at, (id, consistency, began, expires), cursor, extra)| {
            let mut start = Start::new(kind, account, generation, schema, at);
            if kind == StreamKind::Snapshot {
                let mut snapshot = SnapshotHeader::new(id, consistency, began);
                snapshot.expires = expires;
                start.snapshot = Some(snapshot);
            }
            (start.changes_cursor, start.extra) = (cursor, extra);
            start
        },
    )
}

fn end(profile: Profile) -> impl Strategy<Value = End> {
    let counts = uniform4(number(profile)).prop_map(|[put, del, err, item]| {
        let mut counts = LineCounts::default();
        (counts.put, counts.del, counts.err, counts.item) = (put, del, err, item);
        counts
    });
    let counts = btree_map(collection(profile), counts, 0..3);
    (cursor(profile), any::<bool>(), number(profile), counts, digest(), of(time()), extra(profile)).prop_map(
        |(cursor, more, lines, counts, digest, head_at, extra)| {
            let mut end = End::new(lines, digest);
            (end.cursor, end.more, end.counts) = (Some(cursor), more, counts);
            (end.head_at, end.extra) = (head_at, extra);
            end
        },
    )
}

fn blob(profile: Profile) -> impl Strategy<Value = BlobRef> {
    let statuses = vec![
        BlobStatus::Available,
        BlobStatus::Pending,
        BlobStatus::External,
        BlobStatus::Missing,
        BlobStatus::Blocked,
        BlobStatus::TooLarge,
    ];
    let texts = (text(), of(text()), of(text()), of(text()), of(text()));
    (of(id(profile)), texts, of(number(profile)), of(digest()), select(statuses), of(time())).prop_map(
        |(id, (role, path, name, media_type, external_url), size, digest, status, created)| {
            let mut blob = BlobRef::external("", role);
            let readable = status != BlobStatus::Available || id.is_some();
            blob.status = if readable { status } else { BlobStatus::Missing };
            blob.id = id.map(|id| BlobId::parse(id).unwrap());
            (blob.path, blob.name, blob.media_type, blob.external_url) = (path, name, media_type, external_url);
            (blob.size, blob.digest, blob.created) = (size, digest, created);
            blob
        },
    )
}

fn access(profile: Profile) -> impl Strategy<Value = Access> {
    let principal = prop_oneof![reference(profile).prop_map(Principal::Record), text().prop_map(Principal::Named)];
    (principal, text(), of(reference(profile)), of(time())).prop_map(|(principal, role, inherited_from, expires)| {
        let mut access = Access::new(principal, role);
        (access.inherited_from, access.expires) = (inherited_from, expires);
        access
    })
}

fn refs(profile: Profile) -> impl Strategy<Value = BTreeMap<String, References>> {
    let references = prop_oneof![
        reference(profile).prop_map(References::One),
        vec(reference(profile), 0..4).prop_map(References::Many),
        Just(References::None),
    ];
    btree_map(prop_oneof![3 => text(), 1 => Just("data".to_owned())], references, 0..4)
}

fn reference(profile: Profile) -> impl Strategy<Value = Reference> {
    (key(profile), of(id(profile))).prop_map(|(key, account)| {
        let mut reference = Reference::from(&key);
        reference.account = account;
        reference
    })
}

fn problem() -> impl Strategy<Value = Problem> {
    (text(), text(), of(text()), of(any::<u16>())).prop_map(|(kind, title, detail, status)| {
        let mut problem = Problem::new(kind, title);
        (problem.detail, problem.status) = (detail, status);
        problem
    })
}

fn key(profile: Profile) -> impl Strategy<Value = Key> {
    (collection(profile), id(profile)).prop_map(|(collection, id)| Key::new(collection, RecordId::parse(id).unwrap()))
}

fn collection(profile: Profile) -> impl Strategy<Value = CollectionName> {
    let pattern = if profile == Profile::Wire { "[a-z][a-z0-9_]{0,62}" } else { "[^\\p{Cc}*]{1,30}" };
    pattern.prop_map(|name| CollectionName::parse(name).unwrap())
}

fn id(profile: Profile) -> impl Strategy<Value = String> {
    if profile == Profile::Wire { "[^\\p{Cc}]{1,30}" } else { "[^\\p{Cc}]{1,200}" }
}

fn version() -> impl Strategy<Value = String> {
    "\\PC{1,40}"
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,20}", any::<String>(), "[\\x00-\\x7f]{0,12}"]
}

fn time() -> impl Strategy<Value = DateTime<Utc>> {
    let seconds = prop_oneof![-62_167_219_200_i64..=253_402_300_799, 1_700_000_000_i64..1_900_000_000];
    let nanos = prop_oneof![Just(0), (0..1000_u32).prop_map(|millis| millis * 1_000_000), 0..1_000_000_000_u32];
    (seconds, nanos).prop_map(|(seconds, nanos)| DateTime::from_timestamp(seconds, nanos).unwrap())
}

fn number(profile: Profile) -> impl Strategy<Value = u64> {
    0..=if profile == Profile::Wire { (1 << 53) - 1 } else { u64::MAX }
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest::from_bytes)
}

fn cursor(profile: Profile) -> BoxedStrategy<Cursor> {
    let json = match profile {
        Profile::Wire => "\"[A-Za-z0-9._~-]{1,60}\"".prop_map(|text| Json::parse(text).unwrap()).boxed(),
        Profile::Stored => json_value(profile),
    };
    json.prop_map(|json| Cursor::from_json(json).unwrap()).boxed()
}

fn extra(profile: Profile) -> impl Strategy<Value = BTreeMap<String, Json>> {
    btree_map("x_[ -~]{0,8}", json_value(profile), 0..3)
}

/// Any JSON, spread with whitespace; with names that stand twice and numbers that no double holds if it is stored.
pub(crate) fn json_value(profile: Profile) -> BoxedStrategy<Json> {
    json_text(profile).prop_map(|text| Json::parse(text).unwrap()).boxed()
}

fn json_object(profile: Profile) -> BoxedStrategy<Json> {
    object_text(profile, json_text(profile)).prop_map(|text| Json::parse(text).unwrap()).boxed()
}

fn json_text(profile: Profile) -> BoxedStrategy<String> {
    let mut odd = vec!["null", "true", "-0.0", "1.10", "1E-7", "9007199254740991", r#""\ud83d\ude00\/\u00E9""#];
    if profile == Profile::Stored {
        odd.extend(["1e400", "18446744073709551616", r#""\ud800""#, r#"{"a":1,"a":[{"a":2}]}"#]);
    }
    let leaf = prop_oneof![
        select(odd).prop_map(str::to_owned),
        any::<i32>().prop_map(|number| number.to_string()),
        text().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let list = (space(), vec(inner.clone(), 0..4))
            .prop_map(|(space, items)| format!("[{space}{}{space}]", items.join(&format!("{space},"))));
        prop_oneof![list, object_text(profile, inner)]
    })
    .boxed()
}

fn object_text(profile: Profile, value: impl Strategy<Value = String> + 'static) -> BoxedStrategy<String> {
    let join = |space: &str, members: Vec<(String, String)>| {
        let members = members
            .into_iter()
            .map(|(name, value)| format!("{}{space}:{value}", serde_json::to_string(&name).unwrap()));
        format!("{{{space}{}}}", members.collect::<Vec<_>>().join(","))
    };
    match profile {
        Profile::Wire => (space(), btree_map(text(), value, 0..4))
            .prop_map(move |(space, members)| join(&space, members.into_iter().collect()))
            .boxed(),
        Profile::Stored => {
            (space(), vec((text(), value), 0..4)).prop_map(move |(space, members)| join(&space, members)).boxed()
        }
    }
}

fn space() -> impl Strategy<Value = String> {
    "[ \\t]{0,2}"
}
