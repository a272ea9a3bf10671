//! What a long merge did up to here, kept in the storage: whoever merges next goes on there.

use std::collections::BTreeMap;

use saas_backup_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::ledger::LedgerKey;
use super::rewrite::Reached;
use super::{Maintainer, is_loss};
use crate::commit::{CommitHeader, ObjectRef};
use crate::crypto::{Domain, SigningPurpose};
use crate::layout::Map;
use crate::object::{Family, MAX_SMALL_BYTES, SegmentIndex, decompress, ulid_of};
use crate::read::blocking;
use crate::signed::Signed;

/// Segments after which a step is noted.
const STEP_SEGMENTS: usize = 16;

/// The steps of a merge of everything, as far as it has come with the records.
pub(super) struct Steps {
    /// The last commit of maintenance before it: another one changes what is to be done.
    last: u64,
    /// The last commit whose lines it merges.
    pub(super) through: u64,
    pub(super) key: LedgerKey,
    /// The names of the objects that hold the steps, in order.
    names: Vec<String>,
    /// What an interrupted merge left.
    left: Option<Left>,
    /// Segments of the present and of the past, and their indexes, that the steps hold.
    noted: (usize, usize, usize),
}

/// What an interrupted merge left.
pub(super) struct Left {
    pub(super) made: Made,
    pub(super) domains: Vec<Domain>,
    pub(super) reached: Reached,
}

/// The segments that a merge made.
#[derive(Default)]
pub(super) struct Made {
    pub(super) now: Vec<ObjectRef>,
    pub(super) past: Vec<ObjectRef>,
    pub(super) indexes: Vec<SegmentIndex>,
}

/// The part of the clear header that is a step's own.
#[derive(Clone, Serialize, Deserialize)]
struct StepHeader {
    /// The first step of the same merge.
    first: String,
    number: usize,
    /// What the part is sealed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
}

/// The sealed part.
#[derive(Serialize, Deserialize)]
struct Step {
    last: u64,
    through: u64,
    key: LedgerKey,
    /// Domains that no commit introduced yet.
    domains: Vec<Domain>,
    /// What was made since the step before.
    now: Vec<ObjectRef>,
    past: Vec<ObjectRef>,
    indexes: Vec<SegmentIndex>,
    /// How far all steps together came.
    reached: Reached,
}

impl Steps {
    /// A merge that begins, up to a commit.
    pub(super) fn begin(map: &Map, through: u64, key: LedgerKey) -> Self {
        Self { last: map.upkeep.last, through, key, names: Vec::new(), left: None, noted: (0, 0, 0) }
    }

    /// The merge that came farthest and can be gone on with: nothing was maintained since. What cannot be read counts for
    /// nothing.
    ///
    /// # Errors
    ///
    /// Whatever keeps the storage from being asked.
    pub(super) async fn find(maintainer: &Maintainer, map: &Map) -> Result<Option<Self>> {
        let shared = maintainer.shared();
        let names = shared.listed(&shared.names.merging_folder()).await?;
        let mut merges: BTreeMap<String, BTreeMap<usize, (String, Step)>> = BTreeMap::new();
        for name in names {
            match read(maintainer, &name).await {
                Ok((header, step)) if step.last == map.upkeep.last && step.through < map.next() => {
                    merges.entry(header.first).or_default().insert(header.number, (name, step));
                }
                Ok(_) => {}
                Err(error) if is_loss(error.kind()) => {
                    tracing::debug!(source = shared.name, %error, "a step of a merge does not count");
                }
                Err(error) => return Err(error),
            }
        }
        let roles = shared.loader.trust.roles();
        let found = merges.into_values().filter_map(Self::of);
        let found = found.filter(|steps| {
            let mut domains = steps.left.iter().flat_map(|left| &left.domains);
            domains.all(|domain| roles.may_share(&domain.id))
        });
        Ok(found.max_by_key(|steps| steps.names.len()))
    }

    /// Joins the steps of one merge; those after a missing one are left aside.
    fn of(steps: BTreeMap<usize, (String, Step)>) -> Option<Self> {
        let mut joined: Option<Self> = None;
        let mut made = Made::default();
        for (expected, (number, (name, step))) in steps.into_iter().enumerate() {
            if number != expected {
                break;
            }
            made.now.extend(step.now);
            made.past.extend(step.past);
            made.indexes.extend(step.indexes);
            let mut names = joined.take().map(|joined| joined.names).unwrap_or_default();
            names.push(name);
            let (noted, domains) = ((made.now.len(), made.past.len(), made.indexes.len()), step.domains);
            let left = Some(Left { made: Made::default(), domains, reached: step.reached });
            joined = Some(Self { last: step.last, through: step.through, key: step.key, names, left, noted });
        }
        if let Some(left) = joined.as_mut().and_then(|joined| joined.left.as_mut()) {
            left.made = made;
        }
        joined
    }

    /// What an interrupted merge left; once.
    pub(super) fn take_left(&mut self) -> Option<Left> {
        self.left.take()
    }

    /// Whether enough was made since the last step to note another one.
    pub(super) fn is_due(&self, made: &Made) -> bool {
        made.now.len() + made.past.len() >= self.noted.0 + self.noted.1 + STEP_SEGMENTS
    }

    /// Notes how far the merge came.
    pub(super) async fn note(
        &mut self,
        maintainer: &Maintainer,
        header: &mut CommitHeader,
        made: &Made,
        reached: Reached,
    ) -> Result<()> {
        let shared = maintainer.shared();
        let since = |objects: &[ObjectRef], noted: usize| objects.get(noted..).unwrap_or_default().to_vec();
        let step = Step {
            last: self.last,
            through: self.through,
            key: self.key.clone(),
            domains: header.domains.clone(),
            now: since(&made.now, self.noted.0),
            past: since(&made.past, self.noted.1),
            indexes: made.indexes.get(self.noted.2..).unwrap_or_default().to_vec(),
            reached,
        };
        let text = serde_json::to_vec(&step)?;
        let (part, domain) = maintainer.committer.seal_text(Family::Data, text, header).await?;
        let id = shared.names.ulid().to_string();
        let first = self.names.first().and_then(|name| ulid_of(name)).unwrap_or(&id).to_owned();
        let own = StepHeader { first, number: self.names.len(), domain };
        let signed = Signed { at: shared.clock.now(), own, part: part.into() };
        let object = signed.encode(shared, SigningPurpose::Merging, maintainer.committer.signs(), &id)?;
        let name = shared.names.merging(&id);
        shared.store.put(&name, object).await?;
        self.names.push(name);
        self.noted = (made.now.len(), made.past.len(), made.indexes.len());
        Ok(())
    }

    /// Removes the steps, as far as that is allowed; what stays is swept later.
    pub(super) async fn remove(self, maintainer: &Maintainer) {
        let shared = maintainer.shared();
        for name in &self.names {
            if let Err(error) = shared.store.delete(name).await {
                tracing::debug!(source = shared.name, %error, "a step of a merge stays");
            }
        }
    }
}

async fn read(maintainer: &Maintainer, name: &str) -> Result<(StepHeader, Step)> {
    let shared = maintainer.shared();
    let object = shared.store.get(name, None).await?;
    let id = ulid_of(name).unwrap_or_default();
    let signed = Signed::<StepHeader>::read(shared, SigningPurpose::Merging, id, &object).await?;
    let unsealer = shared.keyring.unsealer(signed.own.domain.as_deref()).await?;
    let part = signed.part;
    let step = blocking(move || {
        let text = decompress(&unsealer.open(part)?, MAX_SMALL_BYTES)?;
        serde_json::from_slice(&text)
            .map_err(|_| Error::new(ErrorKind::Integrity, "a step of a merge does not have the form of one"))
    })
    .await?;
    Ok((signed.own, step))
}
