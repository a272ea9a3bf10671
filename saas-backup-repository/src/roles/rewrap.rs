use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use saas_backup_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::key_objects::{KeyObjects, is_its_own, opened, rewriting};
use crate::crypto::{Audience, DomainKind, Identity, Sealer, Unsealer, wrapped};
use crate::repository::Repository;
use crate::source::Shared;
use crate::verify::VerifyProblem;
use crate::writers;

/// Key objects that are read or written at the same time.
const AT_ONCE: usize = 8;
/// Key objects that are rewritten before the next ones are looked at.
const BATCH: usize = 1000;

/// How to rewrite key objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RewrapOptions {
    /// Only says what would be rewritten. Default: no.
    pub dry_run: bool,
}

impl RewrapOptions {
    /// Only says what would be rewritten.
    #[must_use]
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

/// What rewriting did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rewrapped {
    /// Key objects that were looked at.
    pub objects: u64,
    /// Those that were encrypted to others than they should be, and were rewritten.
    pub rewritten: u64,
    /// Those that the storage's credentials may not replace; they stay as they are.
    pub denied: u64,
    /// Those of which the storage keeps what they were before, which it does not let anybody remove yet; to be tried again.
    pub kept: u64,
    /// Those that do not open, and so could not be rewritten; those that nothing needs are left out.
    pub problems: Vec<VerifyProblem>,
}

/// A secret that is about to be rewritten.
#[derive(Serialize, Deserialize)]
struct Kept {
    object: String,
    kind: DomainKind,
    secret: String,
}

impl Repository {
    /// Encrypts the keys of all sources to those who read and write now, as far as they are encrypted to others. Nothing else
    /// is touched: no record and no attachment is read or written.
    ///
    /// To be called after [`add_recipient`](Self::add_recipient), [`remove_recipient`](Self::remove_recipient),
    /// [`add_writer`](Self::add_writer) and [`revoke_writer`](Self::revoke_writer), and again if a writer that did not know
    /// yet was at work meanwhile: each call finds what is left. Before key objects are replaced their secrets are kept in
    /// another one, sealed to the identity at hand: a write that is cut loses none, and the next call mends it. `progress`
    /// is called after each batch. Cancel safe; what is left is rewritten the next time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] without an identity; [`ErrorKind::Configuration`] if the repository is not encrypted.
    pub async fn rewrap(
        &self,
        options: &RewrapOptions,
        progress: &mut (dyn FnMut(&Rewrapped) + Send),
    ) -> Result<Rewrapped> {
        if !self.is_encrypted() {
            return Err(Error::new(ErrorKind::Configuration, "the repository is not encrypted: it has no keys"));
        }
        let identity = self.keys().identity.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::PermissionDenied, "rewriting keys takes an identity that opens them")
        })?;
        let audience = writers::audience(&**self.store(), self.id(), self.trust()).await?;
        let mut done = Rewrapped::default();
        for source in self.sources().await? {
            let shared = Arc::clone(&self.unread(&source).shared);
            let work = Work { shared, audience: &audience, identity, dry_run: options.dry_run };
            work.rewrap(&mut done, progress).await?;
        }
        Ok(done)
    }
}

/// Ends what an interrupted rewriting left of a source: secrets that lie beside their objects would outlive them.
pub(crate) async fn settle(shared: &Arc<Shared>) -> Result<()> {
    let Some(identity) = &shared.keys.identity else { return Ok(()) };
    let audience = shared.audience().await?;
    let work = Work { shared: Arc::clone(shared), audience: &audience, identity, dry_run: false };
    for left in KeyObjects::of(shared).await?.rewriting {
        work.mend(&left, &mut Rewrapped::default()).await?;
    }
    Ok(())
}

struct Work<'a> {
    shared: Arc<Shared>,
    audience: &'a Audience,
    identity: &'a Identity,
    dry_run: bool,
}

impl Work<'_> {
    async fn rewrap(&self, done: &mut Rewrapped, progress: &mut (dyn FnMut(&Rewrapped) + Send)) -> Result<()> {
        let keys = KeyObjects::of(&self.shared).await?;
        if !self.dry_run {
            for left in &keys.rewriting {
                self.mend(left, done).await?;
            }
        }
        let names: Vec<&String> = keys.present.iter().collect();
        for batch in names.chunks(BATCH) {
            // Futures that are made before they are polled: a closure in the stream would not be `Send` for all lifetimes.
            let looks: Vec<_> =
                batch.iter().map(|name| async move { (*name, opened(&self.shared, name).await) }).collect();
            let found: Vec<_> = stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
            let (mut outdated, mut good) = (Vec::new(), Vec::new());
            for (name, found) in found {
                done.objects += 1;
                match found {
                    Ok((secret, said)) => {
                        good.push(name);
                        let kind = keys.kind(name, said.as_ref());
                        if said.is_none_or(|said| !said.is_for(kind, self.audience)) {
                            let secret = String::from_utf8_lossy(&secret).into_owned();
                            outdated.push(Kept { object: name.clone(), kind, secret });
                        }
                    }
                    // What nothing names, a writer that was stopped left behind, or it was removed just now.
                    Err(error) if is_its_own(&error) => {
                        if keys.named.contains_key(name) {
                            done.problems.push(VerifyProblem::new(name, &error));
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
            if self.dry_run {
                done.rewritten += outdated.len() as u64;
            } else if !outdated.is_empty() {
                self.rewrite(outdated, done).await?;
            }
            if !self.dry_run && self.shared.store.keeps_versions() {
                self.prune(good, done).await?;
            }
            progress(done);
        }
        Ok(())
    }

    /// Replaces key objects, with their secrets in safety meanwhile.
    async fn rewrite(&self, outdated: Vec<Kept>, done: &mut Rewrapped) -> Result<()> {
        let safe = rewriting(&self.shared);
        let sealer = Sealer::Age(vec![self.identity.recipient().to_string()]);
        self.shared.store.put(&safe, Bytes::from(sealer.seal(serde_json::to_vec(&outdated)?)?)).await?;
        self.replace(outdated, done).await?;
        self.remove(&safe).await
    }

    /// Writes key objects anew, and reads back what was written.
    async fn replace(&self, outdated: Vec<Kept>, done: &mut Rewrapped) -> Result<()> {
        let store = &self.shared.store;
        let writes: Vec<_> = outdated
            .into_iter()
            .map(|kept| async move {
                let object = wrapped(kept.kind, self.audience, Zeroizing::new(kept.secret).as_bytes())?;
                // One that was destroyed in the meantime stays destroyed.
                match store.size(&kept.object).await {
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                    size => size?,
                };
                match store.put(&kept.object, object.clone()).await {
                    Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(Some(false)),
                    put => put?,
                }
                if store.get(&kept.object, None).await? == object {
                    return Ok(Some(true));
                }
                Err(Error::new(ErrorKind::Conflict, "somebody else rewrites the same keys; try again")
                    .with_context("object", kept.object))
            })
            .collect();
        let written: Vec<Option<bool>> = stream::iter(writes).buffer_unordered(AT_ONCE).try_collect().await?;
        done.rewritten += written.iter().filter(|written| **written == Some(true)).count() as u64;
        done.denied += written.iter().filter(|written| **written == Some(false)).count() as u64;
        Ok(())
    }

    /// Removes what key objects were before: it opens for whom it was encrypted to.
    async fn prune(&self, names: Vec<&String>, done: &mut Rewrapped) -> Result<()> {
        let prunes: Vec<_> = names
            .into_iter()
            .map(|name| async move {
                match self.shared.store.prune(name).await {
                    Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(1),
                    pruned => pruned.map(|()| 0),
                }
            })
            .collect();
        let kept: Vec<u64> = stream::iter(prunes).buffer_unordered(AT_ONCE).try_collect().await?;
        done.kept += kept.iter().sum::<u64>();
        Ok(())
    }

    /// Brings back what an interrupted rewriting cut.
    async fn mend(&self, safe: &str, done: &mut Rewrapped) -> Result<()> {
        let unsealer = Unsealer::from_key(self.identity.secret().expose())?;
        let kept = self.shared.store.get(safe, None).await.and_then(|object| unsealer.open(object));
        let kept: Vec<Kept> = match kept.and_then(|text| Ok(serde_json::from_slice(&text)?)) {
            Ok(kept) => kept,
            // Cut itself: then nothing was replaced yet. Or another identity's, which mends it.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(()),
            Err(error) if is_its_own(&error) => return self.remove(safe).await,
            Err(error) => return Err(error),
        };
        let mut cut = Vec::new();
        for kept in kept {
            match opened(&self.shared, &kept.object).await {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if is_its_own(&error) => cut.push(kept),
                found => drop(found?),
            }
        }
        self.replace(cut, done).await?;
        self.remove(safe).await
    }

    /// Removes what is not needed any more; where that is denied, only the identity that made it opens it.
    async fn remove(&self, safe: &str) -> Result<()> {
        match self.shared.store.delete(safe).await {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
            removed => removed,
        }
    }
}
