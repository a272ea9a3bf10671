use chrono::{DateTime, Utc};
use saas_backup_core::{At, Counts, Error, ErrorKind, Result, RunId, RunStatus};
use serde::Serialize;

use crate::commit::PointHeader;
use crate::layout::Map;

/// A point in time: the end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Point {
    /// Its number in the source's timeline.
    pub sequence: u64,
    /// The run that made it.
    pub run: RunId,
    /// When the run began, by the writer's clock.
    pub started: DateTime<Utc>,
    /// When its last feed ended: the point's time.
    pub finished: DateTime<Utc>,
    /// How the run ended.
    pub status: RunStatus,
    /// What the session that made it counted, over all collections.
    pub counts: Counts,
    /// Bytes that the session that made it added to the storage, but for the header of its last commit; `None` if it
    /// was written without saying so.
    pub bytes_added: Option<u64>,
    /// Its labels.
    pub labels: Vec<String>,
    /// Objects that it needed, that are lost, and that [`Repository::mend`](crate::Repository::mend) dropped: what they
    /// held is not in it. A point that lost anything is not complete.
    #[serde(skip_serializing_if = "is_zero")]
    pub lost: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes members by reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Point {
    pub(crate) fn new(map: &Map, sequence: u64, run: RunId, point: &PointHeader) -> Self {
        let lost = map.lost.iter().filter(|lost| lost.is_needed_at(sequence)).count() as u64;
        Self {
            sequence,
            run,
            started: point.started,
            finished: point.finished,
            status: if lost > 0 { point.status.max(RunStatus::Incomplete) } else { point.status },
            counts: point.counts,
            bytes_added: point.bytes_added,
            labels: point.labels.clone(),
            lost,
        }
    }

    /// Finds a point.
    pub(crate) fn find(map: &Map, at: &At) -> Result<Self> {
        let mut points = map.points.iter().rev();
        let found = match at {
            At::Now => {
                map.check()?;
                points.next()
            }
            At::Time(time) => points.find(|(_, _, point)| point.finished <= *time),
            At::Sequence(sequence) => points.find(|(found, _, _)| found == sequence),
            At::Label(label) => points.find(|(_, _, point)| point.labels.contains(label)),
            At::Back(back) => points.nth(*back as usize),
            _ => return Err(Error::new(ErrorKind::Unsupported, "a repository does not know this kind of point")),
        };
        if let Some((sequence, run, point)) = found {
            return Ok(Self::new(map, *sequence, *run, point));
        }
        map.check()?;
        let latest = map.points.last().map_or(0, |(sequence, _, _)| *sequence);
        let error = Error::new(ErrorKind::NotFound, "there is no such point in time");
        Err(error.with_context("points", map.points.len()).with_context("latest", latest))
    }
}

/// Whether one of the labels of a point says that nothing of it may be destroyed.
pub(crate) fn is_on_hold(labels: &[String]) -> bool {
    let rest = labels.iter().filter_map(|label| label.strip_prefix("legal-hold"));
    rest.into_iter().any(|rest| rest.is_empty() || rest.starts_with(':'))
}
