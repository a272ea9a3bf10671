//! A small notes service with one account, in this process.
//!
//! It speaks the Open Export Protocol on a free port of 127.0.0.1. What people would do in its windows are methods here.
//! Contents and times are the same in every run.

mod content;
mod files;
mod service;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use saas_backup_connectors::open_export::{OpenExportConfig, OpenExportConnector};
use saas_backup_core::{
    Account, Capabilities, Connector, Error, ErrorKind, Json, Key, ManualClock, Record, Reference, Result, Sink,
    SinkOptions, Snapshot, SnapshotOptions, async_trait,
};
use saas_backup_export_api::MemoryAccount;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

/// The token that reads the account, and writes it back.
const TOKEN: &str = "demo_token";

/// A running service. It ends when this is dropped.
#[derive(Debug)]
pub struct Demo {
    account: MemoryAccount,
    clock: ManualClock,
    url: String,
    serving: JoinHandle<()>,
}

/// A note, as the service keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Its title.
    pub title: String,
    /// Its text in Markdown.
    pub body: String,
    /// What it is filed under.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Where people read it.
    pub url: String,
}

/// Starts the service with its contents: three people, four notebooks, forty notes, comments, attachments.
///
/// # Errors
///
/// If no port is free.
pub async fn start() -> Result<Demo> {
    let demo = empty().await?;
    content::fill(&demo)?;
    Ok(demo)
}

/// Starts the service with an account that holds nothing yet.
///
/// # Errors
///
/// If no port is free.
pub async fn empty() -> Result<Demo> {
    let clock = ManualClock::new(content::BEGINNING.parse().unwrap_or_default());
    let (account, url, serving) = service::serve(TOKEN, clock.clone()).await?;
    Ok(Demo { account, clock, url, serving })
}

/// Starts the service and opens its account; the service ends with the connector.
///
/// # Errors
///
/// If no port is free.
pub async fn connector() -> Result<Arc<dyn Connector>> {
    let demo = start().await?;
    let connector = demo.connector()?;
    Ok(Arc::new(Running { connector, _demo: demo }))
}

impl Demo {
    /// The address of the service.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The token that reads the account.
    pub fn token(&self) -> SecretString {
        TOKEN.into()
    }

    /// Opens the account.
    ///
    /// # Errors
    ///
    /// None that this service causes.
    pub fn connector(&self) -> Result<OpenExportConnector> {
        let config = OpenExportConfig::new(&self.url, TOKEN).with_private_addresses(true);
        OpenExportConnector::new(config.with_requests_per_second(1_000.0))
    }

    /// A note.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is none of this id. The same holds for all methods that name one.
    pub fn note(&self, id: &str) -> Result<Note> {
        self.account.get(&note_key(id)?).ok_or_else(no_note)?.data.decode()
    }

    /// Writes a note; gives nothing back that its id does not say.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if the id is none.
    pub fn write_note(&self, id: &str, author: &str, notebook: &str, note: &Note) -> Result<()> {
        let author = Reference::from(&Key::parse("users", author)?);
        let mut record = Record::new(note_key(id)?, Json::from_value(note)?).with_ref("author", author.clone());
        record = record.with_ref("notebook", Reference::from(&Key::parse("notebooks", notebook)?));
        record.by = Some(author);
        self.tick();
        self.account.put(record);
        Ok(())
    }

    /// Replaces the text of a note.
    ///
    /// # Errors
    ///
    /// As [`note`](Self::note).
    pub fn edit_note(&self, id: &str, body: &str) -> Result<()> {
        let data = Json::from_value(&Note { body: body.to_owned(), ..self.note(id)? })?;
        self.change(id, |record| record.data = data)
    }

    /// Puts a note into the trash.
    ///
    /// # Errors
    ///
    /// As [`note`](Self::note).
    pub fn trash_note(&self, id: &str) -> Result<()> {
        self.tick();
        if self.account.trash(&note_key(id)?) { Ok(()) } else { Err(no_note()) }
    }

    /// Deletes a note for good, and the comments on it.
    ///
    /// # Errors
    ///
    /// As [`note`](Self::note).
    pub fn delete_note(&self, id: &str) -> Result<()> {
        self.tick();
        let key = note_key(id)?;
        if !self.account.delete(&key) {
            return Err(no_note());
        }
        let on_it =
            |comment: &Record| comment.refs.get("note").is_some_and(|note| note.iter().any(|to| to.key() == key));
        for comment in self.account.visible().into_keys() {
            if self.account.get(&comment).is_some_and(|comment| on_it(&comment)) {
                self.account.delete(&comment);
            }
        }
        Ok(())
    }

    /// Attaches a file to a note.
    ///
    /// # Errors
    ///
    /// As [`note`](Self::note).
    pub fn attach(&self, id: &str, name: &str, media_type: &str, bytes: impl Into<Bytes>) -> Result<()> {
        let blob = self.account.add_blob(bytes, name, media_type);
        self.change(id, |record| record.blobs.push(blob))
    }

    /// Comments on a note.
    ///
    /// # Errors
    ///
    /// As [`note`](Self::note).
    pub fn comment(&self, comment: &str, note: &str, author: &str, text: &str) -> Result<()> {
        self.note(note)?;
        let author = Reference::from(&Key::parse("users", author)?);
        let data = Json::from_value(&serde_json::json!({ "text": text }))?;
        let mut record = Record::new(Key::parse("comments", comment)?, data);
        record = record.with_ref("note", Reference::from(&note_key(note)?)).with_ref("author", author.clone());
        record.by = Some(author);
        self.tick();
        self.account.put(record);
        Ok(())
    }

    /// The account behind the service, for what its windows do not offer: failures, lost access, late commits.
    pub fn account(&self) -> &MemoryAccount {
        &self.account
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Record)) -> Result<()> {
        self.tick();
        if self.account.update(&note_key(id)?, change) { Ok(()) } else { Err(no_note()) }
    }

    /// Lets a minute pass in the service.
    fn tick(&self) {
        self.clock.advance(Duration::from_mins(1));
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn note_key(id: &str) -> Result<Key> {
    Key::parse("notes", id)
}

fn no_note() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such note")
}

/// A connector that keeps its service alive.
#[derive(Debug)]
struct Running {
    connector: OpenExportConnector,
    _demo: Demo,
}

#[async_trait]
impl Connector for Running {
    fn capabilities(&self) -> Capabilities {
        self.connector.capabilities()
    }

    async fn check(&self) -> Result<Account> {
        self.connector.check().await
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        self.connector.snapshot(options).await
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        self.connector.sink(options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use saas_backup_core::memory::{MemoryConnector, MemoryStore};
    use saas_backup_core::{RecordState, RunStatus, TransferOptions, testkit, transfer};

    async fn copy(store: &MemoryStore, source: &dyn Connector) -> saas_backup_core::Transferred {
        let target = MemoryConnector::new(store.clone());
        transfer(source, &target, TransferOptions::backup()).await.unwrap()
    }

    #[tokio::test]
    async fn the_account_is_worth_a_look() {
        let source = connector().await.unwrap();
        testkit::connector(&*source).await.assert_passed();
        let store = MemoryStore::new();
        let run = copy(&store, &*source).await;
        assert_eq!(run.report.status, RunStatus::Complete);
        let live = store.live();
        let count = |name: &str| live.keys().filter(|key| key.collection.as_str() == name).count();
        assert_eq!((count("users"), count("notebooks"), count("notes")), (3, 4, 40));
        assert!(count("comments") >= 10);
        assert_eq!(live.values().filter(|record| record.state == RecordState::Trashed).count(), 1);
        let types: std::collections::BTreeSet<_> =
            live.values().flat_map(|record| &record.blobs).filter_map(|blob| blob.media_type.clone()).collect();
        assert_eq!(types.into_iter().collect::<Vec<_>>(), ["application/pdf", "image/png", "text/plain"]);
    }

    #[tokio::test]
    async fn every_link_between_notes_leads_to_one() {
        let demo = start().await.unwrap();
        let keys = demo.account().visible();
        let mut links = 0;
        for key in keys.keys().filter(|key| key.collection.as_str() == "notes") {
            let note = demo.note(key.id.as_str()).unwrap();
            assert!(!note.body.contains("[[") && !note.title.is_empty());
            for rest in note.body.split("https://notes.example/n/").skip(1) {
                let id = rest.split(')').next().unwrap();
                assert!(demo.note(id).is_ok(), "{key} links to {id}");
                links += 1;
            }
        }
        assert!(links >= 40, "{links}");
    }

    #[tokio::test]
    async fn what_people_do_is_an_increment() {
        let (demo, store) = (start().await.unwrap(), MemoryStore::new());
        let source = demo.connector().unwrap();
        copy(&store, &source).await;
        demo.edit_note("n_01", "new text").unwrap();
        demo.trash_note("n_02").unwrap();
        demo.attach("n_03", "hello.txt", "text/plain", "hello").unwrap();
        demo.delete_note("n_04").unwrap();
        let run = copy(&store, &source).await;
        assert_eq!((run.report.totals().written, run.report.totals().blobs), (3, 1));
        assert!(run.report.totals().deleted >= 2, "the note and a comment on it");
        assert_eq!(demo.note("n_04").unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn two_runs_hold_the_same() {
        let (first, second) = (connector().await.unwrap(), connector().await.unwrap());
        let open = async |source: &dyn Connector| source.snapshot(SnapshotOptions::default()).await.unwrap();
        testkit::assert_same(&*open(&*first).await, &*open(&*second).await).await.unwrap();
    }
}
