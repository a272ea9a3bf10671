//! Making objects and commits: what a session that writes and a maintainer share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use saas_backup_core::{Digest, Error, ErrorKind, Result};

use crate::commit::{CommitHeader, Covers, ObjectKind, ObjectRef, PartKind, PartRef, decode, encode};
use crate::crypto::{Audience, Domain, DomainKind, Keyring, NamingKey, Sealer, Signer};
use crate::layout::{self, Author, Map};
use crate::object::{Family, SegmentFile, SegmentIndex, Spare, compress, month, ulid_of};
use crate::read::{BlobPart, blocking};
use crate::roles::refresh;
use crate::source::{Shared, WritingKeys};
use crate::store::{Owner, create};

/// A sealed segment from this size on has a domain of its own.
const OWN_DOMAIN_BYTES: usize = 8 * 1024 * 1024;
/// Attachments below this size lie in packs; a pack from this size on has a domain of its own.
pub(crate) const PACKED_BYTES: usize = 1024 * 1024;
/// Plain bytes after which a pack is written.
pub(crate) const PACK_BYTES: usize = 7 * 1024 * 1024;
/// Numbers that are tried when others are faster.
const REBASES: usize = 16;

/// Makes objects, and the commits that name them.
#[derive(Debug)]
pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) naming: NamingKey,
    pub(crate) spare: Arc<Spare>,
    signer: Option<Signer>,
    writer_id: String,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    map: Arc<Map>,
    /// Domains that were made and are not in a commit yet.
    domains: Vec<Domain>,
    added: Added,
}

/// What was added to the storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) bytes: u64,
    pub(crate) objects: u64,
}

/// A part before it has a place.
pub(crate) struct Sealed {
    pub(crate) kind: PartKind,
    pub(crate) bytes: Vec<u8>,
    pub(crate) domain: Option<String>,
}

impl PartRef {
    /// A part that is sealed.
    pub(crate) fn of(part: &Sealed) -> Self {
        let (size, sha256) = (part.bytes.len() as u64, Digest::of(&part.bytes));
        Self { kind: part.kind, size, sha256, domain: part.domain.clone() }
    }
}

impl Committer {
    pub(crate) async fn open(shared: Arc<Shared>, writing: WritingKeys, map: Arc<Map>) -> Result<Self> {
        map.check()?;
        let naming = shared.keyring.naming_key(&writing.audience, map.naming()).await?;
        Self::with_naming(shared, writing, map, naming)
    }

    /// One that goes by another naming key than the source does up to now.
    pub(crate) fn with_naming(
        shared: Arc<Shared>,
        writing: WritingKeys,
        map: Arc<Map>,
        naming: NamingKey,
    ) -> Result<Self> {
        map.check()?;
        Ok(Self {
            naming,
            spare: Arc::default(),
            signer: writing.signer,
            writer_id: writing.id,
            inner: Mutex::new(Inner { map, domains: Vec::new(), added: Added::default() }),
            shared,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was noted by a naming key that somebody replaced would be taken for noted by the other.
    fn check_naming(&self, header: &CommitHeader, map: &Map) -> Result<()> {
        let is_other = map.naming().is_some_and(|mark| mark != self.naming.mark());
        if header.naming.is_empty() && is_other {
            return Err(Error::new(
                ErrorKind::Conflict,
                "the naming key of the source was lost, and another one took its place; begin a new run",
            ));
        }
        Ok(())
    }

    /// The source as the last commit left it, those of this committer included.
    pub(crate) fn map(&self) -> Arc<Map> {
        Arc::clone(&self.lock().map)
    }

    /// Who signs what this committer makes.
    pub(crate) fn signs(&self) -> (&str, Option<&Signer>) {
        (&self.writer_id, self.signer.as_ref())
    }

    pub(crate) fn added(&self) -> Added {
        self.lock().added
    }

    /// The domains that were made since the last commit; the next one introduces them.
    pub(crate) fn take_domains(&self) -> Vec<Domain> {
        std::mem::take(&mut self.lock().domains)
    }

    /// A commit that says nothing yet.
    pub(crate) fn header(&self, run: saas_backup_core::RunId) -> CommitHeader {
        let is_signed = self.signer.is_some();
        CommitHeader {
            format: 1,
            requires: Vec::new(),
            repository: if is_signed { String::new() } else { self.shared.repository.clone() },
            source: if is_signed { String::new() } else { self.shared.name.clone() },
            sequence: 0,
            nonce: String::new(),
            parent: None,
            run,
            at: self.shared.clock.now(),
            writer: self.writer_id.clone(),
            naming: Some(self.naming.mark()).filter(|mark| self.map().naming() != Some(mark)).unwrap_or_default(),
            point: None,
            feeds: Vec::new(),
            maintenance: None,
            domains: Vec::new(),
            objects: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// Seals and uploads a segment that no commit names yet.
    pub(crate) async fn put_segment(
        &self,
        family: Family,
        file: SegmentFile,
        covers: Option<Covers>,
        header: &mut impl Domains,
    ) -> Result<(ObjectRef, SegmentIndex)> {
        let kind = family_domain(family);
        let domain = if file.bytes.len() >= OWN_DOMAIN_BYTES && self.shared.keyring.is_encrypted() {
            let month = month(self.shared.clock.now());
            Some(self.make_domain(kind, month, &self.shared.audience().await?).await?)
        } else {
            self.month_domain(kind, header).await?
        };
        let seal = Keyring::sealer(domain.as_ref());
        let SegmentFile { bytes, mut index } = file;
        let (bytes, sha256, head) = self.seal(seal, bytes).await?;
        let (name, kind) = match family {
            Family::Data => (self.shared.names.segment(), ObjectKind::Segment),
            Family::Meta => (self.shared.names.meta_segment(), ObjectKind::MetaSegment),
        };
        index.object.clone_from(&name);
        index.set_head(&head);
        let size = bytes.len() as u64;
        self.put(&name, bytes).await?;
        let object = ObjectRef::new(name, kind, size, sha256, domain.map(|domain| domain.id));
        Ok((ObjectRef { covers, ..object }, index))
    }

    /// The part of a commit that holds the indexes of its segments of a family; `None` if it has none.
    pub(crate) async fn seal_indexes(
        &self,
        family: Family,
        indexes: &[SegmentIndex],
        header: &mut CommitHeader,
    ) -> Result<Option<Sealed>> {
        if indexes.is_empty() {
            return Ok(None);
        }
        let mut text = Vec::new();
        for index in indexes {
            serde_json::to_writer(&mut text, index)?;
            text.push(b'\n');
        }
        let kind = match family {
            Family::Data => PartKind::Index,
            Family::Meta => PartKind::MetaIndex,
        };
        self.seal_part(kind, family, text, header).await.map(Some)
    }

    /// Compresses and seals what is a part of a commit.
    pub(crate) async fn seal_part(
        &self,
        kind: PartKind,
        family: Family,
        text: Vec<u8>,
        header: &mut CommitHeader,
    ) -> Result<Sealed> {
        let (bytes, domain) = self.seal_text(family, text, header).await?;
        Ok(Sealed { kind, bytes, domain })
    }

    /// Compresses and seals some text; gives it with the domain that it is sealed to.
    pub(crate) async fn seal_text(
        &self,
        family: Family,
        text: Vec<u8>,
        header: &mut CommitHeader,
    ) -> Result<(Vec<u8>, Option<String>)> {
        let domain = self.month_domain(family_domain(family), header).await?;
        let sealer = Keyring::sealer(domain.as_ref());
        let bytes = blocking(move || sealer.seal(compress(&text)?)).await?;
        Ok((bytes, domain.map(|domain| domain.id)))
    }

    /// Seals a large object; gives it with its digest, and what a reader of ranges needs.
    pub(crate) async fn seal(&self, to: Sealer, plain: Vec<u8>) -> Result<(Bytes, Digest, Bytes)> {
        let spare = Arc::clone(&self.spare);
        blocking(move || {
            let (sealed, sha256) = if to.is_plain() {
                let sha256 = Digest::of(&plain);
                (plain, sha256)
            } else {
                let mut sealing = to.begin(plain.len(), |capacity| spare.take(capacity))?;
                sealing.push(&plain)?;
                spare.give(plain);
                sealing.finish()?
            };
            let head = to.head(&sealed)?;
            Ok((Bytes::from(sealed), sha256, head))
        })
        .await
    }

    /// Seals and uploads a pack that no commit names yet; gives what a part of an attachment says of it.
    pub(crate) async fn put_pack(&self, plain: Vec<u8>, domains: &mut impl Domains) -> Result<(ObjectRef, BlobPart)> {
        let domain = match (self.shared.keyring.is_encrypted(), plain.len() >= PACKED_BYTES) {
            (false, _) => None,
            (true, true) => {
                Some(self.make_domain(DomainKind::Data, month(self.shared.clock.now()), &self.shared.owners()).await?)
            }
            (true, false) => self.month_domain(DomainKind::Data, domains).await?,
        };
        let (sealed, sha256, head) = self.seal(Keyring::sealer(domain.as_ref()), plain).await?;
        let (object, stored) = (self.shared.names.pack(), sealed.len() as u64);
        let domain = domain.map(|domain| domain.id);
        self.put(&object, sealed).await?;
        let pack = ObjectRef::new(object.clone(), ObjectKind::Pack, stored, sha256, domain.clone());
        let head = STANDARD.encode(head);
        let (at, size, length, zstd, sha256) = Default::default();
        Ok((pack, BlobPart { object, at, size, length, zstd, stored, sha256, domain, head }))
    }

    /// Uploads an object and counts it.
    pub(crate) async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        let size = bytes.len() as u64;
        self.shared.store.put(name, bytes.clone()).await?;
        self.spare.give_bytes(bytes);
        self.count(size);
        Ok(())
    }

    fn count(&self, bytes: u64) {
        let added = &mut self.lock().added;
        added.bytes += bytes;
        added.objects += 1;
    }

    /// A domain of its own for what is large.
    pub(crate) async fn make_domain(&self, kind: DomainKind, month: String, to: &Audience) -> Result<Domain> {
        self.shared.keyring.make(self.shared.names.ulid(), kind, month, to).await
    }

    /// The domain that small things of this month share; made, and introduced by `header`, if there is none.
    pub(crate) async fn month_domain(&self, kind: DomainKind, header: &mut impl Domains) -> Result<Option<Domain>> {
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
            let roles = self.shared.loader.trust.roles();
            let shared = || inner.map.domain(kind, &month).filter(|domain| roles.may_share(&domain.id));
            if let Some(domain) = made.or_else(shared) {
                return Ok(Some(domain.clone()));
            }
        }
        let domain = self.make_domain(kind, month, &self.shared.audience().await?).await?;
        header.add(domain.clone());
        Ok(Some(domain))
    }

    /// Creates a commit under the next free number.
    ///
    /// `accept` is asked whether it may follow what others committed meanwhile: the map with that, and the number from
    /// which on it is new.
    ///
    /// # Errors
    ///
    /// What `accept` says; [`ErrorKind::Conflict`] if others are always faster, or if objects of this commit were swept
    /// away because they waited too long for it.
    pub(crate) async fn commit(
        &self,
        mut header: CommitHeader,
        parts: &[Sealed],
        accept: impl Fn(&CommitHeader, &Map, u64) -> Result<()>,
    ) -> Result<()> {
        if parts.iter().all(|part| part.domain.is_none()) {
            header.nonce = self.shared.names.ulid().to_string();
        }
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.bytes.as_slice()).collect();
        for _ in 0..REBASES {
            let map = self.map();
            check_swept(&header, &map)?;
            self.check_naming(&header, &map)?;
            header.sequence = self.shared.loader.last_taken(map.next() - 1).await? + 1;
            if header.sequence > map.next() {
                // Somebody was faster, or a write was cut: look before taking the number after it.
                if self.rebase(&header, header.sequence - 1, &accept).await? {
                    continue;
                }
            }
            header.parent = map.head.as_ref().map(layout::Head::as_parent);
            let name = self.shared.names.commit(header.sequence);
            let stated = map.without_known_domains(&header);
            let (object, sha256) = encode(&stated, self.shared.loader.commits(), self.signer.as_ref(), &parts)?;
            let envelope = decode(&object)?;
            // The nonce in the header, or the digest of what is sealed, tells our commit from every other.
            let is_ours = |found: &Bytes| decode(found).is_ok_and(|found| found.header == envelope.header);
            match create(&*self.shared.store, &name, &object, is_ours).await? {
                Owner::Us => {
                    self.count(object.len() as u64);
                    let mut inner = self.lock();
                    let map = Arc::make_mut(&mut inner.map);
                    map.push(&name, &stated, sha256, envelope.body_at, &envelope.body);
                    return Ok(());
                }
                Owner::Them(_) => {
                    self.rebase(&header, header.sequence, &accept).await?;
                }
            }
        }
        Err(Error::new(ErrorKind::Conflict, "other writers of this source are always faster; try again later"))
    }

    /// The source with what others committed meanwhile; this committer builds on it from now on.
    pub(crate) async fn reload(&self) -> Result<Arc<Map>> {
        let after = self.read_on(0).await?;
        self.lock().map = Arc::clone(&after);
        Ok(after)
    }

    async fn read_on(&self, taken: u64) -> Result<Arc<Map>> {
        // Nobody builds on a commit of a writer that was revoked meanwhile.
        refresh(&*self.shared.store, &self.shared.repository, &self.shared.loader.trust).await?;
        let after = self.shared.loader.load_through(self.map(), taken).await?;
        after.check()?;
        Ok(after)
    }

    /// Takes over what others committed meanwhile, at least up to a number that is taken; whether that was anything.
    async fn rebase(
        &self,
        header: &CommitHeader,
        taken: u64,
        accept: &impl Fn(&CommitHeader, &Map, u64) -> Result<()>,
    ) -> Result<bool> {
        let known = self.map().next();
        let after = self.read_on(taken).await?;
        let is_news = after.next() > known;
        if is_news {
            accept(header, &after, known)?;
        }
        self.lock().map = after;
        Ok(is_news)
    }

    /// Writes a layout. It saves time and is no part of the commit: a failure is told and changes nothing.
    pub(crate) async fn write_layout(&self) {
        let map = self.map();
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

/// Objects that waited too long for their commit were taken for nobody's.
fn check_swept(header: &CommitHeader, map: &Map) -> Result<()> {
    let Some(swept) = &map.upkeep.swept else { return Ok(()) };
    let objects = header.objects.iter().map(|object| object.name.as_str());
    let parts = header.parts.iter().filter_map(|part| part.domain.as_deref());
    let used = header.objects.iter().filter_map(|object| object.domain.as_deref()).chain(parts);
    // Domains that an earlier commit introduced are somebody's.
    let domains = used.filter(|id| map.domains.iter().all(|domain| domain.id != *id));
    match objects.chain(domains).find(|name| ulid_of(name).is_some_and(|ulid| ulid < swept.as_str())) {
        None => Ok(()),
        Some(name) => Err(Error::new(
            ErrorKind::Conflict,
            "what this run uploaded was swept away before it was committed: it was interrupted for long, or the clock is behind; begin a new run",
        )
        .with_context("object", name)),
    }
}

/// Where domains that were just made are noted until a commit introduces them.
pub(crate) trait Domains: Send {
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

/// Notes domains until the next commit introduces them.
pub(crate) struct Later<'a>(pub(crate) &'a Committer);

impl Domains for Later<'_> {
    fn find(&self, _: DomainKind, _: &str) -> Option<Domain> {
        None
    }

    fn add(&mut self, domain: Domain) {
        self.0.lock().domains.push(domain);
    }
}

pub(crate) fn family_domain(family: Family) -> DomainKind {
    match family {
        Family::Data => DomainKind::Data,
        Family::Meta => DomainKind::Meta,
    }
}
