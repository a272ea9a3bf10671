use saas_backup_core::{Error, ErrorKind, Result};
use saas_backup_repository::{Collected, Erasure, FollowedPoint, Replicated as Copied, RepositoryOptions};
use serde::Serialize;
use url::Url;

use super::store::Store;
use super::verify::{Problem, as_word, problems};
use super::{Project, blocking, store};
use crate::config::{Config, ReplicaBy, ReplicaConfig};

/// What a replication to one replica did.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Replicated {
    /// The address of the replica, without what is secret in it.
    pub replica: String,
    /// Whether it holds everything; in a dry run, whether nothing was found that keeps it from that.
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
    /// Of a replica by records: each source, in the order of their names; `objects` are then records, and `held` points.
    pub followed: Option<Vec<ReplicatedSource>>,
    /// Why it could not be finished. What was copied before stays and is good.
    pub failure: Option<Failure>,
}

impl Replicated {
    fn new(replica: String) -> Self {
        Self {
            replica,
            complete: false,
            objects: 0,
            bytes: 0,
            held: 0,
            problems: Vec::new(),
            pruned: None,
            followed: None,
            failure: None,
        }
    }
}

/// What a replica by records took over of one source.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ReplicatedSource {
    /// Its name.
    pub source: String,
    /// Points in time that it holds already, of those that the repository holds.
    pub held: u64,
    /// Points in time that were taken over, oldest first; in a dry run those that would be.
    pub points: Vec<FollowedPoint>,
    /// What the repository erased and the replica still holds.
    pub erasures: Vec<Erasure>,
    /// What ended the source before all its points were taken over.
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
    /// The replica by records that lies there.
    pub(super) follower: Option<ReplicaConfig>,
}

impl Failure {
    pub(super) fn new(error: &Error) -> Self {
        Self { kind: error.kind(), message: error.to_string() }
    }
}

impl Project {
    /// Brings the replicas up to date, or the one at `to`: with all of the repository, or with what is new since the last
    /// time. Takes the identity.
    ///
    /// An address is that of a configured replica, whose options then count, or any other; a path starts at the working
    /// directory. Every object is checked on the way. Nothing that a replica holds is replaced, and nothing is removed unless
    /// its configuration says `prune = true`: then what maintenance gave up goes, after a grace of 7 days. A replica by
    /// records takes over each point in time that it lacks ([`Repository::follow`]), and is made if it is not there. With
    /// `dry_run` nothing is written: replicas by records say what they would take, and copies are left out. One that
    /// fails does not keep the others from theirs: that stands in its report. `progress` hears the replica, and how many
    /// objects, or records, and bytes were copied. Cancel safe: the next call copies the rest.
    ///
    /// [`Repository::follow`]: saas_backup_repository::Repository::follow
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if there is no replica, or the identity is missing; or if the repository cannot be
    /// opened. In a report, [`ErrorKind::Conflict`] if there is another repository, or a copy that somebody else writes to.
    pub async fn replicate(
        &self,
        to: Option<&str>,
        dry_run: bool,
        progress: &mut (dyn FnMut(&str, u64, u64) + Send),
    ) -> Result<Vec<Replicated>> {
        let mut places = self.places(to).await?;
        if dry_run {
            places.retain(|place| place.follower.is_some());
            if places.is_empty() {
                return Err(Error::new(
                    ErrorKind::Configuration,
                    "a dry run is for replicas by records, and none is named: what a copy lacks is found by copying it",
                ));
            }
        }
        let store = self.reader().await?;
        let mut reports = Vec::new();
        for Place { name, options, prune, follower } in places {
            let mut report = Replicated::new(name);
            let result = match (options, &follower) {
                (Err(error), _) => Err(error),
                (Ok(options), Some(follower)) => {
                    self.follow(store, follower, options, dry_run, &mut report, progress).await
                }
                (Ok(options), None) => self.replicate_to(store, options, prune, &mut report, progress).await,
            };
            if let Err(error) = result {
                (report.complete, report.failure) = (false, Some(Failure::new(&error)));
            }
            reports.push(report);
        }
        if to.is_none() && !dry_run {
            self.note_replicas(&reports);
        }
        Ok(reports)
    }

    async fn replicate_to(
        &self,
        store: &Store,
        to: RepositoryOptions,
        prune: bool,
        report: &mut Replicated,
        progress: &mut (dyn FnMut(&str, u64, u64) + Send),
    ) -> Result<()> {
        let mut hear = |copied: &Copied| {
            (report.objects, report.bytes) = (copied.objects, copied.bytes);
            progress(&report.replica, copied.objects, copied.bytes);
        };
        let copied = store.replicate(&to, &mut hear).await?;
        (report.objects, report.bytes, report.held) = (copied.objects, copied.bytes, copied.held);
        // What is damaged here may be whole there.
        if prune && copied.is_complete() {
            let copy = Store::open_copy(self.config(), to, self.clock()).await?;
            report.pruned = Some(copy.prune().await?);
        }
        report.complete = copied.is_complete();
        report.problems = problems(copied.problems);
        Ok(())
    }

    /// The names of the configured copies from which nothing is removed, and those of the replicas by records.
    pub(super) async fn replicas_that_keep_all(&self) -> Result<(Vec<String>, Vec<String>)> {
        if self.config().replicas.iter().all(|replica| replica.prune) {
            return Ok((Vec::new(), Vec::new()));
        }
        let places = self.places(None).await?;
        let (followers, copies): (Vec<Place>, Vec<Place>) =
            places.into_iter().partition(|place| place.follower.is_some());
        let names =
            |places: Vec<Place>| places.into_iter().filter(|place| !place.prune).map(|place| place.name).collect();
        Ok((names(copies), names(followers)))
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
    let place = |(replica, number): (&ReplicaConfig, usize)| {
        let follower = (replica.by == ReplicaBy::Records).then(|| replica.clone());
        let (name, options) = match store::replica(replica, &config.base) {
            Ok(options) => (shown(&options.url), another(options, &own)),
            Err(error) => (format!("replica {number}"), Err(error)),
        };
        Place { name, options, prune: replica.prune, follower }
    };
    Ok(numbered.map(place).collect())
}

/// The configured replica at this address, or one without options.
fn find(config: &Config, address: &str) -> Result<Place> {
    let options = RepositoryOptions::parse(address)?;
    let is_it = |place: &Place| matches!(&place.options, Ok(found) if found.url == options.url);
    if let Some(place) = configured(config)?.into_iter().find(is_it) {
        return Ok(place);
    }
    let own = store::address(config)?;
    Ok(Place { name: shown(&options.url), options: Ok(another(options, &own)?), prune: false, follower: None })
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
