//! One commit: what is pending becomes durable.

use std::sync::Arc;

use bytes::Bytes;
use saas_backup_core::{Digest, Error, ErrorKind, Result, Review, RunReport};
use ulid::Ulid;

use super::session::{Pending, Session};
use crate::commit::{CommitHeader, ObjectKind, ObjectRef, PartKind, PartRef, PointHeader, decode, encode};
use crate::crypto::{Domain, DomainKind, Keyring, Sealer, SigningPurpose};
use crate::layout::{self, Author};
use crate::object::{Family, LineBuffer, SegmentFile, SegmentIndex, build, compress, month};
use crate::read::blocking;
use crate::store::{Owner, create};

/// Largest sealed part of inline lines; more becomes a segment.
const INLINE_BYTES: usize = 256 * 1024;
/// Text that is not even tried inline.
const INLINE_TEXT_BYTES: usize = 2 * 1024 * 1024;
/// A sealed segment from this size on has a domain of its own.
const OWN_DOMAIN_BYTES: usize = 8 * 1024 * 1024;
/// Commits after which a layout is written.
const LAYOUT_EVERY: usize = 64;
/// Commits of a run that took several, after which its last one is followed by a layout.
const LAYOUT_AFTER_RUN: usize = 8;
/// Numbers that are tried when other writers are faster.
const REBASES: usize = 16;

/// What ends a run.
pub(super) struct Finish<'a> {
    pub(super) report: &'a RunReport,
    pub(super) reviews_before: &'a [Review],
}

/// Spoils its session when it is dropped.
struct Taken<'a>(&'a Session);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.lock().spoilt = true;
    }
}

/// A part before it has a place.
struct Sealed {
    kind: PartKind,
    bytes: Vec<u8>,
    domain: Option<String>,
}

impl Session {
    /// Makes what is flushed durable, together with the positions that cover it; with `finish` as a point in time.
    pub(super) async fn commit_step(self: &Arc<Self>, finish: Option<Finish<'_>>) -> Result<()> {
        let _committing = self.committing.lock().await;
        self.check()?;
        self.flush_pack().await?;
        // From here on what was pending lives in this call alone: should it fail or be dropped, it is lost.
        let taken = Taken(self);
        self.commit_taken(finish).await?;
        std::mem::forget(taken);
        Ok(())
    }

    async fn commit_taken(self: &Arc<Self>, finish: Option<Finish<'_>>) -> Result<()> {
        let run = self.run()?;
        let (mut pending, feeds, domains) = {
            let mut inner = self.lock();
            let feeds: Vec<String> = inner
                .tables
                .moved()
                .map(|feed| format!("{:016x}", self.naming.short("feed", &[feed.as_str().as_bytes()])))
                .collect();
            let mut pending = std::mem::take(&mut inner.pending);
            let reviews = finish.as_ref().map(|finish| finish.reviews_before);
            inner.tables.write(&mut pending.meta, reviews)?;
            (pending, feeds, std::mem::take(&mut inner.domains))
        };
        let now = self.shared.clock.now();
        let mut header = CommitHeader {
            format: 1,
            requires: Vec::new(),
            repository: self.shared.repository.clone(),
            source: self.shared.name.clone(),
            sequence: 0,
            nonce: Ulid::generate().to_string(),
            parent: None,
            run,
            at: now,
            writer: self.writer_id.clone(),
            naming: self.naming.mark(),
            point: finish.as_ref().map(|finish| PointHeader {
                started: finish.report.started,
                finished: finish.report.finished,
                status: finish.report.status,
                counts: finish.report.totals(),
                bytes_added: None,
                labels: self.shared.labels.clone(),
            }),
            feeds,
            domains,
            objects: Vec::new(),
            parts: Vec::new(),
        };
        let mut sealed = Vec::new();
        for family in [Family::Meta, Family::Data] {
            sealed.extend(self.place_lines(family, &mut pending, &mut header).await?);
        }
        for family in [Family::Meta, Family::Data] {
            sealed.extend(self.seal_indexes(family, &pending, &mut header).await?);
        }
        header.objects.extend(pending.objects);
        for part in &sealed {
            header.parts.push(PartRef {
                kind: part.kind,
                size: part.bytes.len() as u64,
                sha256: Digest::of(&part.bytes),
                domain: part.domain.clone(),
            });
        }
        if let Some(point) = &mut header.point {
            let parts: u64 = header.parts.iter().map(|part| part.size).sum();
            point.bytes_added = Some(self.lock().bytes_added + parts);
        }
        let parts: Vec<&[u8]> = sealed.iter().map(|part| part.bytes.as_slice()).collect();
        self.create_commit(header, &parts).await?;
        if finish.is_some() || self.lock().map.since.len() >= LAYOUT_EVERY {
            self.write_layout_if_due().await;
        }
        Ok(())
    }

    /// Puts a family's pending lines into a part, or, where they are too many, into a segment.
    async fn place_lines(
        self: &Arc<Self>,
        family: Family,
        pending: &mut Pending,
        header: &mut CommitHeader,
    ) -> Result<Option<Sealed>> {
        let lines = std::mem::take(match family {
            Family::Data => &mut pending.lines,
            Family::Meta => &mut pending.meta,
        });
        if lines.is_empty() {
            return Ok(None);
        }
        let domain = self.month_domain(family_domain(family), header).await?;
        let sealer = Keyring::sealer(domain.as_ref());
        let (lines, inline) = blocking(move || {
            let inline = if lines.bytes() <= INLINE_TEXT_BYTES { Some(seal_inline(&lines, &sealer)?) } else { None };
            Ok((lines, inline.filter(|inline| inline.len() <= INLINE_BYTES)))
        })
        .await?;
        if let Some(bytes) = inline {
            let kind = match family {
                Family::Data => PartKind::Delta,
                Family::Meta => PartKind::Meta,
            };
            return Ok(Some(Sealed { kind, bytes, domain: domain.map(|domain| domain.id) }));
        }
        if let Some((object, index)) = self.upload_segment(family, lines, header).await? {
            pending.objects.push(object);
            match family {
                Family::Data => pending.indexes.push(index),
                Family::Meta => pending.meta_indexes.push(index),
            }
        }
        Ok(None)
    }

    async fn seal_indexes(
        &self,
        family: Family,
        pending: &Pending,
        header: &mut CommitHeader,
    ) -> Result<Option<Sealed>> {
        let (indexes, kind) = match family {
            Family::Data => (&pending.indexes, PartKind::Index),
            Family::Meta => (&pending.meta_indexes, PartKind::MetaIndex),
        };
        if indexes.is_empty() {
            return Ok(None);
        }
        let mut text = Vec::new();
        for index in indexes {
            serde_json::to_writer(&mut text, index)?;
            text.push(b'\n');
        }
        let domain = self.month_domain(family_domain(family), header).await?;
        let sealer = Keyring::sealer(domain.as_ref());
        let bytes = blocking(move || sealer.seal(compress(&text)?)).await?;
        Ok(Some(Sealed { kind, bytes, domain: domain.map(|domain| domain.id) }))
    }

    /// Sorts, compresses, checks, seals and uploads lines as a segment that no commit names yet.
    pub(super) async fn upload_segment(
        self: &Arc<Self>,
        family: Family,
        lines: LineBuffer,
        header: &mut impl Domains,
    ) -> Result<Option<(ObjectRef, SegmentIndex)>> {
        let room = self.spare.take(lines.bytes() / 2);
        let file = blocking(move || build(&lines, room)).await?;
        let Some(file) = file else { return Ok(None) };
        let kind = family_domain(family);
        let domain = if file.bytes.len() >= OWN_DOMAIN_BYTES && self.shared.keyring.is_encrypted() {
            let month = month(self.shared.clock.now());
            Some(self.shared.keyring.make(kind, month, &self.shared.recipients().await?).await?)
        } else {
            self.month_domain(kind, header).await?
        };
        let seal = Keyring::sealer(domain.as_ref());
        let SegmentFile { bytes, mut index } = file;
        let (bytes, sha256, head) = self.seal(seal, bytes).await?;
        let (name, object) = match family {
            Family::Data => (self.shared.names.segment(), ObjectKind::Segment),
            Family::Meta => (self.shared.names.meta_segment(), ObjectKind::MetaSegment),
        };
        index.object.clone_from(&name);
        index.set_head(&head);
        let size = bytes.len() as u64;
        self.put(&name, bytes).await?;
        Ok(Some((ObjectRef { name, kind: object, size, sha256, domain: domain.map(|domain| domain.id) }, index)))
    }

    /// Seals a large object; gives it with its digest, and what a reader of ranges needs.
    pub(super) async fn seal(self: &Arc<Self>, to: Sealer, plain: Vec<u8>) -> Result<(Bytes, Digest, Bytes)> {
        let session = Arc::clone(self);
        blocking(move || {
            let (sealed, sha256) = if to.is_plain() {
                let sha256 = Digest::of(&plain);
                (plain, sha256)
            } else {
                let mut sealing = to.begin(plain.len(), |capacity| session.spare.take(capacity))?;
                sealing.push(&plain)?;
                session.spare.give(plain);
                sealing.finish()?
            };
            let head = to.head(&sealed)?;
            Ok((Bytes::from(sealed), sha256, head))
        })
        .await
    }

    /// Uploads an object and counts it.
    pub(super) async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        let size = bytes.len() as u64;
        self.shared.store.put(name, bytes.clone()).await?;
        self.spare.give_bytes(bytes);
        let mut inner = self.lock();
        inner.bytes_added += size;
        inner.objects_added += 1;
        Ok(())
    }

    /// The domain that small things of this month share; made, and introduced by `header`, if there is none.
    pub(super) async fn month_domain(&self, kind: DomainKind, header: &mut impl Domains) -> Result<Option<Domain>> {
        if !self.shared.keyring.is_encrypted() {
            return Ok(None);
        }
        let month = month(self.shared.clock.now());
        if let Some(domain) = header.find(kind, &month) {
            return Ok(Some(domain));
        }
        {
            let inner = self.lock();
            let made = inner.domains.iter().find(|domain| domain.kind == kind && domain.month == month);
            if let Some(domain) = made.or_else(|| inner.map.domain(kind, &month)) {
                return Ok(Some(domain.clone()));
            }
        }
        let domain = self.shared.keyring.make(kind, month, &self.shared.recipients().await?).await?;
        header.add(domain.clone());
        Ok(Some(domain))
    }

    async fn create_commit(&self, mut header: CommitHeader, parts: &[&[u8]]) -> Result<()> {
        for _ in 0..REBASES {
            let map = Arc::clone(&self.lock().map);
            header.sequence = self.shared.loader.last_taken(map.next() - 1).await? + 1;
            if header.sequence > map.next() {
                // Somebody was faster, or a write was cut: look before taking the number after it.
                if self.rebase(&header).await? {
                    continue;
                }
            }
            header.parent = map.head.as_ref().map(layout::Head::as_parent);
            let name = self.shared.names.commit(header.sequence);
            let (object, sha256) = encode(&header, SigningPurpose::Commit, self.signer.as_ref(), parts)?;
            let envelope = decode(&object)?;
            // The nonce in the header tells our commit from every other.
            let is_ours = |found: &Bytes| decode(found).is_ok_and(|found| found.header == envelope.header);
            match create(&*self.shared.store, &name, &object, is_ours).await? {
                Owner::Us => {
                    let mut inner = self.lock();
                    inner.bytes_added += object.len() as u64;
                    inner.objects_added += 1;
                    inner.durable_at = tokio::time::Instant::now();
                    let map = Arc::make_mut(&mut inner.map);
                    map.push(&name, &header, sha256, envelope.body_at, &envelope.body);
                    return Ok(());
                }
                Owner::Them(_) => {
                    self.rebase(&header).await?;
                }
            }
        }
        Err(Error::new(ErrorKind::Conflict, "other writers of this source are always faster; try again later"))
    }

    /// Takes over what others committed meanwhile; whether that was anything.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if one of these commits moves a feed that this one moves, too.
    async fn rebase(&self, header: &CommitHeader) -> Result<bool> {
        let before = Arc::clone(&self.lock().map);
        let known = before.next();
        let after = self.shared.loader.load(Some(before)).await?;
        after.check()?;
        let others = after.since.iter().filter(|commit| commit.sequence >= known);
        let mut is_news = false;
        for commit in others {
            is_news = true;
            if commit.feeds.iter().any(|feed| header.feeds.contains(feed)) {
                return Err(Error::new(ErrorKind::Conflict, "another writer has read the same feeds in the meantime")
                    .with_context("commit", commit.sequence));
            }
        }
        self.lock().map = after;
        Ok(is_news)
    }

    /// A layout saves time and is no part of the commit: a failure is told and changes nothing.
    async fn write_layout_if_due(&self) {
        let map = Arc::clone(&self.lock().map);
        let begun_at = self.lock().begun_at;
        let own = map.head.as_ref().map_or(0, |head| head.sequence.saturating_sub(begun_at)) as usize;
        let due = map.since.len() >= LAYOUT_EVERY || (own > 1 && map.since.len() >= LAYOUT_AFTER_RUN);
        if !due {
            return;
        }
        let author = Author {
            repository: &self.shared.repository,
            source: &self.shared.name,
            writer: &self.writer_id,
            signer: self.signer.as_ref(),
        };
        match layout::write(&*self.shared.store, &self.shared.names, author, &map).await {
            Ok(map) => self.lock().map = Arc::new(map),
            Err(error) => tracing::warn!(source = self.shared.name, %error, "the layout could not be written"),
        }
    }
}

/// Where domains that were just made are noted until a commit introduces them.
pub(super) trait Domains: Send {
    fn find(&self, kind: DomainKind, month: &str) -> Option<Domain>;
    fn add(&mut self, domain: Domain);
}

impl Domains for CommitHeader {
    fn find(&self, kind: DomainKind, month: &str) -> Option<Domain> {
        self.domains.iter().find(|domain| domain.kind == kind && domain.month == month).cloned()
    }

    fn add(&mut self, domain: Domain) {
        self.domains.push(domain);
    }
}

/// Notes domains in the session: the next commit introduces them.
pub(super) struct InSession<'a>(pub(super) &'a Session);

impl Domains for InSession<'_> {
    fn find(&self, _: DomainKind, _: &str) -> Option<Domain> {
        None
    }

    fn add(&mut self, domain: Domain) {
        self.0.lock().domains.push(domain);
    }
}

fn family_domain(family: Family) -> DomainKind {
    match family {
        Family::Data => DomainKind::Data,
        Family::Meta => DomainKind::Meta,
    }
}

fn seal_inline(lines: &LineBuffer, sealer: &Sealer) -> Result<Vec<u8>> {
    let mut text = Vec::with_capacity(lines.bytes() + 64);
    for line in lines.sorted() {
        text.extend_from_slice(lines.line(line));
        text.push(b'\n');
    }
    sealer.seal(compress(&text)?)
}
