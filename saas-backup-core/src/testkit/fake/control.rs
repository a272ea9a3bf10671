//! What a test tells the fake provider to do.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use serde_json::json;

use crate::{
    BlobId, BlobRef, CollectionName, Digest, ErrorKind, Json, Key, PartitionId, Record, RecordId, RecordState,
    Reference,
};

use super::faults::Cut;
use super::world::Change;
use super::{FakeProvider, Request, Transaction};

/// # Changing the data
///
/// Each change is visible, and in the change log, when the call returns.
impl FakeProvider {
    /// Adds or replaces a user.
    pub fn put_user(&self, id: &str, name: &str) -> Key {
        self.put(Record::new(Key::new(Self::users(), record_id(id)), data(&json!({ "id": id, "title": name }))))
    }

    /// Adds or replaces a task of a project; its attachments go.
    pub fn put_task(&self, project: &str, id: &str, title: &str) -> Key {
        let record = Record::new(Key::new(Self::tasks(), record_id(id)), data(&json!({ "id": id, "title": title })));
        self.put(record.with_partition(partition(project)))
    }

    /// Adds or replaces a comment on a task.
    pub fn put_comment(&self, id: &str, task: &str, text: &str) -> Key {
        let record = Record::new(Key::new(Self::comments(), record_id(id)), data(&json!({ "id": id, "text": text })));
        self.put(record.with_ref("task", Reference::new(Self::tasks(), record_id(task))))
    }

    /// Adds or replaces a record; its version and times are set here.
    pub fn put(&self, record: Record) -> Key {
        let key = record.key.clone();
        self.commit(self.begin_put(record));
        key
    }

    /// Changes a record that exists; says whether it does.
    pub fn update(&self, key: &Key, change: impl FnOnce(&mut Record)) -> bool {
        let Some(mut record) = self.world().rows.get(key).map(|row| row.record.clone()) else { return false };
        change(&mut record);
        record.key = key.clone();
        self.put(record);
        true
    }

    /// Deletes a record.
    pub fn delete(&self, key: &Key) {
        self.commit(self.begin_delete(key));
    }

    /// Moves a task to another project.
    pub fn move_to(&self, key: &Key, project: &str) {
        self.update(key, |record| record.partition = Some(partition(project)));
    }

    /// Deletes a project with all its tasks: it is listed no more, and no change tells of them.
    pub fn drop_project(&self, project: &str) {
        self.world().drop_partition(&partition(project));
    }

    /// Puts a record into the trash, or takes it back.
    pub fn trash(&self, key: &Key, trashed: bool) {
        self.update(key, |record| record.state = if trashed { RecordState::Trashed } else { RecordState::Live });
    }

    /// Takes a record out of the grant's sight.
    pub fn hide(&self, key: &Key) {
        self.world().set_hidden(key, true);
    }

    /// Brings a record back into sight.
    pub fn unhide(&self, key: &Key) {
        self.world().set_hidden(key, false);
    }

    /// Gives a record an attachment with its digest and size; says whether the record exists. The bytes of an id never
    /// change: those that it was given first stay.
    pub fn attach(&self, key: &Key, blob: &str, bytes: impl Into<Bytes>) -> bool {
        let id = blob_id(blob);
        let bytes = {
            let mut world = self.world();
            if !world.rows.contains_key(key) {
                return false;
            }
            world.blobs.entry(id.clone()).or_insert_with(|| bytes.into()).clone()
        };
        let reference = BlobRef::new(id, "attachment")
            .with_name(format!("{blob}.bin"))
            .with_media_type("application/octet-stream")
            .with_size(bytes.len() as u64)
            .with_digest(Digest::of(&bytes));
        self.update(key, |record| record.blobs.push(reference))
    }

    /// Begins to add or replace a record: its version is given now, and it becomes visible at
    /// [`commit`](Self::commit), maybe after later changes.
    pub fn begin_put(&self, record: Record) -> Transaction {
        Transaction(self.world().begin(Change::Put(Box::new(record))))
    }

    /// Begins to delete a record.
    pub fn begin_delete(&self, key: &Key) -> Transaction {
        Transaction(self.world().begin(Change::Delete(key.clone())))
    }

    /// Makes a change visible; a second time it does nothing.
    pub fn commit(&self, transaction: Transaction) {
        self.world().commit(transaction.0);
    }

    /// The changes that have begun and are not visible, oldest first.
    pub fn open_transactions(&self) -> Vec<Transaction> {
        self.world().open_transactions().into_iter().map(Transaction).collect()
    }
}

/// # Misbehaving
impl FakeProvider {
    /// Sets how many records, or changes, are on a page; at least one.
    pub fn set_page_size(&self, records: usize) {
        self.world().page_size = records.max(1);
    }

    /// Sends indented pages, or compact ones.
    pub fn pretty_print(&self, pretty: bool) {
        self.world().pretty = pretty;
    }

    /// Refuses so many requests with [`ErrorKind::RateLimited`], each for one second.
    pub fn throttle(&self, requests: u32) {
        self.world().faults.throttled = requests;
    }

    /// Answers so many requests with [`ErrorKind::Unavailable`].
    pub fn go_down(&self, requests: u32) {
        self.world().faults.unavailable = requests;
    }

    /// Forgets the change log: no cursor that exists is accepted any more.
    pub fn expire_cursors(&self) {
        self.world().expire_cursors();
    }

    /// Stops telling of changes, until [`reset`](Self::reset).
    pub fn mute(&self) {
        self.world().muted = true;
    }

    /// Says in the log that what happened to some collections cannot be told, and tells of changes again; cursors of
    /// their slices expire.
    pub fn reset(&self, collections: &[CollectionName]) {
        self.world().reset(collections.to_vec());
    }

    /// Goes back to an older state of the provider's own: what `keep` does not keep is gone, no change tells of it,
    /// and the generation of all cursors ends.
    pub fn bump_generation(&self, keep: impl Fn(&Key) -> bool) {
        self.world().bump_generation(keep);
    }

    /// Ends the stream that is being read after so many more events, without [`Done`](crate::Event::Done); once.
    pub fn cut_stream_after(&self, events: usize) {
        self.world().faults.cut = Some(Cut { events, told: false });
    }

    /// The same with an error.
    pub fn fail_stream_after(&self, events: usize) {
        self.world().faults.cut = Some(Cut { events, told: true });
    }

    /// Does not give out a record, until [`heal`](Self::heal).
    pub fn fail_record(&self, key: &Key, kind: ErrorKind) {
        self.world().faults.records.insert(key.clone(), kind);
    }

    /// Does not give out a blob, until [`heal`](Self::heal).
    pub fn fail_blob(&self, blob: &BlobId, kind: ErrorKind) {
        self.world().faults.blobs.insert(blob.clone(), kind);
    }

    /// Breaks the connection after so many bytes of the next blob that is opened; once.
    pub fn cut_blob_after(&self, bytes: u64) {
        self.world().faults.cut_blob = Some(bytes);
    }

    /// Adds to the counts that the coverage states.
    pub fn lie_about_counts(&self, delta: i64) {
        self.world().faults.count_delta = delta;
    }

    /// Loses the right to a collection: the coverage says so, and its reads are empty, until [`heal`](Self::heal).
    pub fn lose_access(&self, collection: &CollectionName) {
        self.world().faults.lost.insert(collection.clone());
    }

    /// Answers every full read and every sweep with an empty page, until [`heal`](Self::heal).
    pub fn empty(&self) {
        self.world().faults.empty = true;
    }

    /// Ends all misbehaviour that these calls began; what is gone stays gone.
    pub fn heal(&self) {
        self.world().faults = super::faults::Faults::default();
    }

    /// Calls `hook` after each page, before the reader gets it: the world moves while it is read.
    pub fn between_pages(&self, hook: impl Fn(&Self) + Send + Sync + 'static) {
        *self.0.hook.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(hook));
    }

    /// Lets the world rest between pages again.
    pub fn rest(&self) {
        *self.0.hook.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// # Looking at what was asked
impl FakeProvider {
    /// The requests so far, or since [`take_requests`](Self::take_requests).
    pub fn requests(&self) -> Vec<Request> {
        self.0.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The requests so far, which are then forgotten.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.0.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[expect(clippy::expect_used, reason = "a tree of strings always has a JSON form")]
fn data(value: &serde_json::Value) -> Json {
    Json::from_value(value).expect("a value of our own")
}

#[expect(clippy::expect_used, reason = "a test that names something wrongly is to fail where it does")]
fn record_id(text: &str) -> RecordId {
    RecordId::parse(text).expect("a valid record id")
}

#[expect(clippy::expect_used, reason = "a test that names something wrongly is to fail where it does")]
fn partition(text: &str) -> PartitionId {
    PartitionId::parse(text).expect("a valid project")
}

#[expect(clippy::expect_used, reason = "a test that names something wrongly is to fail where it does")]
fn blob_id(text: &str) -> BlobId {
    BlobId::parse(text).expect("a valid blob id")
}
