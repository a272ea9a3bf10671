use chrono::{DateTime, Utc};
use saas_backup_core::{
    BlobId, BlobRef, CollectionName, Digest, Json, Key, PartitionId, Record, RecordId, RecordState, Reference, Result,
};
use url::Url;

use super::overlay::{BlobRule, RecordRules};
use crate::extract::{Item, each_member, find_all};
use crate::slice::Partition;
use crate::stream::Stream;
use crate::template::python_str;
use crate::time::Moment;

/// Longest id that is not replaced by its digest.
const MAX_ID_BYTES: usize = 512;

/// A blob of a record, and how it is fetched.
pub(super) struct Found {
    pub(super) id: BlobId,
    pub(super) url: Url,
    pub(super) authorize: bool,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Within<'a> {
    pub(super) partition: &'a Partition,
    pub(super) place: Option<&'a PartitionId>,
    /// Whether its key tells it from the records of other partitions, too.
    pub(super) global_ids: bool,
}

/// Puts a record into its envelope; what its attachments are is noted.
pub(super) fn record(
    stream: &Stream,
    rules: &RecordRules,
    refs: &[(String, Vec<CollectionName>)],
    within: Within<'_>,
    item: &Item,
    found: &mut Vec<Found>,
) -> Result<Record> {
    let collection = CollectionName::parse(stream.name.clone())?;
    let text = |path: &String| -> Result<Option<String>> { Ok(texts(item, path)?.into_iter().next()) };
    let time = |path: &Option<String>| -> Result<Option<DateTime<Utc>>> {
        let text = path.as_ref().map(text).transpose()?.flatten();
        Ok(text.and_then(|text| Moment::parse_any(&text)).map(Moment::utc))
    };
    let is = |path: &Option<String>| -> Result<bool> {
        let text = path.as_ref().map(text).transpose()?.flatten();
        Ok(text.is_some_and(|text| !matches!(text.as_str(), "" | "false" | "0" | "no")))
    };
    let mut record = Record::new(Key::new(collection, id(stream, rules, within, item)?), item.raw.clone());
    record.partition = within.place.cloned();
    record.created = time(&rules.created)?;
    record.modified = time(&rules.modified)?;
    if let (None, Some(cursor)) = (record.modified, &stream.cursor) {
        record.modified = cursor.time_of(item)?.map(Moment::utc);
    }
    if is(&rules.trashed)? {
        record.state = RecordState::Trashed;
    } else if is(&rules.archived)? {
        record.state = RecordState::Archived;
    }
    if let Some(by) = &rules.by
        && let Some(id) = text(&by.path)?
    {
        record.by = Some(Reference::new(CollectionName::parse(by.to.clone())?, RecordId::parse(id)?));
    }
    for (name, path) in &rules.refs {
        let Some((_, to)) = refs.iter().find(|(known, _)| known == name) else { continue };
        let Some(to) = to.first() else { continue };
        let ids = texts(item, path)?;
        let references = ids.into_iter().map(|id| Ok(Reference::new(to.clone(), RecordId::parse(id)?)));
        let references = references.collect::<Result<Vec<_>>>()?;
        record = match <[Reference; 1]>::try_from(references) {
            Ok([single]) if !path.contains('*') => record.with_ref(name, single),
            Ok([single]) => record.with_refs(name, vec![single]),
            Err(several) if several.is_empty() => record,
            Err(several) => record.with_refs(name, several),
        };
    }
    for rule in &rules.blobs {
        add_blobs(&mut record, rule, item, found)?;
    }
    if let Some(fields) = &item.fields {
        add_view(&mut record, item.raw.as_str(), fields)?;
    }
    Ok(record)
}

/// What tells a record from others: the partition it stands in and its key, or what the overlay names; a digest where
/// there is none.
fn id(stream: &Stream, rules: &RecordRules, within: Within<'_>, item: &Item) -> Result<RecordId> {
    let mut parts = Vec::new();
    if rules.id.is_empty() {
        for path in &stream.key {
            match item.get(path)? {
                Some(value) if !value.is_none() => parts.push(python_str(&value)),
                _ => parts.clear(),
            }
            if parts.is_empty() {
                break;
            }
        }
        if !parts.is_empty() && !within.global_ids && !within.partition.is_whole() {
            let mut whole = within.partition.values()?;
            whole.append(&mut parts);
            parts = whole;
        }
    } else {
        for path in &rules.id {
            parts.extend(texts(item, path)?.into_iter().next());
        }
    }
    let text = parts.join("/");
    if text.is_empty() || text.len() > MAX_ID_BYTES || text.chars().any(char::is_control) {
        let of = if text.is_empty() { item.raw.as_bytes() } else { text.as_bytes() };
        return RecordId::parse(format!("sha256:{}", Digest::of(of).to_base64()));
    }
    RecordId::parse(text)
}

/// What a manifest adds to records stands beside them, in `extra`: the record itself stays as it arrived.
fn add_view(record: &mut Record, raw: &str, fields: &crate::extract::Fields) -> Result<()> {
    let mut own = Vec::new();
    each_member(raw, |name, _| own.push(name))?;
    own.sort_unstable();
    let mut added = serde_json::Map::new();
    for (name, value) in &fields.0 {
        if own.binary_search_by(|known| (**known).cmp(name)).is_err() {
            added.insert(name.to_string(), serde_json::to_value(value)?);
        }
    }
    if !added.is_empty() {
        record.extra.insert("x-added".to_owned(), Json::from_value(&added)?);
    }
    Ok(())
}

/// What stands for a file: what signs its address anew each time is left out.
pub(super) fn blob_id(target: &str) -> Result<BlobId> {
    let plain = target.parse::<Url>().ok().filter(Url::has_host).map(|mut url| {
        url.set_query(None);
        url.set_fragment(None);
        url.to_string()
    });
    let id = plain.unwrap_or_else(|| target.to_owned());
    BlobId::parse(if id.len() > MAX_ID_BYTES { digest_of(&id) } else { id })
}

fn digest_of(id: &str) -> String {
    format!("sha256:{}", Digest::of(id.as_bytes()).to_base64())
}

fn add_blobs(record: &mut Record, rule: &BlobRule, item: &Item, found: &mut Vec<Found>) -> Result<()> {
    let urls = texts(item, &rule.url)?;
    let others = |path: &Option<String>| path.as_ref().map_or(Ok(Vec::new()), |path| texts(item, path));
    let (names, types, sizes) = (others(&rule.name)?, others(&rule.media_type)?, others(&rule.size)?);
    // Members that some items lack cannot be told apart from those of the next.
    let aligned =
        |values: &[String], index: usize| (values.len() == urls.len()).then(|| values.get(index).cloned()).flatten();
    for (index, text) in urls.iter().enumerate() {
        let Ok(url) = text.parse::<Url>() else { continue };
        let mut plain = url.clone();
        plain.set_query(None);
        plain.set_fragment(None);
        let size = aligned(&sizes, index);
        // What is signed anew each time is the same file; one of another size is not.
        let id = match &size {
            Some(size) => format!("{plain}#{size}"),
            None => plain.to_string(),
        };
        let id = BlobId::parse(if id.len() > MAX_ID_BYTES { digest_of(&id) } else { id })?;
        let mut blob = BlobRef::new(id.clone(), rule.role.clone().unwrap_or_else(|| "attachment".to_owned()));
        let last = plain.path_segments().and_then(|mut segments| segments.next_back()).filter(|last| !last.is_empty());
        blob.name = aligned(&names, index).or_else(|| last.map(str::to_owned));
        blob.media_type = aligned(&types, index).filter(|kind| kind.contains('/'));
        blob.size = size.and_then(|size| size.parse().ok());
        if !record.blobs.iter().any(|known| known.id.as_ref() == Some(&id)) {
            record.blobs.push(blob);
            found.push(Found { id, url, authorize: rule.authorize });
        }
    }
    Ok(())
}

/// The texts and numbers at a dotted path; a text where it stands for a list's items, each of them. What the record lacks is
/// looked for in what the manifest adds to it.
fn texts(item: &Item, path: &str) -> Result<Vec<String>> {
    let path: Vec<String> = path.split('.').map(str::to_owned).collect();
    let mut values = Vec::new();
    find_all(item.raw.as_str(), &path, &mut values)?;
    let mut found = Vec::new();
    for value in &values {
        match serde_json::from_str(value.get())? {
            // As it is written.
            serde_json::Value::Number(_) => found.push(value.get().to_owned()),
            value => push_texts(value, &mut found),
        }
    }
    if let (true, Some(fields)) = (values.is_empty(), &item.fields)
        && let Some(added) = fields.get(&path)
    {
        push_texts(serde_json::to_value(added)?, &mut found);
    }
    Ok(found)
}

fn push_texts(value: serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) if !text.is_empty() => found.push(text),
        serde_json::Value::Number(number) => found.push(number.to_string()),
        serde_json::Value::Bool(value) => found.push(value.to_string()),
        serde_json::Value::Array(items) => found.extend(items.into_iter().filter_map(|item| match item {
            serde_json::Value::String(text) => Some(text),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        })),
        _ => {}
    }
}
