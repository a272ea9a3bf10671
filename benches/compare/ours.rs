use std::collections::HashSet;
use std::fs;
use std::path::Path;

use benches::{COLLECTIONS, Workload, WorkloadConnector};
use chrono::TimeDelta;
use futures::TryStreamExt as _;
use saas_backup_core::{
    At, CollectionName, Connector, Digest, Event, Feed, Json, Key, ReadRequest, SnapshotOptions, TransferOptions,
    WriteMode, transfer,
};
use saas_backup_formats::jsonl::{JsonlConfig, JsonlConnector};
use saas_backup_repository::{
    CompactOptions, EraseOptions, Identity, Keys, MendOptions, Repository, RepositoryOptions, Subject, VerifyOptions,
};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use crate::{Outcome, account};

const SOURCE: &str = "account";
/// Rounds of the long timeline.
pub(crate) const ROUNDS: u64 = 1000;

/// One step of this project's own program.
pub(crate) fn run(step: &str, folder: &Path, workload: Workload) -> Outcome<()> {
    // As the command does it.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(8).enable_all().build()?;
    runtime.block_on(async {
        match step {
            "init" => init(folder).await,
            "source" => source(folder, workload).await,
            "backup" => backup(folder, workload).await,
            "increments" => increments(folder, workload).await,
            "read" => read(folder).await,
            "restore" => restore(folder).await,
            "verify" => verify(folder, VerifyOptions::read_all()).await,
            // The share of one day of one.
            "due" => verify(folder, VerifyOptions::due(TimeDelta::days(1))).await,
            "lose" => lose(folder),
            "mend" => mend(folder).await,
            "record" => record(folder).await,
            "compact" => compact(folder).await,
            "erase" => erase(folder).await,
            _ => Err(format!("no such step: {step}").into()),
        }
    })
}

fn options(folder: &Path, identity: Identity) -> Outcome<RepositoryOptions> {
    let folder = folder.join("ours");
    fs::create_dir_all(&folder)?;
    Ok(RepositoryOptions::parse(&format!("file://{}", folder.canonicalize()?.display()))?
        .with_keys(Keys::owner(identity)))
}

async fn init(folder: &Path) -> Outcome<()> {
    let identity = Identity::generate();
    fs::write(folder.join("me.key"), identity.to_file().expose_secret())?;
    Repository::init(options(folder, identity)?).await?;
    Ok(())
}

async fn open(folder: &Path) -> Outcome<Repository> {
    let identity = Identity::parse(&fs::read_to_string(folder.join("me.key"))?)?;
    Ok(Repository::open(options(folder, identity)?).await?)
}

/// What a backup asks of its source, thrown away: every record made, every attachment read once.
async fn source(folder: &Path, workload: Workload) -> Outcome<()> {
    read_all(&WorkloadConnector::new(account(folder), workload.records), false).await
}

async fn backup(folder: &Path, workload: Workload) -> Outcome<()> {
    let source = WorkloadConnector::new(account(folder), workload.records);
    let target = open(folder).await?.source(SOURCE)?;
    let done = transfer(&source, &target, TransferOptions::backup()).await?;
    println!("{:?}: {:?}", done.report.status, done.report.totals());
    Ok(())
}

/// Makes round after round, and backs up each.
async fn increments(folder: &Path, workload: Workload) -> Outcome<()> {
    let repository = open(folder).await?;
    for round in 2..=ROUNDS {
        workload.write_round(&account(folder), round, false)?;
        let source = WorkloadConnector::new(account(folder), workload.records);
        transfer(&source, &repository.source(SOURCE)?, TransferOptions::backup()).await?;
    }
    Ok(())
}

/// Every record decoded and every attachment checked against its digest; nothing is written.
async fn read(folder: &Path) -> Outcome<()> {
    read_all(&open(folder).await?.source(SOURCE)?, true).await
}

/// Reads every record, and every attachment once, checked against its digest or not.
async fn read_all(source: &dyn Connector, checked: bool) -> Outcome<()> {
    let snapshot = source.snapshot(SnapshotOptions::default()).await?;
    let (mut records, mut bytes, mut seen) = (0_u64, 0_usize, HashSet::new());
    let feeds: Vec<Feed> = snapshot.feeds().try_collect().await?;
    for feed in feeds {
        let mut events = snapshot.read(ReadRequest::new(feed));
        while let Some(event) = events.try_next().await? {
            let Event::Put(record) = event else { continue };
            (records, bytes) = (records + 1, bytes + record.data.as_bytes().len());
            for blob in record.blobs.iter().filter(|blob| seen.insert(blob.id.clone())) {
                let mut chunks = snapshot.open(&record.key, blob, None).await?;
                let mut digest = checked.then(Sha256::new);
                while let Some(chunk) = chunks.try_next().await? {
                    if let Some(digest) = &mut digest {
                        digest.update(&chunk);
                    }
                    bytes += chunk.len();
                }
                let found = digest.map(|digest| Digest::from_bytes(digest.finalize().into()));
                if checked && blob.digest != found {
                    return Err("an attachment is not what was backed up".into());
                }
            }
        }
    }
    println!("{records} records, {} attachments, {bytes} bytes", seen.len());
    Ok(())
}

async fn restore(folder: &Path) -> Outcome<()> {
    let source = open(folder).await?.source(SOURCE)?;
    let into = folder.join("ours-restored");
    if into.exists() {
        fs::remove_dir_all(&into)?;
    }
    let archive = JsonlConnector::new(JsonlConfig::new(into));
    let done = transfer(&source, &archive, TransferOptions::new(WriteMode::Create)).await?;
    println!("{:?}: {:?}", done.report.status, done.report.totals());
    Ok(())
}

async fn verify(folder: &Path, options: VerifyOptions) -> Outcome<()> {
    let report = open(folder).await?.verify(&options, &mut |_| ()).await?;
    println!("{report:?}");
    if report.is_good() { Ok(()) } else { Err("the repository is damaged".into()) }
}

/// Removes the newest segment: older ones may be given up.
fn lose(folder: &Path) -> Outcome<()> {
    let mut segments: Vec<_> =
        fs::read_dir(folder.join("ours/source").join(SOURCE).join("data"))?.collect::<Result<_, _>>()?;
    segments.sort_by_key(fs::DirEntry::file_name);
    let newest = segments.last().ok_or("there is no segment")?;
    Ok(fs::remove_file(newest.path())?)
}

/// Goes on without what is lost.
async fn mend(folder: &Path) -> Outcome<()> {
    let options = MendOptions::new(VerifyOptions::presence()).with_drop(true);
    let mended = open(folder).await?.mend(&options, &mut |_| ()).await?;
    println!("{mended:?}");
    if mended.dropped.len() == 1 { Ok(()) } else { Err("nothing was lost".into()) }
}

/// Merges all lines into a new base.
async fn compact(folder: &Path) -> Outcome<()> {
    let source = open(folder).await?.source(SOURCE)?;
    let done = source.compact(&CompactOptions::default().with_all(true), &mut |_| ()).await?;
    println!("{done:?}");
    Ok(())
}

/// Finds the records of one customer of 4,000, erases them, and writes everything else anew.
async fn erase(folder: &Path) -> Outcome<()> {
    let source = open(folder).await?.source(SOURCE)?;
    let mut customer = Subject::default();
    for collection in COLLECTIONS {
        let account = Json::parse(r#""acc_000123""#)?;
        customer = customer.with_field(CollectionName::parse(collection)?, "/account_id", account);
    }
    let found = source.erase(&customer, &EraseOptions::new("a request"), &mut |_| ()).await?;
    println!("{} records, {} attachments", found.records.len(), found.attachments.len());
    let done = source.compact(&CompactOptions::default(), &mut |_| ()).await?;
    println!("{done:?}");
    Ok(())
}

/// The last record of the largest id: neither the first line of a segment nor of a frame.
async fn record(folder: &Path) -> Outcome<()> {
    let source = open(folder).await?.source(SOURCE)?;
    let key = Key::parse(COLLECTIONS[1], "tic_0000000777")?;
    let record = source.record(&key, &At::Now).await?.ok_or("the record is not there")?;
    println!("{}", record.data.as_str());
    Ok(())
}
