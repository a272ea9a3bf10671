//! A vendor in an afternoon: a to-do list whose customers can take their data home, increments and deletions included.
//!
//! `Todos` stands for the vendor's database; what it implements is the vendor's whole work. The program serves it,
//! backs it up as a customer's tool would, and shows the copy.
#![allow(clippy::print_stdout, reason = "a program prints")]

use std::collections::BTreeMap;
use std::env;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use saas_backup_connectors::open_export::{OpenExportConfig, OpenExportConnector};
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{
    BlobId, Catalog, Collection, CollectionName, Deletion, DeletionReason, Error, ErrorKind, Json, Key, Kind, Record,
    RecordId, Result, TransferOptions, async_trait, transfer,
};
use saas_backup_export_api::{
    AccountId, Blob, Change, ChangePage, ChangesRequest, CursorKey, Entry, ExportConfig, ExportSource, Grant, Head,
    Principal, ScanPage, ScanRequest, Schema, ServiceInfo, StaticTokens, Watermark, router,
};

const HELP: &str = "\
Serves a to-do list by the Open Export Protocol, and backs it up.

usage: vendor_minimal [--serve]

  --serve   go on serving until Ctrl-C, to try it with curl or with a tool of your own
";

/// The vendor's database: the rows by key, and the log that each transaction adds to.
#[derive(Debug, Default)]
struct Todos(Mutex<(BTreeMap<u64, String>, Vec<Logged>)>);

#[derive(Clone, Debug)]
struct Logged {
    id: u64,
    deleted: bool,
}

impl Todos {
    fn tables(&self) -> MutexGuard<'_, (BTreeMap<u64, String>, Vec<Logged>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, id: u64, text: &str) {
        let mut tables = self.tables();
        tables.0.insert(id, text.to_owned());
        tables.1.push(Logged { id, deleted: false });
    }

    fn delete(&self, id: u64) {
        let mut tables = self.tables();
        tables.0.remove(&id);
        tables.1.push(Logged { id, deleted: true });
    }
}

fn key(id: u64) -> Result<Key> {
    Key::parse("todos", id.to_string())
}

fn entry((id, text): (&u64, &String)) -> Result<Entry> {
    Ok(Record::new(key(*id)?, Json::from_value(&serde_json::json!({ "text": text }))?).into())
}

fn number(text: &str) -> Result<u64> {
    text.parse().map_err(|_| Error::new(ErrorKind::InvalidData, "not a number"))
}

#[async_trait]
impl ExportSource for Todos {
    fn service(&self) -> ServiceInfo {
        ServiceInfo::new("todos", "To-dos", "Example Ltd")
    }

    async fn schema(&self, _: Option<&AccountId>) -> Result<Schema> {
        Ok(Schema::new(Catalog::new(vec![Collection::new(CollectionName::from_static("todos"), Kind::Record)])))
    }

    async fn head(&self, _: &Grant) -> Result<Head> {
        Ok(Head::new("1", Watermark::new(self.tables().1.len().to_string())))
    }

    async fn scan(&self, _: &Grant, page: &ScanRequest) -> Result<ScanPage> {
        let after = page.after.as_ref().map_or(Ok(0), |id: &RecordId| number(id.as_str()))?;
        let rows: Result<_> = self.tables().0.range(after + 1..).take(page.limit).map(entry).collect();
        Ok(ScanPage::limited(rows?, page.limit))
    }

    async fn changes(&self, _: &Grant, page: &ChangesRequest) -> Result<ChangePage> {
        let (since, tables) = (number(page.since.as_str())?, self.tables());
        let position = |at: u64| Watermark::new(at.to_string());
        let entries = (since + 1..).zip(tables.1.iter().skip(since as usize).take(page.limit));
        let changes: Result<Vec<Change>> = entries
            .map(|(at, logged)| {
                let key = key(logged.id)?;
                if !logged.deleted {
                    return Ok(Change::touched(position(at), key));
                }
                Ok(Change::deleted(position(at), Deletion::new(key, DeletionReason::Deleted)))
            })
            .collect();
        let changes = changes?;
        let next = since + changes.len() as u64;
        Ok(ChangePage::new(changes, position(next), next < tables.1.len() as u64))
    }

    async fn records(&self, _: &Grant, keys: &[Key]) -> Result<Vec<Entry>> {
        let tables = self.tables();
        let ids = keys.iter().filter_map(|key| number(key.id.as_str()).ok());
        ids.filter_map(|id| tables.0.get_key_value(&id)).map(entry).collect()
    }

    async fn blob(&self, _: &Grant, _: &BlobId) -> Result<Blob> {
        Err(Error::new(ErrorKind::NotFound, "to-dos have no attachments"))
    }
}

/// Ten lines mount it.
async fn serve(todos: Arc<Todos>, token: &str, port: u16) -> Result<String> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let account = AccountId::parse("ann")?;
    let tokens = StaticTokens::default().with(&token.into(), Principal::new("ann's backup").with_account(account));
    let base = format!("{url}/export/v1").parse();
    let base = base.map_err(|_| Error::new(ErrorKind::Configuration, "not an address"))?;
    // A real service reads 32 random bytes from its secrets: cursors outlive restarts.
    let config = ExportConfig::new(base, tokens, CursorKey::from_bytes([7; 32]))?;
    let app = axum::Router::new().merge(router(todos, config));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let stay = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => false,
        ["--serve"] => true,
        ["--help" | "-h"] => {
            print!("{HELP}");
            return Ok(());
        }
        _ => {
            eprint!("{HELP}");
            std::process::exit(2);
        }
    };
    let todos = Arc::new(Todos::default());
    for (id, text) in [(1, "water the plants"), (2, "answer Zoë"), (3, "fix the bench")] {
        todos.write(id, text);
    }
    let url = serve(todos.clone(), "tok_ann", if stay { 8080 } else { 0 }).await?;
    if stay {
        println!("curl -H 'Authorization: Bearer tok_ann' {url}/export/v1/accounts/ann/snapshot");
        return std::future::pending().await;
    }

    let source = OpenExportConnector::new(OpenExportConfig::new(&url, "tok_ann").with_private_addresses(true))?;
    let copy = MemoryStore::new();
    let target = MemoryConnector::new(copy.clone());
    let first = transfer(&source, &target, TransferOptions::backup()).await?;
    println!("first backup:  {} to-dos", first.report.totals().written);
    todos.write(2, "answer Zoë and Lin");
    todos.delete(3);
    let second = transfer(&source, &target, TransferOptions::backup()).await?;
    let totals = second.report.totals();
    println!("second backup: {} changed, {} deleted", totals.written, totals.deleted);
    for (key, record) in copy.live() {
        println!("{key}: {}", record.data.as_str());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use saas_backup_core::testkit;

    #[tokio::test]
    async fn what_it_serves_passes_the_conformance_checks() {
        let todos = Arc::new(Todos::default());
        (1..=40).for_each(|id| todos.write(id, "something to do"));
        let url = serve(todos, "t", 0).await.unwrap();
        let config = OpenExportConfig::new(url, "t").with_private_addresses(true).with_page_lines(7);
        let source = OpenExportConnector::new(config.with_requests_per_second(1_000.0)).unwrap();
        testkit::connector(&source).await.assert_passed();
    }
}
