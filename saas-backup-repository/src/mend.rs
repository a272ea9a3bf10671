//! Mending a repository out of itself, and going on without what is lost.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use saas_backup_core::{Digest, ErrorKind, Result};

use crate::commit::{CommitHeader, ObjectKind, decode};
use crate::layout::Map;
use crate::object::sequence_of;
use crate::repository::Repository;
use crate::source::{Shared, Source};
use crate::upkeep::{Change, GivenUp, is_loss};
use crate::verify::{SignedProblems, VerifyOptions, VerifyProblem, VerifyReport};
use crate::writers::{add_writer, object_name, writer_id};

/// Maintainers' layouts that hold what commits said that are removed.
const LAYOUTS: usize = 2;

/// How to mend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MendOptions {
    /// What is looked for. Default: that everything is there; damage in data is only found where it is read.
    pub verify: VerifyOptions,
    /// Gives up what is lost and cannot be made anew. Default: no.
    pub drop: bool,
    /// Only says what would be done. Default: no.
    pub dry_run: bool,
}

impl MendOptions {
    /// Looks for what is damaged as a verification with these options does.
    pub fn new(verify: VerifyOptions) -> Self {
        Self { verify, ..Self::default() }
    }

    /// Gives up what is lost and cannot be made anew.
    #[must_use]
    pub fn with_drop(mut self, drop: bool) -> Self {
        self.drop = drop;
        self
    }

    /// Only says what would be done.
    #[must_use]
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

/// What mending did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mended {
    /// Objects that were made anew out of others.
    pub restored: Vec<String>,
    /// Damaged objects that were removed, for nothing depends on them.
    pub removed: Vec<String>,
    /// What was given up, by source.
    pub dropped: BTreeMap<String, GivenUp>,
    /// What is lost and was not given up, because nobody asked for it, by source.
    pub lost: BTreeMap<String, GivenUp>,
    /// What is still wrong; of a dry run, what was found.
    pub problems: Vec<VerifyProblem>,
}

impl Repository {
    /// Mends what can be mended without a copy: [`repair_from`](Self::repair_from) a copy brings back more.
    ///
    /// Parts of commits, layouts and their copies of parts are made anew out of each other, and so is the object that says
    /// that the owner writes; damaged records of what was read are removed, and so are commits that are damaged where
    /// nobody reads them any more, once two layouts tell what else they said. With [`MendOptions::drop`] what is lost for good is given up by name, in one commit that says
    /// what is left: reading, exporting and compaction go on without it, the points that needed it say that they are
    /// incomplete, and a record of which it is not known any more what was true reads as gone. The next backup reads
    /// everything again, and fetches attachments that are lost; where the mirror does not remember its records, because the
    /// source reports deletions, that one takes the identity. A naming key that is lost is replaced by another, and what counts of
    /// damaged statements of who reads and writes is stated anew. Cancel safe: what was mended is mended.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] without the owner's identity; [`ErrorKind::Unsupported`] if metadata is lost, without
    /// which no backup goes on; [`ErrorKind::Integrity`] if the timeline breaks off where no layout tells how it goes on;
    /// [`ErrorKind::Conflict`] if another maintainer was faster.
    pub async fn mend(
        &self,
        options: &MendOptions,
        progress: &mut (dyn FnMut(&VerifyReport) + Send),
    ) -> Result<Mended> {
        let mut done = Mended::default();
        if !options.dry_run {
            mend_signed(self, options.drop, &mut done).await?;
        }
        let mut signed = VerifyReport::default();
        SignedProblems::of(self).await?.tell(&mut signed);
        done.problems.extend(signed.problems);
        for name in self.sources().await? {
            mend_source(self, &name, options, &mut done, progress).await?;
        }
        Ok(done)
    }
}

/// Makes anew what the owner at hand signed beside the sources, as far as it is known what that was.
async fn mend_signed(repository: &Repository, drop: bool, done: &mut Mended) -> Result<()> {
    let Some(own) = repository.own_writer() else { return Ok(()) };
    let mut found = SignedProblems::of(repository).await?;
    let object = object_name(&writer_id(&own));
    if found.writers.iter().any(|(name, _)| *name == object) {
        add_writer(&**repository.store(), &repository.owner()?, &own, true).await?;
        done.restored.push(object);
    }
    if drop && !found.newest.is_empty() {
        // Under a number behind them.
        repository.restate(|_| Ok(())).await?;
        found.outdated.append(&mut found.newest);
    }
    for (name, _) in found.outdated {
        repository.store().delete(&name).await?;
        done.removed.push(name);
    }
    Ok(())
}

async fn mend_source(
    repository: &Repository,
    name: &str,
    options: &MendOptions,
    done: &mut Mended,
    progress: &mut (dyn FnMut(&VerifyReport) + Send),
) -> Result<()> {
    // What was read before may be what is damaged.
    let source = repository.unread(name);
    let verify = options.verify.clone().with_record(false);
    let report = source.verify(&verify, progress).await?;
    let (found, is_lone) = (report.problems, !report.lone_layouts.is_empty());
    let are_losses = found.iter().all(|problem| is_loss(problem.kind));
    if (found.is_empty() && !is_lone) || !are_losses {
        done.problems.extend(found);
        return Ok(());
    }
    let names: BTreeSet<String> = found.iter().map(|problem| problem.object.clone()).collect();
    let shared = &source.shared;
    let layouts = Layouts::read(shared, &names).await?;
    for (commit, whole) in layouts.commits(shared, &names).await? {
        if !options.dry_run {
            shared.store.put(&commit, whole).await?;
        }
        done.restored.push(commit);
    }
    let mut useless = layouts.useless();
    let proofs = format!("{}/", shared.names.proofs());
    useless.extend(names.iter().filter(|name| name.starts_with(&proofs)).cloned());
    let is_short = !useless.is_empty() || (!layouts.is_whole && layouts.good.len() < LAYOUTS);
    if !options.dry_run {
        for object in &useless {
            shared.store.delete(object).await?;
        }
    }
    done.removed.extend(useless);
    let source = repository.unread(name);
    let change = match (options.dry_run, options.drop) {
        (true, _) => Change::Nothing,
        (false, true) => Change::All,
        (false, false) => Change::WhatIsNotLost,
    };
    let (lost, anew) = source.drop_lost(&names, change).await?;
    if lost.objects.is_empty() || options.drop {
        done.restored.extend(anew);
    }
    if !lost.objects.is_empty() {
        let told = if options.drop { &mut done.dropped } else { &mut done.lost };
        told.insert(name.to_owned(), lost);
    }
    if options.dry_run {
        done.problems.extend(found);
        return Ok(());
    }
    if is_short && let Some(layout) = source.write_layouts(LAYOUTS).await? {
        done.restored.push(layout);
    }
    let left = Layouts::read(&source.shared, &names).await?.useless();
    for object in left {
        source.shared.store.delete(&object).await?;
        done.removed.push(object);
    }
    for commit in spent(&source, &names).await? {
        if source.tell_twice(commit).await? {
            let object = source.shared.names.commit(commit);
            source.shared.store.delete(&object).await?;
            done.removed.push(object);
        }
    }
    done.problems.extend(repository.unread(name).verify(&verify, progress).await?.problems);
    Ok(())
}

/// The layouts of a source.
struct Layouts {
    /// Those of maintainers that lean on nothing damaged, by the commit up to which they tell, the oldest first.
    good: Vec<(u64, Map)>,
    /// Those that can be read and lean on something damaged.
    leaning: Vec<(String, Map)>,
    /// Those that cannot be read.
    damaged: Vec<String>,
    /// Whether the commits tell everything without them.
    is_whole: bool,
}

impl Layouts {
    async fn read(shared: &Shared, bad: &BTreeSet<String>) -> Result<Self> {
        let first = shared.loader.sequences(&shared.names.commits(), None).await?.first().copied();
        let is_whole = match first {
            Some(first) => {
                matches!(shared.loader.commit(first).await, Ok(Some((_, header, _))) if header.parent.is_none())
            }
            None => true,
        };
        let mut layouts = Self { good: Vec::new(), leaning: Vec::new(), damaged: Vec::new(), is_whole };
        for sequence in shared.loader.sequences(&shared.names.layouts(), None).await? {
            let name = shared.names.layout(sequence);
            match shared.loader.layout(sequence).await {
                Ok((map, maintained)) => {
                    let bundles = map.others.iter().filter(|object| object.kind == ObjectKind::Bundle);
                    let is_good = bundles.into_iter().all(|bundle| !bad.contains(&bundle.name));
                    match (is_good, maintained) {
                        (true, true) => layouts.good.push((sequence, map)),
                        (true, false) => {}
                        (false, _) => layouts.leaning.push((name, map)),
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::Integrity | ErrorKind::NotFound) => {
                    layouts.damaged.push(name);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(layouts)
    }

    /// Layouts that nothing is lost with, and that stand in the way: damaged ones, and those that lean on what is damaged
    /// where another tells the same.
    fn useless(&self) -> Vec<String> {
        let is_told = self.is_whole || !self.good.is_empty();
        let leaning = self.leaning.iter().map(|(name, _)| name).filter(|_| is_told);
        self.damaged.iter().chain(leaning).cloned().collect()
    }

    /// The damaged commits that can be put together again: whose header is whole, and whose parts lie elsewhere, too.
    async fn commits(&self, shared: &Shared, bad: &BTreeSet<String>) -> Result<Vec<(String, Bytes)>> {
        let folder = format!("{}/", shared.names.commits());
        let mut whole = Vec::new();
        for name in bad.iter().filter(|name| name.starts_with(&folder)) {
            if sequence_of(name).is_none() {
                continue;
            }
            let object = match shared.store.get(name, None).await {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                object => object?,
            };
            if let Some(again) = self.commit(shared, &object).await?
                && again != object
            {
                whole.push((name.clone(), again));
            }
        }
        Ok(whole)
    }

    /// A commit as it was written, out of its header and of its parts, wherever they lie.
    async fn commit(&self, shared: &Shared, object: &Bytes) -> Result<Option<Bytes>> {
        let Ok(envelope) = decode(object) else { return Ok(None) };
        let Ok(header) = serde_json::from_slice::<CommitHeader>(&envelope.header) else { return Ok(None) };
        let trust = &shared.loader.trust;
        if trust.verify(&*shared.store, shared.loader.commits(), &header.writer, &envelope).await.is_err() {
            return Ok(None);
        }
        let mut whole = object.slice(..usize::try_from(envelope.body_at).unwrap_or(0)).to_vec();
        let mut at = 0_usize;
        for part in &header.parts {
            let end = at.saturating_add(usize::try_from(part.size).unwrap_or(usize::MAX));
            let own = envelope.body.get(at..end).filter(|bytes| Digest::of(bytes) == part.sha256);
            at = end;
            let bytes = match own {
                Some(own) => Bytes::copy_from_slice(own),
                None => match self.part(shared, header.sequence, part.sha256).await? {
                    Some(bytes) => bytes,
                    None => return Ok(None),
                },
            };
            whole.extend_from_slice(&bytes);
        }
        Ok(Some(Bytes::from(whole)))
    }

    /// A part of a commit out of a copy that a layout made.
    async fn part(&self, shared: &Shared, sequence: u64, sha256: Digest) -> Result<Option<Bytes>> {
        let maps = self.good.iter().map(|(_, map)| map).chain(self.leaning.iter().map(|(_, map)| map));
        for map in maps {
            let copies = map.parts.iter().filter(|part| part.sequence == sequence && part.sha256 == sha256);
            for place in copies.map(|part| &part.place) {
                let range = place.at..place.at.saturating_add(place.size);
                match shared.store.get(&place.object, Some(range)).await {
                    Ok(bytes) if Digest::of(&bytes) == sha256 => return Ok(Some(bytes)),
                    Ok(_) => {}
                    Err(error) if is_loss(error.kind()) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(None)
    }
}

/// The commits that are damaged in nothing but lines that lie elsewhere by now.
async fn spent(source: &Source, names: &BTreeSet<String>) -> Result<Vec<u64>> {
    let shared = &source.shared;
    let folder = format!("{}/", shared.names.commits());
    let map = shared.loader.load_maintained().await?;
    let mut spent = Vec::new();
    for name in names.iter().filter(|name| name.starts_with(&folder)) {
        let Some(sequence) = sequence_of(name) else { continue };
        if sequence >= map.next() || map.parts.iter().any(|part| part.place.object == *name) {
            continue;
        }
        match shared.loader.commit(sequence).await {
            Ok(Some((envelope, header, _))) if !header.describes(&envelope.body) => spent.push(sequence),
            Err(error) if !is_loss(error.kind()) => return Err(error),
            _ => {}
        }
    }
    Ok(spent)
}

impl Source {
    /// Sees to it that two layouts of maintainers tell what a commit said; whether they do.
    async fn tell_twice(&self, commit: u64) -> Result<bool> {
        // The first of them may be there already.
        for after_another in [Some(false), Some(true), Some(true), None] {
            let layouts = Layouts::read(&self.shared, &BTreeSet::new()).await?.good;
            if layouts.iter().filter(|(sequence, _)| *sequence >= commit).count() >= LAYOUTS {
                return Ok(true);
            }
            if let Some(after_another) = after_another {
                self.write_layout(after_another).await?;
            }
        }
        Ok(false)
    }

    /// Writes layouts until a maintainer's are so many; the last one's name.
    async fn write_layouts(&self, wanted: usize) -> Result<Option<String>> {
        let mut last = None;
        loop {
            let layouts = Layouts::read(&self.shared, &BTreeSet::new()).await?;
            if last.is_some() && (layouts.good.len() >= wanted || layouts.is_whole) {
                return Ok(last);
            }
            let before = last.clone();
            last = Some(self.write_layout(last.is_some()).await?);
            if last == before {
                return Ok(last);
            }
        }
    }
}
