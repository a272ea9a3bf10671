use saas_backup_core::{Error, ErrorKind, Result};
use saas_backup_repository::{Collected, Replicated as Copied, RepositoryOptions};
use serde::Serialize;
use url::Url;

use super::store::Store;
use super::verify::{Problem, as_word, problems};
use super::{Project, blocking, store};
use crate::config::Config;

/// What a replication to one replica did.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Replicated {
    /// The address of the replica, without what is secret in it.
    pub replica: String,
    /// Whether it holds everything.
    pub complete: bool,
    /// Objects that were copied.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that were there already.
    pub held: u64,
    /// What could not be copied because it is damaged or gone here.
    pub problems: Vec<Problem>,
    /// What was removed from it; `None` where the replica keeps everything.
    pub pruned: Option<Collected>,
    /// Why it could not be finished. What was copied before stays and is good.
    pub failure: Option<Failure>,
}

/// Why something failed.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Failure {
    /// What kind of failure.
    #[serde(serialize_with = "as_word")]
    pub kind: ErrorKind,
    /// For a person.
    pub message: String,
}

/// Storage for a copy, if the configuration can be made out.
pub(super) struct Place {
    /// What people call it.
    pub(super) name: String,
    pub(super) options: Result<RepositoryOptions>,
    /// Whether what was given up is removed from it, too.
    prune: bool,
}

impl Project {
    /// Copies the repository to its replicas, or to the one at `to`: all of it, or what is new since the last time. Takes
    /// the identity.
    ///
    /// An address is that of a configured replica, whose options then count, or any other; a path starts at the working
    /// directory. Every object is checked on the way. Nothing that a replica holds is replaced, and nothing is removed unless
    /// its configuration says `prune = true`: then what maintenance gave up goes, after a grace of 7 days. One that
    /// fails does not keep the others from theirs: that stands in its report. `progress` hears the replica, and how many
    /// objects and bytes were copied. Cancel safe: the next call copies the rest.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if there is no replica, or the identity is missing; or if the repository cannot be
    /// opened. In a report, [`ErrorKind::Conflict`] if there is another repository, or a copy that somebody else writes to.
    pub async fn replicate(
        &self,
        to: Option<&str>,
        progress: &mut (dyn FnMut(&str, u64, u64) + Send),
    ) -> Result<Vec<Replicated>> {
        let places = self.places(to).await?;
        let store = self.reader().await?;
        let mut reports = Vec::new();
        for Place { name, options, prune } in places {
            let (mut objects, mut bytes) = (0, 0);
            let mut hear = |copied: &Copied| {
                (objects, bytes) = (copied.objects, copied.bytes);
                progress(&name, objects, bytes);
            };
            let result = match options {
                Ok(options) => self.replicate_to(store, options, prune, &mut hear).await,
                Err(error) => Err(error),
            };
            reports.push(match result {
                Ok((copied, pruned)) => Replicated {
                    complete: copied.is_complete(),
                    replica: name,
                    objects: copied.objects,
                    bytes: copied.bytes,
                    held: copied.held,
                    problems: problems(copied.problems),
                    pruned,
                    failure: None,
                },
                Err(error) => Replicated {
                    replica: name,
                    complete: false,
                    objects,
                    bytes,
                    held: 0,
                    problems: Vec::new(),
                    pruned: None,
                    failure: Some(Failure { kind: error.kind(), message: error.to_string() }),
                },
            });
        }
        Ok(reports)
    }

    async fn replicate_to(
        &self,
        store: &Store,
        to: RepositoryOptions,
        prune: bool,
        progress: &mut (dyn FnMut(&Copied) + Send),
    ) -> Result<(Copied, Option<Collected>)> {
        let copied = store.replicate(&to, progress).await?;
        // What is damaged here may be whole there.
        if !prune || !copied.is_complete() {
            return Ok((copied, None));
        }
        let copy = Store::open_copy(self.config(), to, self.clock()).await?;
        Ok((copied, Some(copy.prune().await?)))
    }

    /// The names of the configured replicas from which nothing is removed.
    pub(super) async fn replicas_that_keep_all(&self) -> Result<Vec<String>> {
        if self.config().replicas.iter().all(|replica| replica.prune) {
            return Ok(Vec::new());
        }
        let places = self.places(None).await?.into_iter();
        Ok(places.filter(|place| !place.prune).map(|place| place.name).collect())
    }

    /// The configured replicas, or the one that is named.
    pub(super) async fn places(&self, named: Option<&str>) -> Result<Vec<Place>> {
        let config = self.config().clone();
        let named = named.map(str::to_owned);
        // Options may be read from files and commands.
        blocking(move || match named {
            Some(address) => Ok(vec![find(&config, &address)?]),
            None if config.replicas.is_empty() => Err(Error::new(
                ErrorKind::Configuration,
                "the configuration has no [[replica]]: add one with its url, or name one",
            )),
            None => configured(&config),
        })
        .await
    }
}

fn configured(config: &Config) -> Result<Vec<Place>> {
    let own = store::address(config)?;
    let numbered = config.replicas.iter().zip(1..);
    Ok(numbered
        .map(|(replica, number)| match store::replica(replica, &config.base) {
            Ok(options) => Place { name: shown(&options.url), options: another(options, &own), prune: replica.prune },
            Err(error) => Place { name: format!("replica {number}"), options: Err(error), prune: replica.prune },
        })
        .collect())
}

/// The configured replica at this address, or one without options.
fn find(config: &Config, address: &str) -> Result<Place> {
    let options = RepositoryOptions::parse(address)?;
    let is_it = |place: &Place| matches!(&place.options, Ok(found) if found.url == options.url);
    if let Some(place) = configured(config)?.into_iter().find(is_it) {
        return Ok(place);
    }
    let own = store::address(config)?;
    Ok(Place { name: shown(&options.url), options: Ok(another(options, &own)?), prune: false })
}

/// Refuses the repository as its own copy.
fn another(options: RepositoryOptions, own: &str) -> Result<RepositoryOptions> {
    if options.url.as_str() == own {
        return Err(Error::new(ErrorKind::Configuration, "a replica cannot lie where the repository lies"));
    }
    Ok(options)
}

/// An address without what may be secret in it.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Addresses without a host have neither.
    let _ = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        for (address, text) in [
            ("https://me:hunter2@dav.example.com/saas?token=hunter2#hunter2", "https://dav.example.com/saas"),
            ("file:///var/copy", "file:///var/copy"),
            ("s3://bucket/saas", "s3://bucket/saas"),
        ] {
            assert_eq!(shown(&address.parse().unwrap()), text);
        }
    }
}
