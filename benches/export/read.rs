use std::hint::black_box;

use benches::Outcome;
use futures::StreamExt as _;
use saas_backup_connectors::open_export::{OpenExportConfig, OpenExportConnector};
use saas_backup_core::{CollectionName, Connector as _, Event, Feed, ReadRequest, SnapshotOptions};
use sha2::{Digest as _, Sha256};

const TOKEN: &str = "tok_bench";

/// Reads everything from a server and throws it away.
pub(crate) fn drain(url: &str, records: u64) -> Outcome<()> {
    let found = block_on(walk(url, |_| {}))?;
    if found == records { Ok(()) } else { Err(format!("{found} records instead of {records}").into()) }
}

/// The least that a client can do: hash the bodies, split them into lines, follow the pages.
pub(crate) fn by_hand(url: &str, records: u64) -> Outcome<()> {
    let before = crate::cpu()?;
    let mut lines = 0_u64;
    let found = block_on(walk(url, |body| {
        black_box(Sha256::digest(body));
        lines += memchr::memchr_iter(b'\n', body).count() as u64;
    }))?;
    if found != records || lines < records {
        return Err(format!("{found} records instead of {records}").into());
    }
    crate::report(before)
}

/// Reads everything by the connector.
pub(crate) fn connector(url: &str, records: u64) -> Outcome<()> {
    let before = crate::cpu()?;
    let found = block_on(async {
        let config = OpenExportConfig::new(url, TOKEN).with_private_addresses(true).with_page_lines(5_000);
        let account = OpenExportConnector::new(config.with_requests_per_second(1e6))?;
        let snapshot = account.snapshot(SnapshotOptions::default()).await?;
        let feed = Feed::slice(CollectionName::from_static("pages"));
        let mut events = snapshot.read(ReadRequest::new(feed));
        let mut found = 0;
        while let Some(event) = events.next().await {
            found += u64::from(matches!(event?, Event::Put(_)));
        }
        Ok(found)
    })?;
    if found != records {
        return Err(format!("{found} records instead of {records}").into());
    }
    crate::report(before)
}

/// Walks a snapshot page by page; gives the number of records.
async fn walk(url: &str, mut take: impl FnMut(&[u8])) -> Outcome<u64> {
    let client = reqwest::Client::builder().gzip(false).build()?;
    let mut records = 0;
    let mut cursor = String::new();
    loop {
        let at = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
        let address = format!("{url}/v1/accounts/ws_1/snapshot?limit=5000{at}");
        let body = client.get(address).bearer_auth(TOKEN).send().await?.bytes().await?;
        take(&body);
        let end = body.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let end: serde_json::Value = serde_json::from_slice(end)?;
        if end["type"] != "end" {
            return Err("the answer was cut".into());
        }
        records += end["counts"]["pages"]["put"].as_u64().unwrap_or_default();
        if end["more"] != true {
            return Ok(records);
        }
        end["cursor"].as_str().ok_or("no cursor")?.clone_into(&mut cursor);
    }
}

fn block_on<T>(future: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}
