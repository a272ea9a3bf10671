use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use saas_backup_core::{
    BlobStatus, ByteStream, CollectionName, Digest, Error, ErrorKind, ImportResult, ImportStatus, Json, Key, Loss,
    Problem, Record, Reference, Result, RunId,
};
use serde::Deserialize;

use super::links::Map;
use super::{Accepts, Entries, Import, ImportEntry, ImportMode, ImportState, ImportTarget, ImportWrite, Links, Origin};
use crate::kit::Kit;
use crate::{Entry, Grant, ProblemDetails};

/// Sessions of an account that are not committed.
const MAX_OPEN: usize = 16;
/// Entries that a commit looks at before it notes how far it is.
const COMMIT_PAGE: usize = 200;
/// How long a request to commit works before it asks to be repeated.
const COMMIT_TIME: Duration = Duration::from_secs(10);
/// Longest key of a line, in bytes.
const MAX_KEY_BYTES: usize = 256;

/// What a consumer asks for when it begins an import.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportRequest {
    mode: ImportMode,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    container: Option<Key>,
    origin: Origin,
    #[serde(default)]
    notify: bool,
    #[serde(default)]
    preserve: BTreeSet<String>,
}

/// How far a commit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Done,
    More,
}

/// One line of a request.
#[derive(Debug)]
pub(crate) struct Sent {
    key: String,
    /// A record that an earlier import made of it, by the consumer's word.
    target: Option<Key>,
    record: Record,
}

impl Sent {
    pub(crate) fn read(mut record: Record) -> Result<Self, &'static str> {
        let key = record.extra.remove("key").and_then(|key| key.decode::<String>().ok());
        let key = key.filter(|key| !key.is_empty() && key.len() <= MAX_KEY_BYTES).ok_or("`key` has 1 to 256 bytes")?;
        let target = record.extra.remove("target").map(|target| target.decode::<Key>());
        let target = target.transpose().map_err(|_| "`target` is a record")?;
        // It is known here under another key, and the rest is the origin's word alone.
        record.extra.remove("origin");
        Ok(Self { key, target, record })
    }
}

impl Import {
    /// Whether this import is another try of what an earlier one began: nobody was told that it was over.
    fn goes_on_with(&self, other: &Self) -> bool {
        let open = other.state == ImportState::Open && !self.dry_run && !other.dry_run;
        open && other.id != self.id
            && (&other.principal, &other.origin, other.mode) == (&self.principal, &self.origin, self.mode)
    }
}

/// What a request needs to know of records that are here.
#[derive(Debug, Default)]
struct Here {
    /// What this session wrote.
    own: Map,
    /// What was there before it, or came of other imports.
    there: Map,
    /// Everything that imports made of these records.
    imported: BTreeSet<(Key, Key)>,
}

impl Here {
    /// Where each record is: what this session wrote comes first.
    fn all(&self) -> Map {
        let mut all = self.there.clone();
        all.extend(self.own.iter().map(|(from, to)| (from.clone(), to.clone())));
        all
    }
}

impl Kit {
    fn import_target(&self) -> Result<&dyn ImportTarget, ProblemDetails> {
        self.source.imports().ok_or_else(ProblemDetails::not_found)
    }

    pub(crate) async fn begin_import(
        &self,
        grant: &Grant,
        request: ImportRequest,
    ) -> Result<(Import, Accepts), ProblemDetails> {
        let (target, now) = (self.import_target()?, self.config.clock.now());
        let mut open = 0;
        for import in target.imports(grant).await? {
            if import.expires < now {
                target.discard(grant, &import).await?;
            } else if import.state != ImportState::Committed {
                open += 1;
            }
        }
        if open >= MAX_OPEN {
            return Err(ProblemDetails::new("import-limit", 429, "Too many imports of this account are open")
                .with_detail("commit or delete one of them")
                .with_retry_after(60));
        }
        if let Some(container) = &request.container
            && self.source.records(grant, std::slice::from_ref(container)).await?.is_empty()
        {
            return Err(ProblemDetails::invalid_parameter("container", "there is no such record"));
        }
        let accepts = target.accepts(grant).await?;
        let ttl = i64::try_from(self.config.limits.import_ttl_seconds).unwrap_or(i64::MAX / 1_000);
        let import = Import {
            id: format!("imp_{}", RunId::new(now)),
            principal: grant.principal.id.clone(),
            mode: request.mode,
            dry_run: request.dry_run,
            container: request.container,
            origin: request.origin,
            notify: request.notify,
            preserve: request.preserve,
            expires: now + TimeDelta::seconds(ttl),
            state: ImportState::Open,
            linked: None,
            totals: BTreeMap::new(),
            unresolved: 0,
        };
        target.keep(grant, &import).await?;
        Ok((import, accepts))
    }

    /// A session of the principal's own. One that is over is removed, with what it created.
    pub(crate) async fn import(&self, grant: &Grant, id: &str) -> Result<Import, ProblemDetails> {
        let target = self.import_target()?;
        let of_this = |import: &Import| import.id == id && import.principal == grant.principal.id;
        let import = target.imports(grant).await?.into_iter().find(of_this).ok_or_else(ProblemDetails::not_found)?;
        if import.expires < self.config.clock.now() {
            target.discard(grant, &import).await?;
            return Err(ProblemDetails::new("import-expired", 410, "The import is too old: begin another one"));
        }
        Ok(import)
    }

    pub(crate) async fn discard_import(&self, grant: &Grant, id: &str) -> Result<(), ProblemDetails> {
        let import = self.import(grant, id).await?;
        Ok(self.import_target()?.discard(grant, &import).await?)
    }

    pub(crate) async fn has_import_blob(&self, grant: &Grant, id: &str, digest: &Digest) -> Result<(), ProblemDetails> {
        let import = self.import(grant, id).await?;
        let has = self.import_target()?.has_blob(grant, &import.id, digest).await?;
        if has { Ok(()) } else { Err(ProblemDetails::not_found()) }
    }

    pub(crate) async fn put_import_blob(
        &self,
        grant: &Grant,
        id: &str,
        digest: &Digest,
        size: u64,
        bytes: ByteStream,
    ) -> Result<(), ProblemDetails> {
        let import = self.open_import(grant, id).await?;
        let target = self.import_target()?;
        if import.dry_run || target.has_blob(grant, &import.id, digest).await? {
            return Ok(());
        }
        target.put_blob(grant, &import.id, digest, size, bytes).await.map_err(refused)
    }

    async fn open_import(&self, grant: &Grant, id: &str) -> Result<Import, ProblemDetails> {
        let import = self.import(grant, id).await?;
        if import.state != ImportState::Open {
            return Err(ProblemDetails::new("import-closed", 409, "The import takes no more: it was committed"));
        }
        Ok(import)
    }

    /// Writes records, one answer each in their order.
    pub(crate) async fn import_records(
        &self,
        grant: &Grant,
        id: &str,
        sent: Vec<Sent>,
    ) -> Result<(Import, Vec<ImportResult>), ProblemDetails> {
        let import = self.open_import(grant, id).await?;
        let target = self.import_target()?;
        let keys = Entries::Keys(sent.iter().map(|sent| sent.key.clone()).collect());
        let known = target.entries(grant, &import.id, &keys).await?;
        let mut adopted = BTreeMap::new();
        for other in target.imports(grant).await?.iter().filter(|other| import.goes_on_with(other)) {
            let entries = target.entries(grant, &other.id, &keys).await?;
            adopted.extend(entries.into_iter().map(|entry| ((entry.key, entry.source), entry.target)));
        }
        let pointed = sent.iter().flat_map(|sent| Links::of(&sent.record).keys());
        let concerned = sent.iter().map(|sent| sent.record.key.clone()).chain(pointed).collect();
        let mut batch = Batch {
            grant,
            target,
            here: self.here(grant, &import, concerned).await?,
            required: self.required(grant).await?,
            accepts: target.accepts(grant).await?,
            adopted,
            known: known.into_iter().map(|entry| (entry.key.clone(), entry)).collect(),
            import,
        };
        let mut results = Vec::with_capacity(sent.len());
        for sent in sent {
            results.push(batch.take(sent).await?);
        }
        Ok((batch.import, results))
    }

    /// Sets the references that had to wait, for a while; called again and again until it is done.
    pub(crate) async fn commit_import(&self, grant: &Grant, id: &str) -> Result<(Import, Progress), ProblemDetails> {
        let (mut import, target) = (self.import(grant, id).await?, self.import_target()?);
        let begun = Instant::now();
        while import.state != ImportState::Committed {
            let page = Entries::After(import.linked.clone(), COMMIT_PAGE);
            let entries = target.entries(grant, &import.id, &page).await?;
            if entries.is_empty() {
                import.state = ImportState::Committed;
            } else {
                let pointed = entries.iter().filter_map(|entry| entry.links.as_ref()).flat_map(Links::keys).collect();
                let here = self.here(grant, &import, pointed).await?;
                for entry in entries {
                    import.linked = Some(entry.key.clone());
                    let status = if entry.replaced { "updated" } else { "created" };
                    *import.totals.entry(status.to_owned()).or_default() += 1;
                    let entry = relink(target, grant, &import, entry, &here).await?;
                    import.unresolved += entry.waits.len() as u64;
                }
                import.state = ImportState::Committing;
            }
            target.keep(grant, &import).await?;
            if import.state != ImportState::Committed && begun.elapsed() > COMMIT_TIME {
                return Ok((import, Progress::More));
            }
        }
        Ok((import, Progress::Done))
    }

    /// What a session wrote, in the order of the consumer's keys.
    pub(crate) async fn import_map(
        &self,
        grant: &Grant,
        id: &str,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<ImportResult>, ProblemDetails> {
        let import = self.import(grant, id).await?;
        let entries = self.import_target()?.entries(grant, &import.id, &Entries::After(after, limit)).await?;
        Ok(entries.iter().map(ImportEntry::result).collect())
    }

    async fn here(&self, grant: &Grant, import: &Import, keys: BTreeSet<Key>) -> Result<Here> {
        let (target, keys) = (self.import_target()?, keys.into_iter().collect::<Vec<_>>());
        let mut here = Here::default();
        for entry in target.entries(grant, &import.id, &Entries::Sources(keys.clone())).await? {
            here.own.insert(entry.source, entry.target);
        }
        // A record that never left is its own successor.
        if import.origin.service == self.source.service().id && import.origin.account == grant.account.as_str() {
            let present = self.source.records(grant, &keys).await?;
            here.there.extend(present.iter().filter_map(Entry::key).map(|key| (key.clone(), key)));
        }
        for (from, to) in target.imported(grant, &import.origin, &keys).await? {
            here.there.entry(from.clone()).or_insert_with(|| to.clone());
            here.imported.insert((from, to));
        }
        Ok(here)
    }

    /// The references without which a record cannot be written.
    async fn required(&self, grant: &Grant) -> Result<BTreeSet<(CollectionName, String)>> {
        let schema = self.source.schema(Some(&grant.account)).await?;
        let required = schema.catalog.collections.iter().flat_map(|collection| {
            let rules = collection.refs.iter().filter(|rule| rule.required);
            rules.map(|rule| (collection.name.clone(), rule.name.clone()))
        });
        Ok(required.collect())
    }
}

/// Looks at the references of a record again.
async fn relink(
    target: &dyn ImportTarget,
    grant: &Grant,
    import: &Import,
    mut entry: ImportEntry,
    here: &Here,
) -> Result<ImportEntry, ProblemDetails> {
    if let Some(links) = entry.links.take() {
        let (mapped, waits) = links.mapped(&here.all());
        let provisional = !links.mapped(&here.own).1.is_empty();
        (entry.waits, entry.links) = (waits, provisional.then_some(links));
        target.link(grant, import, &entry, &mapped).await.map_err(refused)?;
    }
    Ok(entry)
}

/// The records of one request on their way.
struct Batch<'a> {
    grant: &'a Grant,
    target: &'a dyn ImportTarget,
    import: Import,
    here: Here,
    required: BTreeSet<(CollectionName, String)>,
    accepts: Accepts,
    /// What earlier tries wrote, by the key of the line and the record's key at the origin.
    adopted: BTreeMap<(String, Key), Key>,
    known: BTreeMap<String, ImportEntry>,
}

impl Batch<'_> {
    async fn take(&mut self, sent: Sent) -> Result<ImportResult, ProblemDetails> {
        let source = sent.record.key.clone();
        if let Some(entry) = self.known.get(&sent.key).cloned() {
            return self.again(entry, &source).await;
        }
        let answer = |status| of(&sent.key, &source, status);
        if !self.accepts.collections.contains(&source.collection) {
            return Ok(with_problem(answer(ImportStatus::Skipped), "not-accepted", "The collection is not restored"));
        }
        let made = sent.target.clone().filter(|made| self.here.imported.contains(&(source.clone(), made.clone())));
        let made = made.or_else(|| self.adopted.get(&(sent.key.clone(), source.clone())).cloned());
        let own = made.is_some();
        let there = self.here.there.get(&source).filter(|_| self.import.mode != ImportMode::Create).cloned();
        let place = made.or(there);
        if let (Some(place), ImportMode::Merge, false) = (&place, self.import.mode, own) {
            let mut result = with_problem(answer(ImportStatus::Skipped), "exists", "It is there already");
            result.target = Some(Reference::from(place));
            return Ok(result);
        }
        if self.import.dry_run {
            let status = if place.is_some() { ImportStatus::Updated } else { ImportStatus::Created };
            let mut result = answer(status);
            (result.target, result.lost) = (place.as_ref().map(Reference::from), self.accepts.lost.clone());
            return Ok(result);
        }
        let write = match self.prepare(sent, place, own).await? {
            Ok(write) => write,
            Err(refusal) => return Ok(*refusal),
        };
        match self.target.write(self.grant, &self.import, &write).await {
            Ok(placed) => {
                let entry = write.entry(&placed);
                self.here.own.insert(source, placed.key);
                let result = described(&entry);
                self.known.insert(entry.key.clone(), entry);
                Ok(result)
            }
            Err(error) if error.kind() == ErrorKind::Conflict => self.in_conflict(&write, &error).await,
            Err(error) => failed(&write.key, &write.source, error),
        }
    }

    /// A line that was answered before: nothing is done again, but what it waited for may have come.
    async fn again(&mut self, entry: ImportEntry, source: &Key) -> Result<ImportResult, ProblemDetails> {
        if &entry.source != source {
            let result = of(&entry.key, source, ImportStatus::Conflict);
            return Ok(with_problem(result, "import-conflict", "The key was used for another record"));
        }
        if entry.waits.is_empty() {
            return Ok(entry.result());
        }
        let entry = relink(self.target, self.grant, &self.import, entry, &self.here).await?;
        let result = described(&entry);
        self.known.insert(entry.key.clone(), entry);
        Ok(result)
    }

    /// Another request may have written the same line meanwhile.
    async fn in_conflict(&mut self, write: &ImportWrite, error: &Error) -> Result<ImportResult, ProblemDetails> {
        let keys = Entries::Keys(vec![write.key.clone()]);
        if let Some(entry) = self.target.entries(self.grant, &self.import.id, &keys).await?.pop() {
            return self.again(entry, &write.source).await;
        }
        let mut result = of(&write.key, &write.source, ImportStatus::Conflict);
        result.problem = Some(told(error));
        Ok(result)
    }

    /// The record as the vendor gets it, or why it cannot be written.
    async fn prepare(
        &self,
        sent: Sent,
        target: Option<Key>,
        own: bool,
    ) -> Result<Result<ImportWrite, Box<ImportResult>>, ProblemDetails> {
        let Sent { key, mut record, .. } = sent;
        let source = record.key.clone();
        let links = Links::of(&record);
        let (mapped, waits) = links.mapped(&self.here.all());
        let provisional = !links.mapped(&self.here.own).1.is_empty();
        let is_required = |(name, to): (&String, &Reference)| {
            let rule = (source.collection.clone(), name.clone());
            to.key() != source && waits.contains(to) && self.required.contains(&rule)
        };
        let required: Vec<Reference> = links
            .refs
            .iter()
            .flat_map(|(name, to)| to.iter().map(move |to| (name, to)))
            .filter(|pair| is_required(*pair))
            .map(|(_, to)| to.clone())
            .collect();
        if !required.is_empty() {
            let result = of(&key, &source, ImportStatus::Failed);
            let mut result = with_problem(result, "ref-unresolved", "A record that it belongs to is not here");
            note_waits(&mut result, &required);
            return Ok(Err(Box::new(result)));
        }
        let mut lost = Vec::new();
        let mut blobs = Vec::with_capacity(record.blobs.len());
        for (at, blob) in std::mem::take(&mut record.blobs).into_iter().enumerate() {
            let here = match &blob.digest {
                Some(digest) if blob.status == BlobStatus::Available => {
                    self.target.has_blob(self.grant, &self.import.id, digest).await?
                }
                _ => false,
            };
            if here || blob.status == BlobStatus::External {
                blobs.push(blob);
            } else {
                lost.push(Loss { path: format!("/blobs/{at}"), reason: "not-uploaded".to_owned() });
            }
        }
        record.blobs = blobs;
        record.version = None;
        mapped.put_into(&mut record);
        let links = provisional.then_some(links);
        Ok(Ok(ImportWrite { key, source, target, own, record, lost, links, waits }))
    }
}

impl std::fmt::Debug for Batch<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { grant: _, target: _, import, here: _, required: _, accepts: _, adopted: _, known } = self;
        formatter.debug_struct("Batch").field("import", &import.id).field("known", &known.len()).finish()
    }
}

fn of(key: &str, source: &Key, status: ImportStatus) -> ImportResult {
    let mut result = ImportResult::new(key, status);
    (result.collection, result.id) = (Some(source.collection.clone()), Some(source.id.clone()));
    result
}

fn with_problem(mut result: ImportResult, kind: &str, title: &str) -> ImportResult {
    result.problem = Some(Problem::new(format!("urn:open-export:problem:{kind}"), title));
    result
}

/// What is said of a record that was written, with what it waits for.
fn described(entry: &ImportEntry) -> ImportResult {
    let mut result = entry.result();
    note_waits(&mut result, &entry.waits);
    result
}

fn note_waits(result: &mut ImportResult, waits: &[Reference]) {
    if !waits.is_empty()
        && let Ok(waits) = Json::from_value(&waits)
    {
        result.extra.insert("waits".to_owned(), waits);
    }
}

/// What ends the request, and not the record alone, is answered with a problem.
fn failed(key: &str, source: &Key, error: Error) -> Result<ImportResult, ProblemDetails> {
    match error.kind() {
        ErrorKind::InvalidData
        | ErrorKind::LimitExceeded
        | ErrorKind::NotFound
        | ErrorKind::PermissionDenied
        | ErrorKind::Unsupported => {
            let mut result = of(key, source, ImportStatus::Failed);
            result.problem = Some(told(&error));
            Ok(result)
        }
        _ => Err(refused(error)),
    }
}

/// The vendor's own words if they were written for consumers; else the kind alone.
fn told(error: &Error) -> Problem {
    let own = std::error::Error::source(error).and_then(|source| source.downcast_ref::<ProblemDetails>());
    match own {
        Some(problem) => Problem::new(problem.kind.clone(), problem.title.clone()),
        None => Problem::new(
            format!("urn:open-export:problem:{}", error.kind().as_str()),
            match error.kind() {
                ErrorKind::Conflict => "Something else is in its place",
                ErrorKind::LimitExceeded => "It is larger than the service allows",
                ErrorKind::NotFound => "Something that it needs is not here",
                ErrorKind::PermissionDenied => "The grant does not allow to write it",
                ErrorKind::Unsupported => "The service has no way to write it",
                _ => "The service does not take it",
            },
        ),
    }
}

fn refused(error: Error) -> ProblemDetails {
    match error.kind() {
        ErrorKind::StorageFull => ProblemDetails::new("quota-storage", 507, "The account's storage is full"),
        _ => ProblemDetails::from(error),
    }
}
