use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use saas_backup_core::{Digest, Error, ErrorKind, Result};

use super::file;
use super::map::{Broken, Map};
use crate::commit::{CommitHeader, Envelope, check_version, decode, header_hash};
use crate::crypto::{RootKey, SigningPurpose};
use crate::object::{Names, sequence_of};
use crate::roles::Roles;
use crate::store::Store;
use crate::writers::{Writer, read_writer};

/// Commits that are fetched at the same time.
const FETCHES: usize = 16;

/// Whose signatures count.
#[derive(Debug)]
pub(crate) struct Trust {
    /// The owner's key; `None` in a repository that nobody signs.
    root: Option<RootKey>,
    writers: Mutex<HashMap<String, Writer>>,
    roles: Mutex<Arc<Roles>>,
}

impl Trust {
    pub(crate) fn new(root: Option<RootKey>) -> Self {
        Self { root, writers: Mutex::default(), roles: Mutex::default() }
    }

    pub(crate) fn root(&self) -> Option<&RootKey> {
        self.root.as_ref()
    }

    /// Who reads and who writes, as far as it is known here.
    pub(crate) fn roles(&self) -> Arc<Roles> {
        Arc::clone(&self.roles.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes what the owner states, unless something newer is known; gives what holds.
    pub(crate) fn set_roles(&self, roles: Roles) -> Arc<Roles> {
        let mut known = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        if known.number <= roles.number {
            *known = Arc::new(roles);
        }
        Arc::clone(&known)
    }

    /// Checks that a writer that the owner vouches for signed an envelope; whether it may change what earlier commits
    /// say.
    pub(crate) async fn verify(
        &self,
        store: &dyn Store,
        purpose: SigningPurpose<'_>,
        writer: &str,
        envelope: &Envelope,
    ) -> Result<bool> {
        let Some(root) = &self.root else { return envelope.verify(purpose, None).map(|()| true) };
        let known = self.lock().get(writer).cloned();
        let writer = if let Some(known) = known {
            known
        } else {
            let found = read_writer(store, root, writer).await?;
            self.lock().insert(writer.to_owned(), found.clone());
            found
        };
        envelope.verify(purpose, Some(&writer.key))?;
        Ok(writer.maintains)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Writer>> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the map of a source.
#[derive(Clone, Debug)]
pub(crate) struct Loader {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) names: Names,
    pub(crate) trust: Arc<Trust>,
    pub(crate) repository: String,
    pub(crate) source: String,
}

/// Numbers of cut writes and of writers that were faster, at most; what lies farther ahead nobody wrote who follows the format.
const FARTHEST: u64 = 1_000_000;

/// The last number that is taken, at least `after`.
///
/// # Errors
///
/// [`ErrorKind::Integrity`] if it lies so far ahead that somebody put it there to use up the numbers.
pub(crate) fn check_near(last: u64, after: u64, name: impl Fn(u64) -> String) -> Result<u64> {
    if last.saturating_sub(after) <= FARTHEST && last < u64::MAX {
        return Ok(last.max(after));
    }
    let message =
        "an object lies far beyond the last one of its kind: somebody put it there; remove it from the storage";
    Err(Error::new(ErrorKind::Integrity, message).with_context("object", name(last)))
}

impl Loader {
    /// Reads what is new since `known`, or everything where that is no more fresh.
    ///
    /// Who knows commits believes only what continues them: where later ones were removed since, as upkeep does after a
    /// while, the source is to be opened anew.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnsupportedVersion`] if a commit is newer than this version. A broken chain is no error here:
    /// the map ends before it and says so.
    pub(crate) async fn load(&self, known: Option<Arc<Map>>) -> Result<Arc<Map>> {
        match known {
            Some(known) if known.is_fresh(self.names.now()) => self.extend(known, 0).await,
            _ => self.begin(false).await,
        }
    }

    /// Reads what is new since `known`, up to a number that is known to be taken at least, whether it is listed or not: a
    /// listing may be behind.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub(crate) async fn load_through(&self, known: Arc<Map>, taken: u64) -> Result<Arc<Map>> {
        self.extend(known, taken).await
    }

    /// Reads everything, going by what maintainers say alone: writers' layouts do not count.
    pub(crate) async fn load_maintained(&self) -> Result<Arc<Map>> {
        self.begin(true).await
    }

    async fn begin(&self, maintained: bool) -> Result<Arc<Map>> {
        let read_at = Some(self.names.now());
        let map = self.latest_layout(maintained).await?.unwrap_or_default();
        self.extend(Arc::new(Map { read_at, ..map }), 0).await
    }

    async fn extend(&self, mut map: Arc<Map>, taken: u64) -> Result<Arc<Map>> {
        map = self.extend_by_commits(map, taken).await?;
        // A timeline that reached further when somebody was revoked lost its end since.
        let roles = self.trust.roles();
        let next = map.next();
        if let Some(last) = roles.standing(&self.source).find(|last| last.sequence >= next)
            && map.broken.is_none()
        {
            let message = "the timeline was rolled back: it ends before a commit that stood when a writer was revoked";
            Arc::make_mut(&mut map).broken = Some(Broken { sequence: last.sequence, message: message.to_owned() });
        }
        Ok(map)
    }

    async fn extend_by_commits(&self, mut map: Arc<Map>, taken: u64) -> Result<Arc<Map>> {
        let from = map.head.as_ref().map(|head| head.sequence);
        let after = from.map(|sequence| self.names.commit(sequence));
        let mut sequences = self.sequences(&self.names.commits(), after.as_deref()).await?;
        sequences.extend(from.unwrap_or(0) + 1..=taken);
        sequences.retain(|sequence| from.is_none_or(|from| *sequence > from));
        sequences.sort_unstable();
        sequences.dedup();
        if sequences.is_empty() {
            return Ok(map);
        }
        let building = Arc::make_mut(&mut map);
        building.broken = None;
        let last = sequences.last().copied();
        let mut fetched = stream::iter(sequences)
            .map(|sequence| async move { (sequence, self.commit(sequence).await) })
            .buffered(FETCHES);
        let mut spoilt = Vec::new();
        while let Some((sequence, found)) = fetched.next().await {
            let checked = match found {
                Ok(None) => {
                    spoilt.push(sequence);
                    continue;
                }
                Ok(Some(found)) => self.check_chain(building, &found.1, &spoilt).map(|()| found),
                Err(error) => Err(error),
            };
            match checked {
                Ok((envelope, header, hash)) => {
                    spoilt.clear();
                    building.push(&self.names.commit(sequence), &header, hash, envelope.body_at, &envelope.body);
                }
                // What was before it can still be read.
                Err(error) if matches!(error.kind(), ErrorKind::Integrity | ErrorKind::NotFound) => {
                    building.broken = Some(Broken { sequence, message: error.to_string() });
                    return Ok(map);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(cut) = spoilt.first() {
            tracing::warn!(
                source = self.source,
                sequence = cut,
                last,
                "a commit was cut while it was written, or its writer was revoked before, and does not count"
            );
        }
        Ok(map)
    }

    /// The names that are taken, cut commits included, so that a writer takes one after them.
    pub(crate) async fn last_taken(&self, after: u64) -> Result<u64> {
        let after_name = self.names.commit(after);
        let after_name = (after > 0).then_some(after_name.as_str());
        let last = self.sequences(&self.names.commits(), after_name).await?.last().copied();
        check_near(last.unwrap_or(after), after, |last| self.names.commit(last))
    }

    pub(crate) async fn sequences(&self, folder: &str, after: Option<&str>) -> Result<Vec<u64>> {
        let mut sequences: Vec<u64> = self
            .store
            .list(folder, after)
            .try_filter_map(|entry| async move { Ok(sequence_of(&entry.name)) })
            .try_collect()
            .await?;
        sequences.sort_unstable();
        sequences.dedup();
        Ok(sequences)
    }

    async fn latest_layout(&self, maintained: bool) -> Result<Option<Map>> {
        // A layout that is cut or was changed costs time and nothing else: the one before it leads to the same map.
        let found = self.sequences(&self.names.layouts(), None).await?;
        for sequence in found.iter().rev().copied() {
            match self.believed_layout(sequence).await {
                Ok((_, false)) if maintained => {}
                Ok((map, _)) => return Ok(Some(Map { layouts: found.len(), ..map })),
                Err(error) if matches!(error.kind(), ErrorKind::Integrity | ErrorKind::NotFound) => {
                    tracing::warn!(source = self.source, sequence, %error, "a layout is passed over");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// A layout of somebody who may write still: what another one says of the past could be made up since.
    async fn believed_layout(&self, sequence: u64) -> Result<(Map, bool)> {
        let object = self.store.get(&self.names.layout(sequence), None).await?;
        if self.trust.roles().revocation(&file::writer_of(&decode(&object)?)?).is_some() {
            return Err(Error::new(ErrorKind::Integrity, "the layout is that of a writer that was revoked"));
        }
        self.read_layout(sequence, &object).await
    }

    /// A layout, and whether a maintainer wrote it.
    pub(crate) async fn layout(&self, sequence: u64) -> Result<(Map, bool)> {
        self.read_layout(sequence, &self.store.get(&self.names.layout(sequence), None).await?).await
    }

    /// A layout out of its object, and whether a maintainer wrote it.
    pub(crate) async fn read_layout(&self, sequence: u64, object: &Bytes) -> Result<(Map, bool)> {
        let name = self.names.layout(sequence);
        let envelope = decode(object)?;
        let writer = file::writer_of(&envelope)?;
        let maintained = self.trust.verify(&*self.store, SigningPurpose::Layout, &writer, &envelope).await?;
        file::read(&envelope, &self.repository, &self.source, sequence)
            .map(|map| (map, maintained))
            .map_err(|error| error.with_context("object", name))
    }

    /// What the signatures of this source's commits are about.
    pub(crate) fn commits(&self) -> SigningPurpose<'_> {
        SigningPurpose::Commit { repository: &self.repository, source: &self.source }
    }

    /// Reads one commit; `None` if it does not count: it was cut while it was written, or its writer was revoked before.
    pub(crate) async fn commit(&self, sequence: u64) -> Result<Option<(Envelope, CommitHeader, Digest)>> {
        self.read_commit(sequence, self.store.get(&self.names.commit(sequence), None).await?).await
    }

    /// A commit out of its object; `None` if it does not count.
    pub(crate) async fn read_commit(
        &self,
        sequence: u64,
        object: Bytes,
    ) -> Result<Option<(Envelope, CommitHeader, Digest)>> {
        let name = self.names.commit(sequence);
        let Ok(envelope) = decode(&object) else { return Ok(None) };
        let broken = |what: &'static str| Error::new(ErrorKind::Integrity, what).with_context("object", &name);
        check_version(&envelope.header).map_err(|error| error.with_context("object", &name))?;
        let header: CommitHeader =
            serde_json::from_slice(&envelope.header).map_err(|_| broken("the commit is damaged"))?;
        let verified = self.trust.verify(&*self.store, self.commits(), &header.writer, &envelope).await;
        let maintains = verified.map_err(|error| error.with_context("object", &name))?;
        if header.maintenance.is_some() && !maintains {
            return Err(broken("a writer that may not maintain says what became of earlier commits"));
        }
        // Their lines carry numbers of their own: they would say what was true at points that are long past.
        if header.maintenance.is_none() && header.objects.iter().any(|object| object.covers.is_some()) {
            return Err(broken("a commit that says nothing of earlier ones brings their lines"));
        }
        // Where somebody signs, the signature tells the repository and the source.
        let (repository, source) =
            if self.trust.root().is_some() { ("", "") } else { (self.repository.as_str(), self.source.as_str()) };
        if (header.repository.as_str(), header.source.as_str(), header.sequence) != (repository, source, sequence) {
            return Err(broken("the commit belongs somewhere else"));
        }
        match header.size() {
            Some(length) if length == envelope.body.len() as u64 => {}
            Some(length) if length > envelope.body.len() as u64 => return Ok(None),
            _ => return Err(broken("the commit is longer than it says")),
        }
        let hash = header_hash(&envelope.header);
        let admitted = self.trust.roles().admits(&self.source, &header.writer, sequence, hash);
        let admitted = admitted.map_err(|error| error.with_context("object", &name))?;
        Ok(admitted.then_some((envelope, header, hash)))
    }

    fn check_chain(&self, map: &Map, header: &CommitHeader, spoilt: &[u64]) -> Result<()> {
        let expected = map.head.as_ref().map(super::map::Head::as_parent);
        if header.parent == expected {
            return Ok(());
        }
        let error = Error::new(ErrorKind::Integrity, "the chain of commits is broken: one is missing or was changed")
            .with_context("object", self.names.commit(header.sequence));
        Err(match spoilt.first() {
            Some(cut) => error.with_context("cut", self.names.commit(*cut)),
            None => error,
        })
    }
}
