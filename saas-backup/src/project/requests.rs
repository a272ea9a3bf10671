use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use saas_backup_core::{
    Connector as _, ErasureEvent, ErasureReceipt, ErasureRequest, ErasureState, ErasureTarget, Erasures, Error,
    ErrorKind, Result,
};
use saas_backup_repository::{CollectOptions, EraseOptions, Erasure, ErasureProgress, Subject};
use serde::Serialize;

use super::store::Store;
use super::{ErasureStep, Project};
use crate::state::Answered;

/// Most requests that a source may keep in its feed.
const MAX_REQUESTS: usize = 100_000;

/// What a source asks to erase, and what became of it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ErasedRequests {
    /// The source.
    pub source: String,
    /// Whether nothing was changed, and nobody told.
    pub dry_run: bool,
    /// The requests that stand, oldest first; those that were done before included.
    pub requests: Vec<RequestOutcome>,
    /// Replicas that keep what was copied before, because their configuration does not say `prune = true`.
    pub kept_by_replicas: Vec<String>,
    /// Replicas by records, which keep what they took over before until they erase it themselves.
    pub kept_by_followers: Vec<String>,
}

/// What became of one request.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RequestOutcome {
    /// The request's id, as the source has it.
    pub request: String,
    /// Why it was made.
    pub basis: String,
    /// When it must be done.
    pub apply_by: DateTime<Utc>,
    /// Records that were erased now, or would be.
    pub records: u64,
    /// What the source is told, or would be.
    pub receipt: ErasureReceipt,
    /// Whether the source was told now; it is told what is new.
    pub told: bool,
}

impl ErasedRequests {
    /// The requests that are neither done nor refused.
    pub fn open(&self) -> impl Iterator<Item = &RequestOutcome> {
        self.requests.iter().filter(|outcome| outcome.receipt.state == ErasureState::Scheduled)
    }
}

/// How to erase what a source asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestOptions {
    /// Erases although a point has the label `legal-hold`. What the source itself wants kept is kept. Default: no.
    pub despite_hold: bool,
    /// Only says what would be erased. Default: no.
    pub dry_run: bool,
}

impl RequestOptions {
    /// Erases although a point has the label `legal-hold`.
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
}

/// The requests and holds of a feed that were not withdrawn.
#[derive(Debug, Default)]
struct Standing {
    requests: Vec<ErasureRequest>,
    holds: Vec<ErasureRequest>,
}

impl Project {
    /// Does what a source asks copies to erase, and tells it: a service that passes requests of people on (Open Export
    /// Protocol, profile `erasure`). Takes the identity.
    ///
    /// Requests that were withdrawn are passed over; what the source holds against erasure stays, and the request stays
    /// open. What the repository cannot do (to erase parts of records, or some of their versions) is refused, with the
    /// reason. The source is told when something is out of use, until when bytes remain, and when they are gone: call
    /// this again after `maintain`. Cancel safe: every request is done or not, and what was not told is told next time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] if the source passes no requests on; [`ErrorKind::LimitExceeded`] for a feed of more
    /// than 100,000 requests; else as [`erase`](Self::erase), and what the source answers.
    pub async fn erase_requested(
        &self,
        source: &str,
        options: &RequestOptions,
        progress: &mut (dyn FnMut(ErasureStep<'_>) + Send),
    ) -> Result<ErasedRequests> {
        self.config().source(source)?;
        let feed = self.account(source).await?.erasures().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "this source does not say what is to be erased")
                .with_context("source", source)
        })?;
        let standing = read(feed.as_ref()).await?;
        let mut answered = self.state.answered(source)?;
        let mut requests = Vec::new();
        for request in &standing.requests {
            let (receipt, records) = self.answer(source, request, &standing, &mut answered, options, progress).await?;
            let told = !options.dry_run && answered.told(&request.id) != Some(&receipt.state);
            if told {
                feed.receipt(&receipt).await?;
                answered.tell(&receipt);
                self.state.note_answered(source, &answered)?;
            }
            let (basis, apply_by) = (request.basis.clone(), request.apply_by);
            requests.push(RequestOutcome { request: request.id.clone(), basis, apply_by, records, receipt, told });
        }
        if !options.dry_run {
            answered.forget_others(&standing.requests);
            self.state.note_answered(source, &answered)?;
        }
        let (kept_by_replicas, kept_by_followers) = Box::pin(self.replicas_that_keep_all()).await?;
        let source = source.to_owned();
        Ok(ErasedRequests { source, dry_run: options.dry_run, requests, kept_by_replicas, kept_by_followers })
    }

    /// Does one request if it is not done yet; gives what is to be said of it, and how many records were erased.
    async fn answer(
        &self,
        source: &str,
        request: &ErasureRequest,
        standing: &Standing,
        answered: &mut Answered,
        options: &RequestOptions,
        progress: &mut (dyn FnMut(ErasureStep<'_>) + Send),
    ) -> Result<(ErasureReceipt, u64)> {
        let store = self.reader().await?;
        let now = self.clock().now();
        let name = name_of(request);
        let done = store.erasures(source).await?.into_iter().find(|erasure| erasure.request == name);
        if let Some(done) = done {
            return Ok((self.receipt_of(request, &done, store), 0));
        }
        let receipt = |state| ErasureReceipt::new(&request.id, state, now);
        if answered.held_nothing(&request.id) {
            return Ok((receipt(ErasureState::Applied), 0));
        }
        if standing.holds.iter().any(|hold| meet(&hold.targets, &request.targets)) {
            return Ok((
                because(receipt(ErasureState::Scheduled), "a hold of the source forbids it until it is released"),
                0,
            ));
        }
        let subject = match Subject::requested(request) {
            Ok(subject) => subject,
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                return Ok((because(receipt(ErasureState::Refused), &error.to_string()), 0));
            }
            Err(error) => return Err(error),
        };
        let erase = EraseOptions::new(&name).with_basis(&request.basis).with_dry_run(options.dry_run);
        let erase = erase.with_despite_hold(options.despite_hold);
        let erased = Box::pin(self.erase(source, &subject, &erase, progress)).await?;
        let records = erased.concerned.records.len() as u64;
        if erased.concerned.is_empty() {
            if !options.dry_run {
                answered.note_nothing_held(&request.id);
            }
            return Ok((receipt(ErasureState::Applied), 0));
        }
        match erased.erasures.iter().find(|erasure| erasure.request == name) {
            Some(done) => Ok((self.receipt_of(request, done, store), records)),
            None => Ok((receipt(ErasureState::Scheduled), records)),
        }
    }

    /// What is to be said of an erasure by how far it came.
    fn receipt_of(&self, request: &ErasureRequest, done: &Erasure, store: &Store) -> ErasureReceipt {
        let method = if store.is_encrypted() { "crypto-shredded" } else { "rewritten" };
        let left = |rewritten: DateTime<Utc>| {
            // Keys are locked, too, where the storage locks.
            let locked = self.config().repository.lock.as_ref().map(|lock| lock.keys.0).unwrap_or_default();
            rewritten + CollectOptions::default().grace + locked
        };
        let (state, at, expires_by) = match &done.progress {
            ErasureProgress::Gone { rewritten } => (ErasureState::Applied, *rewritten, None),
            ErasureProgress::GivenUp { rewritten, .. } => (ErasureState::BeyondUse, *rewritten, Some(left(*rewritten))),
            _ => (ErasureState::BeyondUse, done.at, Some(left(self.clock().now()))),
        };
        let mut receipt = ErasureReceipt::new(&request.id, state, at);
        receipt.method = Some(method.to_owned());
        receipt.expires_by = expires_by;
        receipt
    }
}

/// Reads a feed from its beginning: what was withdrawn later does not stand.
async fn read(feed: &dyn Erasures) -> Result<Standing> {
    let mut requests: BTreeMap<String, (usize, ErasureRequest)> = BTreeMap::new();
    let mut holds: BTreeMap<String, ErasureRequest> = BTreeMap::new();
    let mut events = feed.requests(None);
    let mut seen = 0_usize;
    while let Some(event) = events.try_next().await? {
        seen += 1;
        match event {
            ErasureEvent::Erase(request) => {
                requests.insert(request.id.clone(), (seen, request));
            }
            ErasureEvent::Hold(hold) => {
                holds.insert(hold.id.clone(), hold);
            }
            ErasureEvent::Cancel(end) => drop(requests.remove(&end.id)),
            ErasureEvent::Release(end) => drop(holds.remove(&end.id)),
            _ => {}
        }
        if requests.len() + holds.len() > MAX_REQUESTS {
            return Err(Error::new(ErrorKind::LimitExceeded, "the source asks to erase more than is reasonable")
                .with_context("limit", MAX_REQUESTS));
        }
    }
    let mut requests: Vec<(usize, ErasureRequest)> = requests.into_values().collect();
    requests.sort_by_key(|(place, _)| *place);
    let requests = requests.into_iter().map(|(_, request)| request).collect();
    Ok(Standing { requests, holds: holds.into_values().collect() })
}

/// The id under which the repository remembers a request of its source; nobody's own requests are called like that.
fn name_of(request: &ErasureRequest) -> String {
    let id = &request.id;
    if id.len() <= 180 && !id.chars().any(char::is_control) {
        return format!("requested:{id}");
    }
    format!("requested:sha256:{}", saas_backup_core::Digest::of(id.as_bytes()))
}

fn because(mut receipt: ErasureReceipt, reason: &str) -> ErasureReceipt {
    receipt.reason = Some(reason.to_owned());
    receipt
}

/// Whether something may be targeted by both: where that cannot be told, it is.
fn meet(left: &[ErasureTarget], right: &[ErasureTarget]) -> bool {
    left.iter().any(|left| right.iter().any(|right| !are_apart(left, right)))
}

fn are_apart(left: &ErasureTarget, right: &ErasureTarget) -> bool {
    fn differ<T: PartialEq>(left: Option<&T>, right: Option<&T>) -> bool {
        left.zip(right).is_some_and(|(left, right)| left != right)
    }
    let (collections, ids) = (
        differ(left.collection.as_ref(), right.collection.as_ref()),
        differ(left.id.as_ref(), right.id.as_ref()) && left.collection == right.collection,
    );
    let only_blobs = |target: &ErasureTarget| target.collection.is_none() && target.subject.is_none();
    let blobs = differ(left.blob.as_ref(), right.blob.as_ref()) && only_blobs(left) && only_blobs(right);
    collections || ids || blobs
}

#[cfg(test)]
mod tests {
    use super::*;
    use saas_backup_core::{BlobId, CollectionName, Key, Reference};

    fn record(key: &str) -> ErasureTarget {
        let (collection, id) = key.split_once('/').unwrap();
        ErasureTarget::record(Key::parse(collection, id).unwrap())
    }

    fn collection(name: &str) -> ErasureTarget {
        let mut target = ErasureTarget::default();
        target.collection = Some(CollectionName::parse(name).unwrap());
        target
    }

    #[test]
    fn a_hold_keeps_what_it_may_concern() {
        let person = |key: &str| {
            let (collection, id) = key.split_once('/').unwrap();
            ErasureTarget::person(Reference::from(&Key::parse(collection, id).unwrap()))
        };
        let blob = |id: &str| ErasureTarget::blob(BlobId::parse(id).unwrap());
        for (hold, request, expected) in [
            (record("notes/1"), record("notes/1"), true),
            (record("notes/1"), record("notes/2"), false),
            (record("notes/1"), record("users/1"), false),
            (collection("notes"), record("notes/2"), true),
            (collection("notes"), record("users/2"), false),
            (collection("notes"), person("users/2"), true),
            (collection("notes"), blob("b"), true),
            (blob("a"), blob("b"), false),
            (blob("a"), blob("a"), true),
            (person("users/1"), person("users/2"), true),
        ] {
            assert_eq!(
                meet(std::slice::from_ref(&hold), std::slice::from_ref(&request)),
                expected,
                "{hold:?} {request:?}"
            );
        }
    }
}
