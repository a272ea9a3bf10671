//! Checking that everything is there and is what was written.

mod content;
mod options;
mod owner;
mod reading;
mod report;
mod timeline;
mod units;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures::TryStreamExt as _;
use saas_backup_core::{Digest, Error, ErrorKind, Result};

pub use self::options::{Anchor, VerifyOptions};
pub(crate) use self::owner::SignedProblems;
pub use self::report::{VerifyProblem, VerifyReport};
use crate::commit::ObjectRef;
use crate::layout::Map;
use crate::proof::{Found, Mark};
use crate::repository::Repository;
use crate::source::Source;

impl Repository {
    /// Checks all sources, and what the owner signed beside them.
    ///
    /// Changes nothing, but that it notes what was read if the options say so. What is wrong stands in the report;
    /// `progress` is called with it after each object. Cancel safe; what is not finished is not noted.
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
        SignedProblems::of(self).await?.tell(&mut report);
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
            missing_bundles: Vec::new(),
            proven: BTreeMap::new(),
            good: HashSet::new(),
            attachments: HashMap::new(),
            lost_domains: BTreeSet::new(),
            is_known: true,
        };
        check.list().await?;
        let known_problems = check.report.problems.len();
        let map = check.timeline().await?;
        check.lost_bundles(&map);
        check.is_known = check.report.problems.len() == known_problems;
        progress(check.report);
        check.presence(&map);
        progress(check.report);
        check.keys(&map).await;
        let proof = check.proofs().await?;
        if options.reads() {
            check.read(&map, &proof, progress).await?;
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
    /// Bundles that layouts name and that are not there.
    missing_bundles: Vec<String>,
    /// Objects that an attachment was read from, with the digests that they were found to have.
    proven: BTreeMap<String, Digest>,
    /// What was read and found good.
    good: HashSet<Mark>,
    /// The first commit that needs an object of attachments.
    attachments: HashMap<Mark, u64>,
    /// Domains whose keys do not open.
    lost_domains: BTreeSet<String>,
    /// Whether the timeline is whole, and all rows of attachments could be read.
    is_known: bool,
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
                self.lost_domains.insert(id.clone());
                continue;
            }
            if let Err(error) = shared.keyring.check(id).await {
                self.note(&name, &error);
                self.lost_domains.insert(id.clone());
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

    /// The newest record of what was read, of those that are there.
    async fn proofs(&mut self) -> Result<Found> {
        let shared = &self.source.shared;
        let folder = format!("{}/", shared.names.proofs());
        let names: Vec<String> = self.present.keys().filter(|name| name.starts_with(&folder)).cloned().collect();
        let evidence = self.present.keys().filter(|name| shared.names.is_evidence(name)).cloned();
        self.named.extend(evidence);
        let found = Found::among(shared, names).await?;
        for (name, error) in &found.damaged {
            self.report.problem(name, error);
        }
        Ok(found)
    }
}
