//! The comparison with a target that may give ids and values of its own: what was exported once more is compared with what
//! was restored.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures::TryStreamExt as _;
use saas_backup_core::{Capabilities, Digest, Feed, IdMap, Key, Only, ReadRequest, Result, Snapshot};
use serde_json::Value;

use super::compare::{Comparison, Part, Read, Reader, slices};
use super::report::DifferenceKind;

/// Records that are compared at a time.
const BATCH: usize = 500;

/// The same where a target is read in full for each batch.
const LARGE_BATCH: usize = 20_000;

/// A target that is read back.
struct Target<'a> {
    reader: Reader<'a>,
    feeds: Vec<Feed>,
    reads_records: bool,
}

/// Compares each record that the target took with what it gives back.
pub(super) async fn compare(
    source: &dyn Snapshot,
    (target, able): (&dyn Snapshot, Capabilities),
    part: Part<'_>,
    ids: &IdMap,
) -> Result<Comparison> {
    let mut found = Comparison::default();
    let mut reading = Reader::of_copy(source).all(|key| part.holds(key)).await?;
    let feeds = slices(target).await?;
    let target = Target { reader: Reader::of_target(target), feeds, reads_records: able.reads_records };
    let size = if able.reads_records { BATCH } else { LARGE_BATCH };
    let mut batch = Vec::new();
    while let Some(read) = reading.try_next().await? {
        found.awaits(&read);
        let restored = if able.assigns_ids { ids.get(&read.record.key) } else { Some(read.record.key.clone()) };
        // What got no id was refused, and the restore's report says so.
        batch.extend(restored.map(|restored| (restored, read)));
        if batch.len() == size {
            check(&mut found, &target, std::mem::take(&mut batch)).await?;
        }
    }
    check(&mut found, &target, batch).await?;
    Ok(found)
}

impl Target<'_> {
    async fn read(&self, batch: &[(Key, Read)]) -> Result<HashMap<Key, Read>> {
        let keys: HashSet<&Key> = batch.iter().map(|(restored, _)| restored).collect();
        let requests = self.feeds.iter().filter_map(|feed| {
            let own = keys.iter().filter(|key| feed.covers.contains(&key.collection)).copied().cloned();
            let own: Vec<Key> = own.collect();
            let request = ReadRequest::new(feed.clone());
            (!own.is_empty()).then(|| if self.reads_records { request.with_only(Only::Records(own)) } else { request })
        });
        let mut held = HashMap::new();
        let mut reading = self.reader.some(requests.collect());
        while let Some(read) = reading.try_next().await? {
            if keys.contains(&read.record.key) {
                held.insert(read.record.key.clone(), read);
            }
        }
        Ok(held)
    }
}

async fn check(found: &mut Comparison, target: &Target<'_>, batch: Vec<(Key, Read)>) -> Result<()> {
    let held = target.read(&batch).await?;
    for (restored, expected) in batch {
        let key = &expected.record.key;
        let Some(held) = held.get(&restored) else {
            found.note(key, DifferenceKind::Missing);
            continue;
        };
        let (before, after) = (leaves(&expected)?, leaves(held)?);
        let compared = found.of(key);
        compared.fields += before.len() as u64;
        compared.fields_equal += before.iter().filter(|(path, value)| after.get(*path) == Some(value)).count() as u64;
        if !has_all(&expected.blobs, &held.blobs) {
            found.note(key, DifferenceKind::Attachments);
        }
    }
    Ok(())
}

/// Whether each of some attachments is among others, by its bytes.
fn has_all(expected: &[(Digest, u64)], held: &[(Digest, u64)]) -> bool {
    let mut left = held.to_vec();
    expected.iter().all(|blob| left.iter().position(|other| other == blob).map(|at| left.swap_remove(at)).is_some())
}

/// The values of a record that hold no others, by their JSON pointer.
fn leaves(read: &Read) -> Result<BTreeMap<String, Value>> {
    let mut leaves = BTreeMap::new();
    let mut open = vec![(String::new(), serde_json::from_str::<Value>(read.record.data.as_str())?)];
    while let Some((path, value)) = open.pop() {
        match value {
            Value::Object(members) => {
                let member = |(name, value): (String, Value)| {
                    (format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")), value)
                };
                open.extend(members.into_iter().map(member));
            }
            Value::Array(items) => {
                open.extend(items.into_iter().enumerate().map(|(at, item)| (format!("{path}/{at}"), item)));
            }
            value => drop(leaves.insert(path, value)),
        }
    }
    Ok(leaves)
}
