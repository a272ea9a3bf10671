use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use saas_backup_core::{Error, ErrorKind, Result};

use super::{Expected, names, same};
use crate::config::Config;
use crate::crypto::RootKey;
use crate::options::RepositoryOptions;
use crate::repository::{Repository, open_store};
use crate::roles::statements;
use crate::source::Shared;
use crate::store::{self, Store};
use crate::verify::VerifyProblem;

/// Objects that are copied at the same time; each is held whole in memory.
const COPIES: usize = 2;

/// What a replication did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replicated {
    /// Objects that were copied.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that the copy had already.
    pub held: u64,
    /// What could not be copied because it is damaged or gone; nothing of it was written.
    pub problems: Vec<VerifyProblem>,
}

impl Replicated {
    /// Whether the copy holds everything.
    pub fn is_complete(&self) -> bool {
        self.problems.is_empty()
    }
}

impl Repository {
    /// Copies the repository to other storage, or what is new since the last time: the same objects under the same names,
    /// so that the copy is opened with the same keys and can take the place of this one. Of `to` only the address, the
    /// storage's options and the promise of a single writer count.
    ///
    /// Every object is checked on the way, and what is damaged is not copied but reported. Nothing of the copy is ever
    /// replaced or removed; upkeep of its own would give it another history. Commits follow what they name, in their
    /// order: a copy that was interrupted is good as far as it goes. `progress` is called after each object. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if there is another repository, or a copy with another history, which somebody wrote to;
    /// [`ErrorKind::Integrity`] if the timeline is broken.
    pub async fn replicate(
        &self,
        to: &RepositoryOptions,
        progress: &mut (dyn FnMut(&Replicated) + Send),
    ) -> Result<Replicated> {
        let target = open_store(to, true).await?;
        if !to.single_writer && target.size("repo.json").await.is_err() {
            store::probe(&*target).await?;
        }
        self.replicate_on(target, progress).await
    }

    /// As [`replicate`](Self::replicate), to storage of the caller's own.
    pub async fn replicate_on(
        &self,
        to: Arc<dyn Store>,
        progress: &mut (dyn FnMut(&Replicated) + Send),
    ) -> Result<Replicated> {
        let is_new = match to.get("repo.json", None).await {
            Ok(found) => {
                same(self.id(), &Config::parse(&found, self.keys())?.id)?;
                false
            }
            Err(error) if error.kind() == ErrorKind::NotFound => true,
            Err(error) => return Err(error),
        };
        let mut done = Replicated::default();
        let held = names(&*to, "writer").await?;
        for writer in names(&**self.store(), "writer").await?.into_keys().filter(|name| !held.contains_key(name)) {
            copy(&**self.store(), &*to, &writer, &mut done, None).await?;
        }
        if let Some(root) = self.root_key() {
            replicate_roles(&**self.store(), &*to, self.id(), &root, &mut done).await?;
        }
        for source in self.sources().await? {
            replicate_source(&self.source(&source)?.shared, &*to, &mut done, progress).await?;
        }
        if is_new {
            // Last, because it is what makes the rest a repository.
            copy(&**self.store(), &*to, "repo.json", &mut done, None).await?;
        }
        progress(&done);
        Ok(done)
    }
}

/// Copies what the owner states of roles.
async fn replicate_roles(
    from: &dyn Store,
    to: &dyn Store,
    repository: &str,
    root: &RootKey,
    done: &mut Replicated,
) -> Result<()> {
    let held = names(to, "roles").await?;
    for (name, found) in statements(from, repository, root).await? {
        match found {
            Ok(()) if held.contains_key(&name) => {}
            Ok(()) => copy(from, to, &name, done, None).await?,
            Err(error) if error.kind() == ErrorKind::Integrity => done.problems.push(VerifyProblem::new(&name, &error)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn replicate_source(
    shared: &Arc<Shared>,
    to: &dyn Store,
    done: &mut Replicated,
    progress: &mut (dyn FnMut(&Replicated) + Send),
) -> Result<()> {
    // The timeline is read before the objects that it names are looked for: they were there before it.
    let map = shared.loader.load(None).await?;
    map.check()?;
    let head = map.head.as_ref().map_or(0, |head| head.sequence);
    let commits = shared.loader.sequences(&shared.names.commits(), None).await?;
    let layouts = shared.loader.sequences(&shared.names.layouts(), None).await?;
    let there = names(to, shared.names.prefix().trim_end_matches('/')).await?;
    let latest =
        commits.iter().rev().map(|sequence| shared.names.commit(*sequence)).find(|name| there.contains_key(name));
    if let Some(latest) = latest
        && to.get(&latest, None).await? != shared.store.get(&latest, None).await?
    {
        return Err(Error::new(ErrorKind::Conflict, "the copy has another history").with_context("commit", latest));
    }
    let expected = Expected::of(&map);
    let objects = map.named(&shared.keyring);
    // Layouts that are older name what upkeep gave up since.
    let layouts = layouts.into_iter().filter(|sequence| (map.upkeep.last..=head).contains(sequence));
    let commits = commits.into_iter().filter(|sequence| *sequence <= head);
    let is_missing = |name: &String| !there.contains_key(name);
    let steps: [(Vec<String>, usize); 3] = [
        (objects.into_iter().filter(is_missing).collect(), COPIES),
        (commits.map(|sequence| shared.names.commit(sequence)).filter(is_missing).collect(), 1),
        (layouts.map(|sequence| shared.names.layout(sequence)).filter(is_missing).collect(), 1),
    ];
    done.held += there.len() as u64;
    for (missing, at_once) in steps {
        let copies = missing.into_iter().map(|name| {
            let expected = &expected;
            async move {
                let mut one = Replicated::default();
                copy(&*shared.store, to, &name, &mut one, Some((shared, expected))).await?;
                Ok::<_, Error>(one)
            }
        });
        let mut copies = stream::iter(copies.collect::<Vec<_>>()).buffered(at_once);
        while let Some(one) = copies.try_next().await? {
            done.objects += one.objects;
            done.bytes += one.bytes;
            done.problems.extend(one.problems);
            progress(done);
        }
    }
    Ok(())
}

/// Copies an object that the copy does not hold, if it is what it should be.
async fn copy(
    from: &dyn Store,
    to: &dyn Store,
    name: &str,
    done: &mut Replicated,
    check: Option<(&Arc<Shared>, &Expected)>,
) -> Result<()> {
    let read = async {
        let object = from.get(name, None).await?;
        if let Some((shared, expected)) = check {
            expected.check(shared, name, &object).await?;
        }
        Ok::<_, Error>(object)
    };
    match read.await {
        Ok(object) => {
            let size = object.len() as u64;
            to.put(name, object).await?;
            done.objects += 1;
            done.bytes += size;
            Ok(())
        }
        Err(error) if matches!(error.kind(), ErrorKind::Integrity | ErrorKind::NotFound) => {
            done.problems.push(VerifyProblem::new(name, &error));
            Ok(())
        }
        Err(error) => Err(error),
    }
}
