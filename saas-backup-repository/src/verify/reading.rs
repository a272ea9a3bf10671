//! Reading what was chosen, and noting it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use saas_backup_core::{ErrorKind, Result};

use super::content::{self, Packs};
use super::units::{self, Age, What};
use super::{Verification, VerifyReport};
use crate::commit::{ObjectKind, ObjectRef, PartKind};
use crate::layout::{Map, Part, Segment};
use crate::object::Family;
use crate::proof::{Found, Mark, Proof};
use crate::read::{BlobRow, Bounds, Merge};
use crate::reserved;

impl Verification<'_> {
    /// Reads what the options choose, and notes it if they say so.
    pub(super) async fn read(
        &mut self,
        map: &Map,
        found: &Found,
        progress: &mut (dyn FnMut(&VerifyReport) + Send),
    ) -> Result<()> {
        let now = self.source.shared.clock.now();
        let units = units::units(map, &found.proof, now);
        let chosen = units::chosen(&units, self.options, &found.proof, now);
        let names: HashSet<&str> = chosen.iter().filter_map(|place| units.get(*place)).map(units::Unit::name).collect();
        self.blobs(map, &names, progress).await;
        for (place, unit) in units.iter().enumerate() {
            let is_chosen = chosen.contains(&place);
            let is_good = match unit.what {
                What::Segment(Segment { object, .. }) | What::Other(object) => {
                    let is_read = is_chosen || self.proven.get(&object.name) == Some(&object.sha256);
                    is_read && self.object(map, object).await
                }
                What::Part(part) => is_chosen && self.part(part).await,
            };
            if is_good {
                self.good.insert(unit.mark);
            }
            if is_chosen {
                progress(self.report);
            }
        }
        let problems: BTreeSet<&str> = self.report.problems.iter().map(|problem| problem.object.as_str()).collect();
        let is_bad = |unit: &units::Unit<'_>| {
            problems.contains(unit.name()) || unit.domain().is_some_and(|domain| self.lost_domains.contains(domain))
        };
        let bad: HashSet<Mark> = units.iter().filter(|unit| is_bad(unit)).map(|unit| unit.mark).collect();
        let live: HashSet<Mark> = units.iter().map(|unit| unit.mark).collect();
        let is_whole_turn = self.options.due.is_some() || self.options.read_percent >= 100;
        let mut proof = Proof {
            at: Some(now),
            due: if is_whole_turn { Some(now) } else { found.proof.due },
            read: found
                .proof
                .read
                .iter()
                .filter(|(mark, _)| live.contains(mark))
                .map(|(mark, at)| (*mark, *at))
                .collect(),
            points: found.proof.points.clone(),
        };
        proof.read.extend(self.good.iter().filter(|mark| !bad.contains(mark)).map(|mark| (*mark, now)));
        // Where it is not known what points need, none is added, and none taken from those that counted.
        if self.is_known {
            proof.points = units::verified(map, &units, &proof, &self.attachments, is_bad, now);
        }
        let is_noted = self.options.record && self.note_proof(found, &proof).await?;
        let told = if is_noted { &proof } else { &found.proof };
        let age = Age::of(&units, told);
        let points = told.verified(map).len() as u64;
        self.report.unread += age.unread;
        self.report.unread_bytes += age.unread_bytes;
        self.report.oldest = self.report.oldest.into_iter().chain(age.oldest).min();
        self.report.verified_points += points;
        Ok(())
    }

    /// Notes what was read; whether the keys at hand may.
    async fn note_proof(&self, found: &Found, proof: &Proof) -> Result<bool> {
        let shared = &self.source.shared;
        let noted = async { found.replace(shared, &shared.maintaining_keys().await?, proof).await };
        match noted.await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                tracing::warn!(source = shared.name, %error, "what was read could not be noted");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads an object, unless an attachment was read from it; whether it is good.
    pub(super) async fn object(&mut self, map: &Map, object: &ObjectRef) -> bool {
        self.report.read += 1;
        self.report.bytes += object.size;
        if self.proven.get(&object.name) == Some(&object.sha256) {
            return true;
        }
        let read = self.read_object(map, object).await;
        if let Err(error) = &read {
            self.note(&object.name, error);
        }
        read.is_ok()
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

    async fn part(&mut self, part: &Part) -> bool {
        let lines = match part.kind {
            PartKind::Meta | PartKind::Delta => self.source.shared.access.part_lines(part).await.map(drop),
            _ => self.source.shared.access.part(part).await.map(drop),
        };
        if let Err(error) = &lines {
            self.note(&part.place.object, error);
        }
        lines.is_ok()
    }

    /// Reads attachments to their end and compares their digests.
    async fn blobs(&mut self, map: &Map, chosen: &HashSet<&str>, progress: &mut (dyn FnMut(&VerifyReport) + Send)) {
        if let Err(error) = self.read_blobs(map, chosen, progress).await {
            self.is_known = false;
            let blobs = format!("{}blob", self.source.shared.names.prefix());
            self.note(&blobs, &error);
        }
    }

    async fn read_blobs(
        &mut self,
        map: &Map,
        chosen: &HashSet<&str>,
        progress: &mut (dyn FnMut(&VerifyReport) + Send),
    ) -> Result<()> {
        let shared = &self.source.shared;
        let at = map.head.as_ref().map_or(0, |head| head.sequence);
        let collection = Some(reserved::collection(reserved::BLOBS));
        let bounds = Bounds { collection, past: true, ..Bounds::all(Family::Meta, at) };
        let marks: HashMap<&str, Mark> =
            map.others.iter().map(|object| (object.name.as_str(), Mark::of(&object.sha256))).collect();
        let mut merge = Merge::open(Arc::clone(&shared.access), map, bounds).await?;
        let mut packs = Packs::default();
        while let Some(group) = merge.next().await? {
            for line in group.lines.iter().filter(|line| !line.is_deletion()) {
                let row: BlobRow = reserved::value(&line.text)?;
                for mark in row.parts.iter().filter_map(|part| marks.get(part.object.as_str())) {
                    let from = self.attachments.entry(*mark).or_insert(u64::MAX);
                    *from = line.sequence.min(*from);
                }
            }
            let Some(line) = group.live() else { continue };
            let row: BlobRow = reserved::value(&line.text)?;
            let object = row.parts.first().map(|part| part.object.clone()).unwrap_or_default();
            if !chosen.contains(object.as_str()) {
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
