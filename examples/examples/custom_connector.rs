//! A connector of your own in about a hundred lines: a to-do list that lives in a JSON file.
//!
//! ```text
//! cargo run --example custom_connector -p examples            # a list that the program makes
//! cargo run --example custom_connector -p examples -- my.json # {"tasks":[{"id":1,"changed":1,"text":"…"}]}
//! ```
//!
//! Every task has a number `changed` that grows with each edit, which makes the cursor; a task with `"gone": true`
//! was deleted. The test at the end runs the conformance kit against it.
#![allow(clippy::print_stdout, reason = "a program prints")]

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{
    Account, BlobRef, ByteStream, Capabilities, Catalog, Collection, CollectionCoverage, CollectionName, Connector,
    Coverage, Cursor, Deletion, DeletionReason, Done, Error, ErrorKind, Event, EventStream, Feed, FeedStream, Json,
    Key, Kind, Only, ReadRequest, Record, Result, Scope, Sink, SinkOptions, Snapshot, SnapshotOptions, TransferOptions,
    Visibility, async_trait, page_items, transfer,
};

const CURSOR_VERSION: u32 = 1;

#[derive(Clone, Debug)]
struct TodoList {
    file: PathBuf,
}

#[derive(serde::Deserialize)]
struct Task {
    id: u64,
    changed: u64,
    #[serde(default)]
    gone: bool,
}

fn tasks() -> CollectionName {
    CollectionName::from_static("tasks")
}

#[async_trait]
impl Connector for TodoList {
    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::default();
        (can.read, can.incremental, can.reports_deletions, can.reads_records) = (true, true, true, true);
        can
    }

    async fn check(&self) -> Result<Account> {
        self.page()?;
        Ok(Account::new("todo", "To-do list"))
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        match options.at {
            saas_backup_core::At::Now => Ok(Box::new(self.clone())),
            _ => Err(Error::new(ErrorKind::Unsupported, "the file has no past")),
        }
    }

    async fn sink(&self, _: SinkOptions) -> Result<Box<dyn Sink>> {
        Err(Error::new(ErrorKind::Unsupported, "the list is only read"))
    }
}

#[async_trait]
impl Snapshot for TodoList {
    async fn catalog(&self) -> Result<Catalog> {
        Ok(Catalog::new(vec![Collection::new(tasks(), Kind::Issue)]))
    }

    async fn coverage(&self) -> Result<Coverage> {
        let live = self.page()?.iter().filter(|(task, _)| !task.gone).count() as u64;
        Ok(Coverage::default().with(tasks(), CollectionCoverage::new(Visibility::All).with_count(live, true)))
    }

    fn feeds(&self) -> FeedStream {
        stream::iter([Ok(Feed::slice(tasks()))]).boxed()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let events = self.events(&request).unwrap_or_else(|error| vec![Err(error)]);
        stream::iter(events).boxed()
    }

    async fn open(&self, _: &Key, _: &BlobRef, _: Option<std::ops::Range<u64>>) -> Result<ByteStream> {
        Err(Error::new(ErrorKind::Unsupported, "tasks have no attachments"))
    }
}

impl TodoList {
    /// The tasks, each with its own JSON as it stands in the file.
    fn page(&self) -> Result<Vec<(Task, Json)>> {
        let page = Bytes::from(std::fs::read(&self.file)?);
        page_items(&page, "tasks")?.into_iter().map(|json| Ok((json.decode()?, json))).collect()
    }

    fn events(&self, request: &ReadRequest) -> Result<Vec<Result<Event>>> {
        if request.sweep {
            return Err(Error::new(ErrorKind::Unsupported, "deletions are reported: there is nothing to sweep for"));
        }
        let since: Option<u64> = request.from.as_ref().map(|cursor| cursor.decode(CURSOR_VERSION)).transpose()?;
        let (page, scope) = (self.page()?, Scope::collection(tasks()));
        let (newest, mut events) = (page.iter().map(|(task, _)| task.changed).max(), Vec::new());
        if let Only::Records(keys) = &request.only {
            for key in keys {
                let found = page.iter().find(|(task, _)| !task.gone && task.id.to_string() == key.id.as_str());
                events.push(Ok(found.map_or_else(|| gone(key.clone()), |(task, json)| put(key.clone(), task, json))));
            }
            events.push(Ok(Event::Done(Done::changes(scope))));
            return Ok(events);
        }
        for (task, json) in page.iter().filter(|(task, _)| since.is_none_or(|since| task.changed > since)) {
            let key = Key::parse(tasks(), task.id.to_string())?;
            if request.only.wants(&key.collection) && !task.gone {
                events.push(Ok(put(key, task, json)));
            } else if request.only.wants(&key.collection) && since.is_some() {
                events.push(Ok(gone(key)));
            }
        }
        events.push(Ok(Event::Checkpoint(Cursor::encode(CURSOR_VERSION, &newest.max(since).unwrap_or(0))?)));
        events.push(Ok(Event::Done(if since.is_some() { Done::changes(scope) } else { Done::full(scope) })));
        Ok(events)
    }
}

fn put(key: Key, task: &Task, json: &Json) -> Event {
    Event::Put(Box::new(Record::new(key, json.clone()).with_version(task.changed.to_string())))
}

fn gone(key: Key) -> Event {
    Event::Delete(Deletion::new(key, DeletionReason::Deleted))
}

fn write(file: &Path, json: &str) -> Result<()> {
    Ok(std::fs::write(file, json)?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let argument = std::env::args().nth(1);
    if matches!(argument.as_deref(), Some("-h" | "--help")) {
        println!("custom_connector [FILE.json]\n\nBacks up a to-do list twice into memory and prints what moved.");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let file = argument.as_ref().map_or_else(|| folder.path().join("todo.json"), PathBuf::from);
    if argument.is_none() {
        write(
            &file,
            r#"{"tasks":[{"id":1,"changed":1,"text":"water the plants"},{"id":2,"changed":2,"text":"sleep"}]}"#,
        )?;
    }
    let (source, copy) = (TodoList { file: file.clone() }, MemoryStore::new());
    let target = MemoryConnector::new(copy.clone());

    let first = transfer(&source, &target, TransferOptions::backup()).await?;
    println!("first run:  {} tasks", first.report.totals().written);
    if argument.is_none() {
        write(&file, r#"{"tasks":[{"id":1,"changed":3,"gone":true},{"id":2,"changed":4,"text":"sleep well"}]}"#)?;
    }
    let counts = transfer(&source, &target, TransferOptions::backup()).await?.report.totals();
    println!("second run: {} changed, {} deleted; {} held", counts.written, counts.deleted, copy.live().len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_to_do_list_conforms() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("todo.json");
        write(&file, r#"{"tasks":[{"id":1,"changed":1,"text":"a"},{"id":2,"changed":2,"gone":true}]}"#).unwrap();
        saas_backup_core::testkit::connector(&TodoList { file }).await.assert_passed();
    }
}
