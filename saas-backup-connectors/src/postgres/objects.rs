//! Large objects: bytes that tables name by a number.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use saas_backup_core::{
    BlobId, BlobRef, ByteStream, CollectionName, Error, ErrorKind, Event, Gap, Json, Key, Record, RecordId, Result,
};
use tokio_postgres::GenericClient;

use super::Database;
use super::catalog::LARGE_OBJECTS;
use super::client::Connection;
use super::error::refused;
use super::structure::short_digest;
use super::view::View;

/// Bytes that one question asks for; also the unit of the digest that names a content.
const CHUNK: i64 = 1024 * 1024;

/// The objects by number, with who owns them.
pub(super) async fn list(client: &impl GenericClient) -> Result<Vec<(u32, String)>> {
    let rows = client
        .query("SELECT oid, pg_get_userbyid(lomowner)::text FROM pg_largeobject_metadata ORDER BY oid", &[])
        .await
        .map_err(refused("the large objects cannot be listed"))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The record of an object. Its blob is named after its content: an object keeps its number when its bytes change.
pub(super) async fn read(client: &impl GenericClient, oid: u32, owner: &str) -> Result<Event> {
    let key = Key::new(CollectionName::from_static(LARGE_OBJECTS), RecordId::parse(oid.to_string())?);
    let row = client
        .query_one(
            "WITH size AS (SELECT lo_lseek64(lo_open($1, 262144), 0, 2) AS bytes)
             SELECT bytes, coalesce((SELECT encode(sha256(string_agg(sha256(lo_get($1, at, 1048576)), '' ORDER BY at)), 'hex')
                FROM generate_series(0, bytes - 1, 1048576) AS at), 'empty') FROM size",
            &[&oid],
        )
        .await;
    let row = match row {
        Ok(row) => row,
        Err(error) => {
            let error = refused("a large object cannot be read")(error);
            if error.retry() != saas_backup_core::Retry::Never {
                return Err(error);
            }
            return Ok(Event::Gap(Gap::record(&key, &error)));
        }
    };
    let (size, digest): (i64, &str) = (row.get(0), row.get(1));
    let size = u64::try_from(size).unwrap_or_default();
    let data = Json::from_value(&serde_json::json!({ "oid": oid, "owner": owner, "size": size }))?;
    let blob =
        BlobRef::new(BlobId::parse(format!("{oid}-{digest}"))?, "content").with_name(oid.to_string()).with_size(size);
    Ok(Event::Put(Box::new(Record::new(key, data).with_blob(blob))))
}

/// What the objects are, as a digest.
pub(super) fn shape<'a>(objects: impl IntoIterator<Item = &'a Event>) -> String {
    let one = |event: &Event| match event {
        Event::Put(record) => {
            format!("{}{:?}", record.data.as_str(), record.blobs.first().and_then(|blob| blob.id.clone()))
        }
        other => format!("{:?}", other.key()),
    };
    short_digest(&objects.into_iter().map(one).collect::<Vec<_>>().join("\n"))
}

/// All objects.
pub(super) async fn read_all(client: &impl GenericClient) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    for (oid, owner) in list(client).await? {
        events.push(read(client, oid, &owner).await?);
    }
    Ok(events)
}

/// The bytes of an object from an offset, as a view sees them.
pub(super) async fn open(
    database: &Database,
    view: Arc<View>,
    key: &Key,
    from: u64,
    to: Option<u64>,
) -> Result<ByteStream> {
    let oid: u32 =
        key.id.as_str().parse().map_err(|_| Error::new(ErrorKind::NotFound, "there is no such large object"))?;
    let session = view.session(database).await?;
    let next = i64::try_from(from).unwrap_or(i64::MAX);
    let end = to.and_then(|to| i64::try_from(to).ok()).unwrap_or(i64::MAX);
    let walk = Walk { session, _view: view, oid, next, end };
    Ok(stream::try_unfold(walk, |mut walk| async move { Ok(walk.chunk().await?.map(|bytes| (bytes, walk))) }).boxed())
}

struct Walk {
    session: Connection,
    _view: Arc<View>,
    oid: u32,
    next: i64,
    end: i64,
}

impl Walk {
    async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let length = i32::try_from((self.end - self.next).clamp(0, CHUNK)).unwrap_or(0);
        if length == 0 {
            return Ok(None);
        }
        let row = self
            .session
            .query_one("SELECT lo_get($1, $2, $3)", &[&self.oid, &self.next, &length])
            .await
            .map_err(refused("a large object cannot be read"))?;
        let bytes: Vec<u8> = row.get(0);
        if bytes.is_empty() {
            return Ok(None);
        }
        self.next += i64::try_from(bytes.len()).unwrap_or(CHUNK);
        Ok(Some(bytes.into()))
    }
}
