//! Checking that everything is there and is what was written.

mod content;
mod timeline;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::TryStreamExt as _;
use saas_backup_core::{Digest, Error, ErrorKind, Result};

use self::content::Packs;
use crate::commit::{ObjectKind, ObjectRef, PartKind};
use crate::layout::{Map, Part, Segment};
use crate::object::Family;
use crate::read::{BlobRow, Bounds, Merge};
use crate::repository::Repository;
use crate::reserved;
use crate::source::Source;

/// How thorough a verification is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyOptions {
    /// Which share of the objects is read, in percent. Default: 0, which checks that all are there in their length.
    pub read_percent: u8,
    /// Chooses which objects are read when it is not all: another number reads others. Default: 0.
    pub turn: u64,
    /// Commits that must be there, by source: they tell a timeline that was rolled back.
    pub anchors: BTreeMap<String, Anchor>,
}

/// The last commit that somebody saw; kept elsewhere, it proves that the timeline was not rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Its number.
    pub sequence: u64,
    /// SHA-256 of its header.
    pub sha256: Digest,
}

impl VerifyOptions {
    /// Checks that every object is there in its length.
    pub fn presence() -> Self {
        Self::default()
    }

    /// Reads everything.
    pub fn read_all() -> Self {
        Self { read_percent: 100, ..Self::default() }
    }

    /// Reads a share of the objects, in percent; `turn` decides which.
    #[must_use]
    pub fn with_read_percent(mut self, percent: u8, turn: u64) -> Self {
        self.read_percent = percent.min(100);
        self.turn = turn;
        self
    }

    /// Demands that a source's timeline holds a commit.
    #[must_use]
    pub fn with_anchor(mut self, source: impl Into<String>, anchor: Anchor) -> Self {
        self.anchors.insert(source.into(), anchor);
        self
    }

    fn chooses(&self, name: &str) -> bool {
        let digest = Digest::of(format!("{} {name}", self.turn).as_bytes());
        let [first, second, ..] = digest.as_bytes();
        u32::from(u16::from_be_bytes([*first, *second])) * 100 < u32::from(self.read_percent) * 65_536
    }
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Objects that were looked for.
    pub objects: u64,
    /// Objects that were read.
    pub read: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// What is wrong; empty for a good repository.
    pub problems: Vec<VerifyProblem>,
    /// Objects that nothing names: what writers that were stopped left behind. No fault.
    pub orphans: u64,
    /// Their bytes.
    pub orphan_bytes: u64,
    /// Objects that could not be decrypted with the keys at hand, and so were checked by their digest alone.
    pub sealed: u64,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyProblem {
    /// The object.
    pub object: String,
    /// What kind of failure.
    pub kind: ErrorKind,
    /// For a person.
    pub message: String,
}

impl VerifyProblem {
    pub(crate) fn new(object: &str, error: &Error) -> Self {
        Self { object: object.to_owned(), kind: error.kind(), message: error.to_string() }
    }
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    fn problem(&mut self, object: &str, error: &Error) {
        let known =
            self.problems.iter().any(|problem| problem.object == object && problem.message == error.to_string());
        if !known {
            self.problems.push(VerifyProblem::new(object, error));
        }
    }
}

impl Repository {
    /// Checks all sources.
    ///
    /// Changes nothing. What is wrong stands in the report; `progress` is called with it after each object. Cancel
    /// safe.
    ///
    /// # Errors
    ///
    /// If the storage cannot be listed at all.
    pub async fn verify(
        &self,
        options: &VerifyOptions,
        progress: &mut (dyn FnMut(&VerifyReport) + Send),
    ) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        let mut names: BTreeSet<String> = self.sources().await?.into_iter().collect();
        names.extend(options.anchors.keys().cloned());
        for name in names {
            self.source(&name)?.verify_into(options, &mut report, progress).await?;
        }
        Ok(report)
    }
}

impl Source {
    /// The last commit, to be kept elsewhere and given to [`VerifyOptions::with_anchor`]. Cancel safe.
    pub async fn anchor(&self) -> Result<Option<Anchor>> {
        let map = self.shared.load().await?;
        map.check()?;
        Ok(map.head.as_ref().map(|head| Anchor { sequence: head.sequence, sha256: head.sha256 }))
    }

    /// Checks this source. As [`Repository::verify`].
    pub async fn verify(
        &self,
        options: &VerifyOptions,
        progress: &mut (dyn FnMut(&VerifyReport) + Send),
    ) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        self.verify_into(options, &mut report, progress).await?;
        Ok(report)
    }

    async fn verify_into(
        &self,
        options: &VerifyOptions,
        report: &mut VerifyReport,
        progress: &mut (dyn FnMut(&VerifyReport) + Send),
    ) -> Result<()> {
        let mut check = Verification {
            source: self,
            options,
            report,
            present: BTreeMap::new(),
            named: BTreeSet::new(),
            proven: BTreeMap::new(),
        };
        check.list().await?;
        let map = check.timeline().await?;
        progress(check.report);
        check.presence(&map);
        progress(check.report);
        check.keys(&map).await;
        if options.read_percent > 0 {
            check.blobs(&map, progress).await;
            for object in objects(&map) {
                if options.chooses(&object.name) {
                    check.object(&map, object).await;
                    progress(check.report);
                }
            }
            for part in &map.parts {
                if options.chooses(&part.place.object) {
                    check.part(part).await;
                }
            }
            progress(check.report);
        }
        check.given_up(&map);
        let unnamed = check.present.iter().filter(|(name, _)| !check.named.contains(*name));
        for (_, size) in unnamed {
            check.report.orphans += 1;
            check.report.orphan_bytes += size;
        }
        Ok(())
    }
}

fn objects(map: &Map) -> impl Iterator<Item = &ObjectRef> {
    map.segments.iter().map(|segment| &segment.object).chain(&map.others)
}

struct Verification<'a> {
    source: &'a Source,
    options: &'a VerifyOptions,
    report: &'a mut VerifyReport,
    present: BTreeMap<String, u64>,
    named: BTreeSet<String>,
    /// Objects that an attachment was read from, with the digests that they were found to have.
    proven: BTreeMap<String, Digest>,
}

impl Verification<'_> {
    async fn list(&mut self) -> Result<()> {
        let shared = &self.source.shared;
        let entries = shared.store.list(shared.names.prefix().trim_end_matches('/'), None);
        self.present = entries.map_ok(|entry| (entry.name, entry.size)).try_collect().await?;
        Ok(())
    }

    /// Notes a failure; that a seal does not open is one only for an owner, to whom every seal should.
    fn note(&mut self, object: &str, error: &Error) {
        let keys = &self.source.shared.keys;
        if error.kind() == ErrorKind::PermissionDenied && keys.identity.is_none() {
            self.report.sealed += 1;
        } else {
            self.report.problem(object, error);
        }
    }

    /// What was given up is named until it is removed.
    fn given_up(&mut self, map: &Map) {
        let keyring = &self.source.shared.keyring;
        for dropped in &map.dropped {
            self.named.insert(dropped.name.clone());
            self.named.extend(dropped.domain.as_ref().map(|id| keyring.object(id)));
        }
    }

    fn presence(&mut self, map: &Map) {
        for object in objects(map) {
            self.report.objects += 1;
            self.named.insert(object.name.clone());
            match self.present.get(&object.name) {
                Some(size) if *size == object.size => {}
                Some(size) => {
                    let error = Error::new(ErrorKind::Integrity, "the object does not have its length")
                        .with_context("expected", object.size)
                        .with_context("found", size);
                    self.report.problem(&object.name, &error);
                }
                None => self.report.problem(&object.name, &Error::new(ErrorKind::NotFound, "the object is gone")),
            }
        }
    }

    /// Opens the key of every domain that something is encrypted to.
    async fn keys(&mut self, map: &Map) {
        let shared = &self.source.shared;
        let used: BTreeSet<&String> = objects(map)
            .filter_map(|object| object.domain.as_ref())
            .chain(map.parts.iter().filter_map(|part| part.domain.as_ref()))
            .chain(map.domains.iter().map(|domain| &domain.id))
            .collect();
        for id in used {
            let name = shared.keyring.object(id);
            self.report.objects += 1;
            self.named.insert(name.clone());
            if !self.present.contains_key(&name) {
                self.report
                    .problem(&name, &Error::new(ErrorKind::NotFound, "the key is gone, and what it opened with it"));
                continue;
            }
            if let Err(error) = shared.keyring.check(id).await {
                self.note(&name, &error);
            }
        }
        let naming = shared.keyring.naming_object();
        self.named.insert(naming.clone());
        match shared.keyring.check_naming_key(map.naming()).await {
            Err(error) => self.note(&naming, &error),
            Ok(()) if !self.present.contains_key(&naming) && map.head.is_some() => {
                self.report.problem(&naming, &Error::new(ErrorKind::NotFound, "the naming key is gone"));
            }
            Ok(()) => {}
        }
    }

    async fn object(&mut self, map: &Map, object: &ObjectRef) {
        self.report.read += 1;
        self.report.bytes += object.size;
        if self.proven.get(&object.name) == Some(&object.sha256) {
            return;
        }
        if let Err(error) = self.read_object(map, object).await {
            self.note(&object.name, &error);
        }
    }

    async fn read_object(&self, map: &Map, object: &ObjectRef) -> Result<()> {
        let shared = &self.source.shared;
        let bytes = shared.store.get(&object.name, None).await?;
        let expected = object.sha256;
        if !matches!(object.kind, ObjectKind::Segment | ObjectKind::MetaSegment) {
            return crate::read::blocking(move || content::expect(&bytes, expected)).await;
        }
        let segments: Vec<Segment> =
            map.segments.iter().filter(|segment| segment.object.name == object.name).cloned().collect();
        let unsealer = shared.keyring.unsealer(object.domain.as_deref()).await;
        let indexes = shared.access.indexes(map, &segments).await;
        crate::read::blocking(move || {
            content::expect(&bytes, expected)?;
            content::segment(&unsealer?.open(bytes)?, indexes?.first())
        })
        .await
    }

    async fn part(&mut self, part: &Part) {
        let lines = match part.kind {
            PartKind::Meta | PartKind::Delta => self.source.shared.access.part_lines(part).await.map(drop),
            _ => self.source.shared.access.part(part).await.map(drop),
        };
        if let Err(error) = lines {
            self.note(&part.place.object, &error);
        }
    }

    /// Reads attachments to their end and compares their digests.
    async fn blobs(&mut self, map: &Map, progress: &mut (dyn FnMut(&VerifyReport) + Send)) {
        if let Err(error) = self.read_blobs(map, progress).await {
            let blobs = format!("{}blob", self.source.shared.names.prefix());
            self.note(&blobs, &error);
        }
    }

    async fn read_blobs(&mut self, map: &Map, progress: &mut (dyn FnMut(&VerifyReport) + Send)) -> Result<()> {
        let shared = &self.source.shared;
        let at = map.head.as_ref().map_or(0, |head| head.sequence);
        let collection = Some(reserved::collection(reserved::BLOBS));
        let bounds = Bounds { collection, ..Bounds::all(Family::Meta, at) };
        let mut merge = Merge::open(Arc::clone(&shared.access), map, bounds).await?;
        let mut packs = Packs::default();
        while let Some(group) = merge.next().await? {
            let Some(line) = group.live() else { continue };
            let row: BlobRow = reserved::value(&line.text)?;
            let object = row.parts.first().map(|part| part.object.clone()).unwrap_or_default();
            if !self.options.chooses(&object) {
                continue;
            }
            let row = match packs.take(row) {
                Ok(Some(row)) => row,
                Ok(None) => {
                    if packs.are_many() {
                        self.read_packs(std::mem::take(&mut packs), progress).await;
                    }
                    continue;
                }
                Err(error) => {
                    self.note(&object, &error);
                    continue;
                }
            };
            match content::attachment(&shared.access, &row).await {
                Ok(()) => {
                    let parts = row.parts.into_iter();
                    self.proven.extend(parts.filter_map(|part| part.sha256.map(|sha256| (part.object, sha256))));
                    progress(self.report);
                }
                Err(error) => self.note(&object, &error),
            }
        }
        self.read_packs(packs, progress).await;
        Ok(())
    }

    async fn read_packs(&mut self, packs: Packs, progress: &mut (dyn FnMut(&VerifyReport) + Send)) {
        for (object, pack) in packs {
            match pack.read(&self.source.shared.access, &object).await {
                Ok(sha256) => {
                    self.proven.insert(object, sha256);
                    progress(self.report);
                }
                Err(error) => self.note(&object, &error),
            }
        }
    }
}
