//! One commit: what is pending becomes durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use saas_backup_core::{Error, ErrorKind, Result, Review, RunReport};

use super::session::{Pending, Session};
use crate::commit::{CommitHeader, ObjectRef, PartKind, PartRef, PointHeader};
use crate::committer::{Domains, Sealed, family_domain};
use crate::crypto::{Keyring, Sealer};
use crate::layout::Map;
use crate::object::{Family, LineBuffer, SegmentIndex, build, compress};
use crate::read::blocking;

/// Largest sealed part of inline lines; more becomes a segment.
const INLINE_BYTES: usize = 256 * 1024;
/// Text that is not even tried inline.
const INLINE_TEXT_BYTES: usize = 2 * 1024 * 1024;
/// Commits after which a layout is written: opening a source takes one request for each commit since.
const LAYOUT_EVERY: usize = 6;
/// The same where nobody removes old layouts, each of which repeats all points, and in the middle of a run.
const LAYOUT_SELDOM: usize = 64;
/// So many layouts are there where somebody does.
const FEW_LAYOUTS: usize = 24;

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
        let is_finished = finish.is_some();
        let (mut pending, feeds, domains) = {
            let mut inner = self.lock();
            let feeds: Vec<String> = inner
                .tables
                .moved()
                .map(|feed| format!("{:016x}", self.committer.naming.short("feed", &[feed.as_str().as_bytes()])))
                .collect();
            let mut pending = std::mem::take(&mut inner.pending);
            let reviews = finish.as_ref().map(|finish| finish.reviews_before);
            inner.tables.write(&mut pending.meta, reviews)?;
            (pending, feeds, self.committer.take_domains())
        };
        let mut header = self.committer.header(run);
        (header.feeds, header.domains) = (feeds, domains);
        let mut sealed = Vec::new();
        for family in [Family::Meta, Family::Data] {
            sealed.extend(self.place_lines(family, &mut pending, &mut header).await?);
        }
        for family in [Family::Meta, Family::Data] {
            let indexes = match family {
                Family::Data => &pending.indexes,
                Family::Meta => &pending.meta_indexes,
            };
            sealed.extend(self.committer.seal_indexes(family, indexes, &mut header).await?);
        }
        header.objects.extend(pending.objects);
        header.parts = sealed.iter().map(PartRef::of).collect();
        if let Some(Finish { report, .. }) = finish {
            header.set_point(PointHeader {
                started: report.started,
                finished: report.finished,
                status: report.status,
                counts: report.totals(),
                bytes_added: header.size().map(|parts| self.committer.added().bytes + parts),
                labels: self.shared().labels.clone(),
            });
        }
        self.committer.commit(header, &sealed, |header, after, known| self.may_follow(header, after, known)).await?;
        self.lock().durable_at = tokio::time::Instant::now();
        let map = self.committer.map();
        let is_short = is_finished && map.layouts < FEW_LAYOUTS;
        if map.since.len() >= if is_short { LAYOUT_EVERY } else { LAYOUT_SELDOM } {
            self.committer.write_layout().await;
        }
        Ok(())
    }

    /// Whether a commit may follow what others committed meanwhile.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if one of these commits moves a feed that this one moves, too, or gave up attachments that
    /// this session may take for held.
    fn may_follow(&self, header: &CommitHeader, after: &Map, known: u64) -> Result<()> {
        for commit in after.since.iter().filter(|commit| commit.sequence >= known) {
            if commit.feeds.iter().any(|feed| header.feeds.contains(feed)) {
                return Err(Error::new(ErrorKind::Conflict, "another writer has read the same feeds in the meantime")
                    .with_context("commit", commit.sequence));
            }
            if commit.erases {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "something was erased while this run was under way, which it may have read before; the next run goes on from here",
                )
                .with_context("commit", commit.sequence));
            }
            if commit.drops && self.relied.load(Ordering::Relaxed) {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "maintenance gave up attachments while this run relied on them; the next run goes on from here",
                )
                .with_context("commit", commit.sequence));
            }
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
        let domain = self.committer.month_domain(family_domain(family), header).await?;
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

    /// Sorts, compresses, checks, seals and uploads lines as a segment that no commit names yet.
    pub(super) async fn upload_segment(
        self: &Arc<Self>,
        family: Family,
        lines: LineBuffer,
        header: &mut impl Domains,
    ) -> Result<Option<(ObjectRef, SegmentIndex)>> {
        let room = self.committer.spare.take(lines.bytes() / 2);
        let file = blocking(move || build(&lines, room)).await?;
        let Some(file) = file else { return Ok(None) };
        self.committer.put_segment(family, file, None, header).await.map(Some)
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
