use std::collections::{BTreeMap, BTreeSet};

use saas_backup_core::{CollectionName, Deletion, DeletionReason, Error, ErrorKind, Key, Line, LineCodec, Result};

use super::find::{Concerned, find};
use super::subject::Subject;
use crate::commit::{CommitHeader, Erases, Maintenance, PartKind};
use crate::committer::Sealed;
use crate::crypto::{DomainKind, Keyring};
use crate::layout::Map;
use crate::object::{Family, compress, month};
use crate::points::is_on_hold;
use crate::read::blocking;
use crate::reserved;
use crate::sink::HeldRow;
use crate::source::Source;
use crate::upkeep::{Maintainer, said};

/// The bases of the Open Export Protocol, §12.
const BASES: [&str; 6] = ["data-subject-request", "retention", "contract-end", "court-order", "unlawful", "other"];

/// How to erase.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EraseOptions {
    /// The id of the request, such as the number of a ticket. It stands in the clear in the timeline, and in receipts: no
    /// personal data.
    pub request: String,
    /// Why: `data-subject-request`, `retention`, `contract-end`, `court-order`, `unlawful`, `other`. Default: the first.
    pub basis: String,
    /// Erases although a point is on legal hold: has the label `legal-hold`, or `legal-hold:…`. Default: no.
    pub despite_hold: bool,
    /// Only says what would be erased. Default: no.
    pub dry_run: bool,
}

impl EraseOptions {
    /// An erasure for a request, which is made by the person concerned unless something else is said.
    pub fn new(request: impl Into<String>) -> Self {
        let basis = BASES.first().copied().unwrap_or_default().to_owned();
        Self { request: request.into(), basis, despite_hold: false, dry_run: false }
    }

    /// Says why.
    #[must_use]
    pub fn with_basis(mut self, basis: impl Into<String>) -> Self {
        self.basis = basis.into();
        self
    }

    /// Erases although a point is on legal hold.
    #[must_use]
    pub fn with_despite_hold(mut self, despite_hold: bool) -> Self {
        self.despite_hold = despite_hold;
        self
    }

    /// Only says what would be erased.
    #[must_use]
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    fn check(&self) -> Result<()> {
        let refused = |what| Err(Error::new(ErrorKind::Configuration, what));
        if self.request.is_empty() || self.request.len() > 200 || self.request.chars().any(char::is_control) {
            return refused("an erasure needs the id of its request: 1 to 200 bytes in one line");
        }
        if !BASES.contains(&self.basis.as_str()) {
            return Err(Error::new(ErrorKind::Configuration, "this is no basis of an erasure")
                .with_context("known", BASES.join(", ")));
        }
        Ok(())
    }
}

impl Source {
    /// Erases what concerns a subject, from every point in time: from the moment that this returns, no reader sees any of
    /// it. Gives what it was.
    ///
    /// The bytes are there until [`compact`](Self::compact) has written everything else anew and
    /// [`collect`](Self::collect) has removed what held them, together with their keys;
    /// [`erasures`](Self::erasures) says how far that is. Until then their records are hidden by a list that is encrypted
    /// to what is destroyed in the end. A backup that is under way ends with a conflict, for it may have read them; the
    /// next one goes on. What the source of the backups still has comes back with its next change or full read: erase
    /// there first. `progress` is called with the number of records that were looked at. Cancel safe: it happens or does
    /// not.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] without the owner's identity; [`ErrorKind::Configuration`] if the subject names
    /// nothing, or the options are wrong; [`ErrorKind::LimitExceeded`] for more than a million records and attachments;
    /// [`ErrorKind::Conflict`] if a point is on legal hold, or a backup or another maintainer was faster.
    pub async fn erase(
        &self,
        subject: &Subject,
        options: &EraseOptions,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Concerned> {
        options.check()?;
        let maintainer = Maintainer::open(self).await?;
        let map = maintainer.map();
        let found = find(&self.shared, &map, subject, progress).await?;
        if options.dry_run || found.is_empty() {
            return Ok(found);
        }
        if let Some((point, ..)) = map.points.iter().find(|(_, _, point)| is_on_hold(&point.labels))
            && !options.despite_hold
        {
            return Err(Error::new(
                ErrorKind::Conflict,
                "a point in time is on legal hold: nothing is erased from it unless somebody who may decide that says so",
            )
            .with_context("point", point));
        }
        let mut header = maintainer.header();
        let mut parts = vec![self.seal_keys(&maintainer, found.keys()?).await?];
        parts.extend(self.seal_held(&maintainer, &map, &found, &mut header).await?);
        let erases = Erases {
            request: options.request.clone(),
            basis: options.basis.clone(),
            records: found.records.len() as u64,
            lines: found.lines(),
            attachments: found.attachments.len() as u64,
        };
        let maintenance = Maintenance { erases: Some(erases), ..Maintenance::default() };
        // What a backup in between wrote was not looked at, and it counts what is held, too.
        maintainer.commit_next(said(header, maintenance, &parts), &parts).await?;
        Ok(found)
    }

    /// The list of what does not count any more, in a domain of its own that goes with it.
    async fn seal_keys(&self, maintainer: &Maintainer, keys: BTreeSet<Key>) -> Result<Sealed> {
        let shared = &self.shared;
        let domain = if shared.keyring.is_encrypted() {
            let (to, month) = (shared.audience().await?, month(shared.clock.now()));
            Some(maintainer.committer.make_domain(DomainKind::Meta, month, &to).await?)
        } else {
            None
        };
        let sealer = Keyring::sealer(domain.as_ref());
        let bytes = blocking(move || {
            let mut text = Vec::new();
            for key in keys {
                let line = Line::Delete(Deletion::new(key, DeletionReason::Erased));
                LineCodec::stored().encode(&line, &mut text)?;
                text.push(b'\n');
            }
            sealer.seal(compress(&text)?)
        })
        .await?;
        Ok(Sealed { kind: PartKind::Erased, bytes, domain: domain.map(|domain| domain.id) })
    }

    /// The table of what is held, without what is erased.
    async fn seal_held(
        &self,
        maintainer: &Maintainer,
        map: &Map,
        found: &Concerned,
        header: &mut CommitHeader,
    ) -> Result<Option<Sealed>> {
        let key = reserved::key(reserved::HELD, reserved::ONLY)?;
        let line = self.shared.access.lookup(map, Family::Meta, &key, map.next()).await?;
        let Some(line) = line.filter(|line| !line.is_deletion()) else { return Ok(None) };
        let mut held: HeldRow = reserved::value(&line.text)?;
        let mut records_gone: BTreeMap<&CollectionName, u64> = BTreeMap::new();
        for record in found.records.iter().filter(|record| record.live) {
            *records_gone.entry(&record.key.collection).or_default() += 1;
        }
        for (collection, gone) in records_gone {
            let records = held.collections.get_mut(collection).and_then(|held| held.records.as_mut());
            if let Some(records) = records {
                *records = records.saturating_sub(gone);
            }
        }
        for attachment in &found.attachments {
            if let (Some(held), Some(size)) = (held.collections.get_mut(&attachment.collection), attachment.size) {
                held.blobs = held.blobs.saturating_sub(1);
                held.blob_bytes = held.blob_bytes.saturating_sub(size);
            }
        }
        let mut text = reserved::line(key, &held)?.to_vec();
        text.push(b'\n');
        maintainer.committer.seal_part(PartKind::Meta, Family::Meta, text, header).await.map(Some)
    }
}
