use std::collections::BTreeSet;

use bytes::Bytes;
use saas_backup_core::{Error, ErrorKind, Result};

use super::{Expected, names, same};
use crate::crypto::RootKey;
use crate::proof;
use crate::repository::Repository;
use crate::roles::{check_statement, refresh};
use crate::source::Source;
use crate::upkeep::collected_through;
use crate::verify::{SignedProblems, VerifyOptions, VerifyProblem, VerifyReport};
use crate::writers::check_writer;

/// Rounds of looking and mending: what a broken timeline hid is found when it is whole again.
const ROUNDS: usize = 3;

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repaired {
    /// Objects that were fetched from the copy.
    pub objects: Vec<String>,
    /// What is still wrong.
    pub problems: Vec<VerifyProblem>,
}

impl Repaired {
    /// Whether nothing is wrong any more.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }
}

impl Repository {
    /// Looks for what is damaged or gone, as `options` say, and fetches it from a copy that
    /// [`replicate`](Self::replicate) made.
    ///
    /// Only what proves to be the object that was written is taken: by the digest in the signed timeline, by its own
    /// signature, or, for keys, because it opens. What the owner signed beside the sources comes first: who writes, and who
    /// reads. Objects that are good are not touched. Cancel safe: what was mended is
    /// mended.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if it is the copy of another repository, or another owner's; [`ErrorKind::Integrity`] if the
    /// copy's own timeline is broken.
    pub async fn repair_from(
        &self,
        copy: &Self,
        options: &VerifyOptions,
        progress: &mut (dyn FnMut(&VerifyReport) + Send),
    ) -> Result<Repaired> {
        same(self.id(), copy.id())?;
        // A stranger may write any id, and sign with a key of its own.
        if self.root_key() != copy.root_key() {
            return Err(Error::new(ErrorKind::Conflict, "the copy is another owner's"));
        }
        let mut done = Repaired { objects: fetch_signed(self, copy).await?, ..Repaired::default() };
        let mut names: BTreeSet<String> = self.sources().await?.into_iter().collect();
        names.extend(copy.sources().await?);
        for name in names {
            // What was read before may be what is damaged.
            let (own, theirs) = (self.unread(&name), copy.source(&name)?);
            for round in 1.. {
                let mut problems = own.verify(options, progress).await?.problems;
                proof::remove_damaged(&own.shared, &mut problems).await?;
                let mended = mend(&own, &theirs, &problems).await?;
                if mended.is_empty() || round == ROUNDS {
                    done.problems.extend(problems);
                    break;
                }
                done.objects.extend(mended);
            }
        }
        let mut left = VerifyReport::default();
        SignedProblems::of(self).await?.tell(&mut left);
        done.problems.extend(left.problems);
        Ok(done)
    }
}

/// Fetches what the owner signed beside the sources, where it is gone or damaged: without writers no commit is believed, and
/// without statements those write again who may not any more.
async fn fetch_signed(own: &Repository, copy: &Repository) -> Result<Vec<String>> {
    let Some(root) = own.root_key() else { return Ok(Vec::new()) };
    let mut fetched = Vec::new();
    for folder in ["writer", "roles"] {
        for name in names(&**copy.store(), folder).await?.into_keys() {
            match own.store().get(&name, None).await {
                // One that is newer than this version is whole, too: its signature comes first.
                Ok(held) => match check_signed(&name, &held, own.id(), &root) {
                    Err(error) if error.kind() == ErrorKind::Integrity => {}
                    _ => continue,
                },
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            let object = copy.store().get(&name, None).await?;
            if check_signed(&name, &object, own.id(), &root).is_ok() {
                own.store().put(&name, object).await?;
                fetched.push(name);
            }
        }
    }
    refresh(&**own.store(), own.id(), own.trust()).await?;
    Ok(fetched)
}

/// Checks what was read as the object of a writer, or as a statement.
fn check_signed(name: &str, object: &Bytes, repository: &str, root: &RootKey) -> Result<()> {
    if name.starts_with("writer/") {
        return check_writer(name, object, root);
    }
    check_statement(name, object, repository, root)
}

/// Fetches the objects that something is wrong with, and commits that are missing.
async fn mend(own: &Source, copy: &Source, problems: &[VerifyProblem]) -> Result<Vec<String>> {
    let (own, copy) = (&own.shared, &copy.shared);
    let map = copy.load().await?;
    map.check()?;
    let expected = Expected::of(&map);
    let mut wanted: BTreeSet<String> = problems.iter().map(|problem| problem.object.clone()).collect();
    // That one is gone shows in the copy alone, where layouts tell the same or it was the last. Upkeep removes those that
    // were settled long ago, and that two layouts tell of.
    let known = own.load().await?;
    let removed = if known.head.is_some() { collected_through(own, &known).await? } else { 0 };
    let here: BTreeSet<u64> = own.loader.sequences(&own.names.commits(), None).await?.into_iter().collect();
    let there = copy.loader.sequences(&copy.names.commits(), None).await?;
    let missing = there.into_iter().filter(|sequence| !here.contains(sequence) && *sequence > removed);
    wanted.extend(missing.map(|sequence| own.names.commit(sequence)));
    let mut mended = Vec::new();
    for name in wanted {
        let object = match copy.store.get(&name, None).await {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            object => object?,
        };
        let is_good = expected.check(copy, &name, &object).await;
        let is_held = matches!(own.store.get(&name, None).await, Ok(held) if held == object);
        match is_good {
            Ok(()) if !is_held => {
                own.store.put(&name, object).await?;
                mended.push(name);
            }
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Integrity => {}
            Err(error) => return Err(error),
        }
    }
    own.forget_map();
    Ok(mended)
}
