//! The time that a point counts with. What it claims comes from a writer's clock, which may be wrong, or a thief's.

use chrono::{DateTime, Utc};

use crate::points::Point;

/// The time of each point, in their order: what it claims, but not before what an earlier one claims, nor after `now`.
///
/// A point that claims a time after `now` counts as made now, and does not raise those after it: else a single wrong
/// clock would make all later points as old as itself once its time has come, and until then of no age at all.
pub(super) fn counted(points: &[Point], now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let mut latest: Option<DateTime<Utc>> = None;
    let time = |point: &Point| {
        if point.finished > now {
            return now;
        }
        let time = latest.map_or(point.finished, |latest| latest.max(point.finished));
        latest = Some(time);
        time
    };
    points.iter().map(time).collect()
}
