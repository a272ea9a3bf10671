//! What the targets in `fuzz/` call: the parsers of stored objects, with their promises as assertions.
//!
//! No part of the public API.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use saas_backup_core::{CollectionName, Digest, Key, RecordId, Result, RunId, SystemClock};
use tokio::runtime::{Builder, Runtime};

use crate::commit::{ObjectKind, ObjectRef, decode, encode, header_hash};
use crate::crypto::{AgentKey, Identity, Keyring, Keys, Recipient, RootKey, Sealer, SigningPurpose, Unsealer};
use crate::layout::{Loader, Map, Segment, Trust};
use crate::object::{Family, Names, SegmentIndex, compress, decompress, split_lines};
use crate::points::Point;
use crate::read::{Access, BlobRow, Bounds, Merge};
use crate::store::{Creation, Entry, Store};

/// A key of nobody's, so that seeds can be sealed to it.
const KEY: &str = "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";
/// The most that decompressing one input may give.
const LIMIT: u64 = 1024 * 1024;
const REPOSITORY: &str = "r";
const SOURCE: &str = "s";

/// Storage where every name holds the same bytes.
#[derive(Debug)]
struct One(Bytes);

#[async_trait]
impl Store for One {
    async fn put(&self, _: &str, _: Bytes) -> Result<()> {
        Ok(())
    }

    async fn create(&self, _: &str, _: Bytes) -> Result<Creation> {
        Ok(Creation::Exists)
    }

    async fn get(&self, _: &str, range: Option<Range<u64>>) -> Result<Bytes> {
        let length = self.0.len() as u64;
        let range = range.unwrap_or(0..length);
        let end = range.end.min(length);
        Ok(self.0.slice(range.start.min(end) as usize..end as usize))
    }

    async fn size(&self, _: &str) -> Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn list(&self, _: &str, _: Option<&str>) -> BoxStream<'static, Result<Entry>> {
        stream::empty().boxed()
    }

    async fn delete(&self, _: &str) -> Result<()> {
        Ok(())
    }
}

fn run<T>(work: impl Future<Output = T>) -> Option<T> {
    static RUNTIME: LazyLock<Option<Runtime>> =
        LazyLock::new(|| Builder::new_current_thread().enable_all().build().ok());
    RUNTIME.as_ref().map(|runtime| runtime.block_on(work))
}

fn access(object: &[u8]) -> Arc<Access> {
    let store: Arc<dyn Store> = Arc::new(One(Bytes::copy_from_slice(object)));
    let keyring = Keyring::new(Arc::clone(&store), "keys/".to_owned(), Keys::none(), false);
    Arc::new(Access::new(store, Arc::new(keyring)))
}

/// The input before and after its first `at`; all of it and nothing where there is none.
fn cut(input: &[u8], at: u8) -> (&[u8], &[u8]) {
    match memchr::memchr(at, input) {
        Some(place) => (input.get(..place).unwrap_or_default(), input.get(place + 1..).unwrap_or_default()),
        None => (input, &[]),
    }
}

/// Cuts an object into header, signature and parts: together they are the object.
pub fn envelope(input: &[u8]) {
    let object = Bytes::copy_from_slice(input);
    let Ok(envelope) = decode(&object) else { return };
    let joined = [&envelope.header[..], b"\n", envelope.signature.as_bytes(), b"\n", &envelope.body[..]].concat();
    assert!(joined == input, "the pieces of an object are the object");
    assert_eq!(envelope.body_at as usize, input.len() - envelope.body.len());
    let unsigned = format!("sha256:{}", header_hash(&envelope.header));
    assert_eq!(envelope.verify(SigningPurpose::Layout, None).is_ok(), envelope.signature == unsigned);
    if let Ok(identity) = Identity::parse(KEY) {
        assert!(envelope.verify(SigningPurpose::Layout, Some(&identity.root_key())).is_err(), "nobody signed it");
    }
}

/// Reads a commit whose header line is the input up to its first line feed, and its parts.
pub fn commit(input: &[u8]) {
    let (header, body) = cut(input, b'\n');
    let stated: serde_json::Value = serde_json::from_slice(header).unwrap_or_default();
    let sequence = stated.get("sequence").and_then(serde_json::Value::as_u64).unwrap_or(1);
    let signature = format!("sha256:{}", Digest::of(header));
    let object = [header, b"\n", signature.as_bytes(), b"\n", body].concat();
    let loader = Loader {
        store: Arc::new(One(Bytes::from(object))),
        names: Names::new(SOURCE, false, Arc::new(SystemClock)),
        trust: Arc::new(Trust::new(None)),
        repository: REPOSITORY.to_owned(),
        source: SOURCE.to_owned(),
    };
    let Some(Ok(Some((envelope, header, hash)))) = run(loader.commit(sequence)) else { return };
    let mut map = Map::default();
    map.push(&loader.names.commit(sequence), &header, hash, envelope.body_at, &envelope.body);
    assert!(map.parts.iter().all(|part| part.bytes.is_some()), "a commit that is whole holds its parts");
    let again = serde_json::to_vec(&header).ok().and_then(|text| serde_json::from_slice(&text).ok());
    assert_eq!(again.as_ref(), Some(&header), "a header reads back as it was");
    let mut object = envelope.body.to_vec();
    object.truncate(4096);
    read(&map, &object);
}

/// Reads a map out of the lines before the first NUL, and records by it from storage that holds what follows.
pub fn layout(input: &[u8]) {
    let (lines, object) = cut(input, 0);
    let Ok(part) = compress(lines) else { return };
    let head = serde_json::json!({
        "sequence": 5, "sha256": Digest::of(b""), "run": RunId::new(chrono::DateTime::UNIX_EPOCH),
        "at": chrono::DateTime::UNIX_EPOCH, "finished": true,
    });
    let header = serde_json::json!({
        "format": 1, "requires": [], "repository": REPOSITORY, "source": SOURCE, "sequence": 5, "head": head,
        "sha256": Digest::of(&part),
    });
    let Ok((layout, _)) = encode(&header, SigningPurpose::Layout, None, &[&part]) else { return };
    let loader = Loader {
        store: Arc::new(One(layout)),
        names: Names::new(SOURCE, false, Arc::new(SystemClock)),
        trust: Arc::new(Trust::new(None)),
        repository: REPOSITORY.to_owned(),
        source: SOURCE.to_owned(),
    };
    if let Some(Ok((map, _))) = run(loader.layout(5)) {
        read(&map, object);
    }
}

/// Reads what a map names: points, one key, everything.
fn read(map: &Map, object: &[u8]) {
    let (access, key) = (access(object), Key::new(CollectionName::from_static("a"), RecordId::from_static("1")));
    let _ = Point::find(map, &saas_backup_core::At::Now);
    for family in [Family::Data, Family::Meta] {
        run(async {
            let _ = access.lookup(map, family, &key, u64::MAX).await;
            let bounds = Bounds::all(family, u64::MAX);
            let Ok(mut merge) = Merge::open(Arc::clone(&access), map, bounds).await else { return };
            while let Ok(Some(group)) = merge.next().await {
                assert!(!group.lines.is_empty(), "a group has a line");
            }
        });
    }
}

/// Reads the frames of a segment: its index is the input up to the first line feed, its object what follows.
pub fn segment(input: &[u8]) {
    let (index, object) = cut(input, b'\n');
    let Ok(index) = serde_json::from_slice::<SegmentIndex>(index) else { return };
    // What a frame states is the most that it may hold; the machine that fuzzes has less.
    if index.frames.iter().any(|frame| u64::from(frame.raw) > LIMIT) {
        return;
    }
    let key = Key::new(CollectionName::from_static("a"), RecordId::from_static("1"));
    if index.may_hold(&key) {
        assert!(index.frame_of(&key).is_none_or(|frame| frame < index.frames.len()));
    }
    let text = serde_json::to_vec(&index).unwrap_or_default();
    assert!(serde_json::from_slice::<SegmentIndex>(&text).is_ok_and(|again| again == index), "an index reads back");
    let (access, size) = (access(object), object.len() as u64);
    let segment = Segment {
        family: Family::Data,
        sequence: 1,
        oldest: None,
        ordinal: 0,
        until: None,
        commit: None,
        object: ObjectRef::new("o".to_owned(), ObjectKind::Segment, size, Digest::of(object), None),
    };
    let index = Arc::new(index);
    run(async {
        let frames = index.frames.len();
        for (from, to) in [(0, frames), (0, 1), (frames / 2, frames)] {
            if let Ok(read) = access.frames(&segment, &index, from, to).await {
                assert_eq!(read.len(), to.min(frames).saturating_sub(from));
            }
        }
    });
}

/// Decompresses and cuts lines: never more than the limit, sorted, and together what was there.
pub fn lines(input: &[u8]) {
    if let Ok(plain) = decompress(input, LIMIT) {
        assert!(plain.len() as u64 <= LIMIT);
    }
    let text = Bytes::copy_from_slice(input);
    let Ok(lines) = split_lines(&text, 1, 0) else { return };
    assert!(lines.is_sorted_by(|one, two| one.key <= two.key));
    let length: usize = lines.iter().map(|line| line.text.len() + 1).sum();
    assert!(length <= text.len());
}

/// Reads an attachment: its row is the input up to the first line feed, every object what follows.
pub fn blob(input: &[u8]) {
    let (row, object) = cut(input, b'\n');
    let Ok(row) = serde_json::from_slice::<BlobRow>(row) else { return };
    if row.parts.iter().any(|part| part.length > LIMIT) {
        return;
    }
    let access = access(object);
    for range in [None, Some(0..1), Some(1..u64::MAX), Some(u64::MAX - 1..u64::MAX)] {
        let length = range.as_ref().map_or(row.size, |range| {
            let end = range.end.min(row.size);
            end.saturating_sub(range.start)
        });
        let Ok(bytes) = Arc::clone(&access).blob(row.clone(), range) else { continue };
        if let Some(Ok(read)) = run(bytes.try_collect::<Vec<Bytes>>()) {
            assert_eq!(read.iter().map(|chunk| chunk.len() as u64).sum::<u64>(), length);
        }
    }
}

/// Reads keys as people write them into files: what is read prints as itself.
pub fn keys(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(identity) = Identity::parse(text) {
        assert!(!format!("{identity:?}").contains("SECRET"));
    }
    let _ = AgentKey::parse(text);
    if let Ok(recipient) = Recipient::parse(text) {
        assert!(Recipient::parse(recipient.as_str()).is_ok_and(|again| again == recipient));
    }
    if let Ok(root) = text.parse::<RootKey>() {
        assert!(root.to_string().parse::<RootKey>().is_ok_and(|again| again == root));
    }
}

/// Opens an age file, whole and by range: a range is what stands there in the whole.
pub fn age(input: &[u8]) {
    let Ok(unsealer) = Unsealer::from_key(KEY) else { return };
    let object = Bytes::copy_from_slice(input);
    let whole = unsealer.open(object.clone());
    let Ok(head) = Sealer::Age(Vec::new()).head(input) else {
        assert!(whole.is_err(), "what opens has a head");
        return;
    };
    let (size, plain) = (input.len() as u64, whole.as_ref().map_or(0, |plain| plain.len() as u64));
    for range in [0..1, 0..plain, plain / 2..plain, 65_535..65_537, plain..u64::MAX, u64::MAX - 1..u64::MAX] {
        let stored = unsealer.sealed_range(&head, size, &range);
        let body =
            object.slice(stored.start.min(size) as usize..stored.end.min(size).max(stored.start.min(size)) as usize);
        let read = unsealer.open_range(&head, size, body, &range);
        if let (Ok(whole), true) = (&whole, range.start < range.end && range.end <= plain) {
            let expected = whole.slice(range.start as usize..range.end as usize);
            assert!(read.is_ok_and(|read| read == expected), "{range:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: u64 = u64::MAX;

    /// Each of these ended in an overflow once.
    #[test]
    fn places_beyond_the_end_of_all_numbers_are_refused() {
        let (sha256, first) = (Digest::of(b"abcde"), r#"{"collection":"a","id":"1"}"#);
        let frame =
            |at: u64, digest: &str| format!(r#"{{"at":{at},"size":5,"raw":9,"digest":"{digest}","first":{first}}}"#);
        let right = crate::object::frame_digest(b"abcde");
        for frames in
            [[frame(LAST, "0"), frame(LAST, "0")], [frame(0, &right), frame(LAST, "0")], [frame(3, "0"), frame(0, "0")]]
        {
            let frames = frames.join(",");
            segment(format!("{{\"lines\":1,\"last\":{first},\"frames\":[{frames}],\"bloom\":\"\"}}\nabcde").as_bytes());
        }
        for (at, size, length) in [(LAST, 5, 5), (0, LAST, 5), (3, LAST - 2, 5), (LAST, LAST, 1)] {
            for parts in 1..3 {
                let part = format!(r#"{{"object":"o","at":{at},"size":{size},"length":{length},"stored":5}}"#);
                let parts = vec![part; parts].join(",");
                blob(format!("{{\"size\":5,\"sha256\":\"{sha256}\",\"parts\":[{parts}]}}\nabcde").as_bytes());
            }
        }
        let place = format!(r#"{{"object":"b","at":{LAST},"size":5}}"#);
        let part = |kind: &str| {
            format!(r#"{{"type":"part","kind":"{kind}","sequence":1,"place":{place},"sha256":"{sha256}"}}"#)
        };
        layout(format!("{}\n{}\n", part("delta"), part("meta")).as_bytes());
    }

    #[test]
    fn a_range_beyond_the_end_of_an_age_file_is_refused() {
        let identity = Identity::parse(KEY).map(|identity| identity.recipient().to_string());
        let sealed = identity.and_then(|recipient| Sealer::Age(vec![recipient]).seal(vec![7; 70_000]));
        age(&sealed.unwrap_or_default());
    }
}
