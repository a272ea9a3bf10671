use saas_backup_core::{Error, ErrorKind, Result};
use serde::Serialize;

use super::Project;
use super::replicate::Place;
use super::store::Store;
use super::verify::{Problem, VerifyRead, is_unreachable, problems};

/// What a repair did.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Repaired {
    /// The address of the copy that was taken, without what is secret in it.
    pub replica: String,
    /// Whether nothing is wrong any more, as far as was looked.
    pub good: bool,
    /// Objects that were fetched.
    pub objects: Vec<String>,
    /// What is still wrong.
    pub problems: Vec<Problem>,
}

impl Repaired {
    /// Whether the storage could not be asked, and so nothing is known to be damaged.
    pub fn is_unreachable(&self) -> bool {
        is_unreachable(&self.problems)
    }
}

impl Project {
    /// Looks for what is damaged or gone, as [`verify`](Self::verify) does, and fetches it from a copy: the one at `from`,
    /// or the first configured replica by objects that can be opened. Takes the identity.
    ///
    /// What a copy holds is taken only if it proves to be what was written, and what is good here is not touched. Without
    /// [`VerifyRead::ALL`], data that is damaged may not be noticed. [`verify`](Self::verify) says beforehand what would
    /// be looked for. `progress` hears how many objects were looked for. Cancel safe: what was mended is mended.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if there is no replica, only one by records, or the identity is missing;
    /// [`ErrorKind::Conflict`] if it is the copy of another repository; [`ErrorKind::Integrity`] if the copy's own timeline
    /// is broken; or if the repository or all copies cannot be opened. What is still damaged stands in the result.
    pub async fn repair(
        &self,
        from: Option<&str>,
        read: VerifyRead,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Repaired> {
        let places = self.places(from).await?;
        let store = self.reader().await?;
        let (replica, copy) = self.first_copy(places).await?;
        let (options, _) = self.verify_options(read)?;
        let mended = store
            .repair_from(&copy, &options, &mut |report| progress(report.objects))
            .await
            .map_err(|error| error.with_context("replica", &replica))?;
        Ok(Repaired { replica, good: mended.is_good(), objects: mended.objects, problems: problems(mended.problems) })
    }

    /// The first copy that can be opened, or why the first cannot.
    async fn first_copy(&self, places: Vec<Place>) -> Result<(String, Store)> {
        let mut first: Option<Error> = None;
        let (copies, followers): (Vec<Place>, Vec<Place>) =
            places.into_iter().partition(|place| place.follower.is_none());
        for Place { name, options, follower, .. } in copies.into_iter().chain(followers) {
            let opened = match options {
                Ok(_) if follower.is_some() => Err(Error::new(
                    ErrorKind::Configuration,
                    "a replica by records shares no object with the repository, and cannot mend it: restore from it, with a \
                     configuration that names it as [repository]",
                )),
                Ok(options) => Store::open_copy(self.config(), options, self.clock()).await,
                Err(error) => Err(error),
            };
            match opened {
                Ok(copy) => {
                    if let Some(error) = first {
                        tracing::warn!(%error, "a copy cannot be opened, and the next is taken");
                    }
                    return Ok((name, copy));
                }
                Err(error) => first = first.or_else(|| Some(error.with_context("replica", name))),
            }
        }
        Err(first.unwrap_or_else(|| Error::new(ErrorKind::Configuration, "there is no replica")))
    }
}
