use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use saas_backup_core::{Error, Result};

use super::map::Part;
use crate::store::Store;

/// Objects that are fetched at the same time.
const FETCHES: usize = 8;
/// The most of an object that is fetched for parts that lie in it.
const SPAN_BYTES: u64 = 4 * 1024 * 1024;

/// Parts with their bytes, those that lie near each other in one object by one request; the bytes of others are left to
/// be fetched when they are needed.
pub(crate) async fn fetched(store: &dyn Store, parts: Vec<Part>) -> Result<Vec<Part>> {
    let mut spans: BTreeMap<String, Range<u64>> = BTreeMap::new();
    for Part { place, .. } in parts.iter().filter(|part| part.bytes.is_none()) {
        let end = place.at.saturating_add(place.size);
        let span = spans.entry(place.object.clone()).or_insert(place.at..end);
        *span = span.start.min(place.at)..span.end.max(end);
    }
    let near = spans.into_iter().filter(|(_, span)| span.end - span.start <= SPAN_BYTES);
    // Futures that are made before they are polled: a closure in the stream would not be `Send` for all lifetimes.
    let reads: Vec<_> = near
        .map(|(object, span)| async move {
            let bytes = store.get(&object, Some(span.clone())).await?;
            Ok::<_, Error>((object, (span.start, bytes)))
        })
        .collect();
    let read: HashMap<String, (u64, Bytes)> = stream::iter(reads).buffered(FETCHES).try_collect().await?;
    let with_bytes = |mut part: Part| {
        if let (None, Some((start, bytes))) = (&part.bytes, read.get(&part.place.object)) {
            let at = part.place.at.saturating_sub(*start) as usize;
            let end = at.saturating_add(part.place.size as usize);
            part.bytes = (end <= bytes.len()).then(|| bytes.slice(at..end));
        }
        part
    };
    Ok(parts.into_iter().map(with_bytes).collect())
}
