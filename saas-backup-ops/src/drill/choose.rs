use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use futures::TryStreamExt as _;
use saas_backup_core::{
    Catalog, CollectionName, Digest, Event, Feed, Key, Only, ReadRequest, Record, Result, Snapshot,
};

use super::compare::slices;

/// Records that others need are added up to so many times the sample.
const NEEDED: usize = 4;

/// Chooses records by a digest of the seed and the key: the same ones whatever the order in which they come; and adds those
/// that a restore of them needs.
pub(super) async fn sample(
    snapshot: &dyn Snapshot,
    catalog: &Catalog,
    collections: Option<&[CollectionName]>,
    records: usize,
    seed: u64,
) -> Result<BTreeSet<Key>> {
    let mut lowest: BinaryHeap<(Digest, Key)> = BinaryHeap::new();
    let feeds = slices(snapshot).await?;
    for feed in feeds.iter().filter(|feed| is_wanted(feed, collections)) {
        let mut events = snapshot.read(ReadRequest::new(feed.clone()));
        while let Some(event) = events.try_next().await? {
            let Event::Put(record) = event else { continue };
            let rank = Digest::of(format!("{seed}\n{}", record.key).as_bytes());
            lowest.push((rank, record.key));
            if lowest.len() > records {
                lowest.pop();
            }
        }
    }
    let chosen: BTreeSet<Key> = lowest.into_iter().map(|(_, key)| key).collect();
    with_needed(snapshot, catalog, &feeds, chosen, records.saturating_mul(NEEDED)).await
}

fn is_wanted(feed: &Feed, collections: Option<&[CollectionName]>) -> bool {
    collections.is_none_or(|wanted| feed.covers.iter().any(|covered| wanted.contains(covered)))
}

async fn with_needed(
    snapshot: &dyn Snapshot,
    catalog: &Catalog,
    feeds: &[Feed],
    mut chosen: BTreeSet<Key>,
    most: usize,
) -> Result<BTreeSet<Key>> {
    let mut new = chosen.clone();
    while !new.is_empty() && chosen.len() < most {
        let mut wanted: BTreeMap<CollectionName, Vec<Key>> = BTreeMap::new();
        for key in new.into_iter().filter(|key| needs_any(catalog, &key.collection)) {
            wanted.entry(key.collection.clone()).or_default().push(key);
        }
        new = BTreeSet::new();
        for (collection, keys) in wanted {
            for feed in feeds.iter().filter(|feed| feed.covers.contains(&collection)) {
                let mut events = snapshot.read(ReadRequest::new(feed.clone()).with_only(Only::Records(keys.clone())));
                while let Some(event) = events.try_next().await? {
                    let Event::Put(record) = event else { continue };
                    new.extend(needed(catalog, &record).filter(|key| !chosen.contains(key)));
                }
            }
        }
        chosen.extend(new.iter().cloned());
    }
    Ok(chosen)
}

fn needs_any(catalog: &Catalog, collection: &CollectionName) -> bool {
    catalog.get(collection).is_some_and(|collection| collection.refs.iter().any(|rule| rule.required))
}

/// What a record refers to by a relationship that it cannot be without.
fn needed<'a>(catalog: &'a Catalog, record: &'a Record) -> impl Iterator<Item = Key> + 'a {
    let rules = catalog.get(&record.key.collection).into_iter().flat_map(|collection| &collection.refs);
    let references = rules.filter(|rule| rule.required).filter_map(|rule| record.refs.get(&rule.name));
    references.flat_map(|references| references.iter().map(saas_backup_core::Reference::key))
}
