//! The rules once more, read from `docs/retention.md`: each point alone against all others, slots by their names.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike as _, Days, Months, TimeDelta, Utc};
use proptest::prelude::*;
use saas_backup_core::Period;

use super::kept;
use super::timeline::{now, policy, timeline, verified};
use crate::points::Point;
use crate::retention::RetentionPolicy;

const NAMES: [&str; 5] = ["%Y-%m-%dT%H", "%Y-%m-%d", "%G-W%V", "%Y-%m", "%Y"];

/// Whether newer points may push a point out.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Part {
    All,
    /// What the clock, labels, the minimum age and the verification keep.
    Protected,
}

pub(super) struct Oracle<'a> {
    policy: &'a RetentionPolicy,
    points: &'a [Point],
    verified: &'a BTreeSet<u64>,
    now: DateTime<Utc>,
    times: Vec<DateTime<Utc>>,
    /// For each point and kind of slot: the one that it counts in, and the one that it claims.
    slots: Vec<[(String, String); 5]>,
}

impl<'a> Oracle<'a> {
    pub(super) fn new(
        policy: &'a RetentionPolicy,
        points: &'a [Point],
        verified: &'a BTreeSet<u64>,
        now: DateTime<Utc>,
    ) -> Self {
        let times: Vec<_> = (0..points.len()).map(|place| time(points, place, now)).collect();
        let name = |time: DateTime<Utc>, form| time.format(form).to_string();
        let slots = times.iter().zip(points);
        let slots = slots.map(|(time, point)| NAMES.map(|form| (name(*time, form), name(point.finished, form))));
        Self { policy, points, verified, now, slots: slots.collect(), times }
    }

    pub(super) fn kept(&self, part: Part) -> Vec<u64> {
        let places = 0..self.points.len();
        places.filter(|place| self.keeps(*place, part)).map(|place| self.points[place].sequence).collect()
    }

    fn keeps(&self, place: usize, part: Part) -> bool {
        let (policy, point) = (self.policy, &self.points[place]);
        let after = &self.points[place + 1..];
        let hold = point.labels.iter().any(|label| label == "legal-hold" || label.starts_with("legal-hold:"));
        let labelled = point.labels.iter().any(|label| policy.keep_labels.contains(label));
        let young = self.within(place, policy.min_age, self.now);
        let day = |place: usize| self.slots[place][1].0.as_str();
        let counts = |place: &usize| {
            self.verified.contains(&self.points[*place].sequence) && !self.within(*place, policy.min_age, self.now)
        };
        let later_days: BTreeSet<&str> =
            (0..self.points.len()).filter(counts).map(day).filter(|other| *other > day(place)).collect();
        let is_first = !(0..place).filter(counts).any(|before| day(before) == day(place));
        let proven = counts(&place) && is_first && later_days.len() < policy.keep_verified as usize;
        let newest = after.iter().all(|other| point.status < other.status);
        let last = after.len() < policy.keep_last as usize;
        hold || labelled
            || young
            || proven
            || (part == Part::All && (newest || last))
            || self.ends(part).into_iter().any(|end| self.within(place, policy.keep_within, end))
            || (0..5).any(|kind| self.stands(place, kind) && self.slot_is_kept(place, kind, part))
    }

    /// Where a length of time may end.
    fn ends(&self, part: Part) -> Vec<DateTime<Utc>> {
        let newest = self.times.iter().max().copied().filter(|_| part == Part::All);
        newest.into_iter().chain([self.now]).collect()
    }

    fn within(&self, place: usize, length: Period, end: DateTime<Utc>) -> bool {
        self.times[place] > end - TimeDelta::from_std(length.0).unwrap()
    }

    /// Whether all points before it that fall into its slot, and claim the same one, ended worse.
    fn stands(&self, place: usize, kind: usize) -> bool {
        let mut rivals = (0..place).filter(|before| self.slots[*before][kind] == self.slots[place][kind]);
        rivals.all(|before| self.points[place].status < self.points[before].status)
    }

    fn slot_is_kept(&self, place: usize, kind: usize, part: Part) -> bool {
        let p = self.policy;
        let count = [p.keep_hourly, p.keep_daily, p.keep_weekly, p.keep_monthly, p.keep_yearly][kind];
        let lengths = [
            p.keep_within_hourly,
            p.keep_within_daily,
            p.keep_within_weekly,
            p.keep_within_monthly,
            p.keep_within_yearly,
        ];
        let (slot, _) = &self.slots[place][kind];
        let of_the_calendar = (0..count).any(|back| before(self.now, kind, back) == *slot);
        let slots = self.slots.iter().map(|slots| &slots[kind].0);
        let later: BTreeSet<_> = slots.filter(|other| *other > slot).collect();
        of_the_calendar
            || (part == Part::All && later.len() < count as usize)
            || self.ends(part).into_iter().any(|end| {
                let begin = end - TimeDelta::from_std(lengths[kind].0).unwrap();
                !lengths[kind].is_zero() && *slot >= begin.format(NAMES[kind]).to_string()
            })
    }
}

fn time(points: &[Point], place: usize, now: DateTime<Utc>) -> DateTime<Utc> {
    if points[place].finished > now {
        return now;
    }
    points[..=place].iter().map(|point| point.finished).filter(|claim| *claim <= now).max().unwrap()
}

/// The name of the slot that lies some slots before that of a time.
fn before(time: DateTime<Utc>, kind: usize, back: u32) -> String {
    let first_of_month = time.with_day(1).unwrap();
    let then = match kind {
        0 => time - TimeDelta::hours(back.into()),
        1 => time - Days::new(back.into()),
        2 => time - Days::new(u64::from(back) * 7),
        3 => first_of_month - Months::new(back),
        _ => first_of_month - Months::new(back * 12),
    };
    then.format(NAMES[kind]).to_string()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn the_plan_is_what_the_rules_say(
        policy in policy(),
        points in timeline(0..80),
        chosen in any::<u64>(),
    ) {
        let (verified, now) = (verified(&points, chosen), now());
        let plan = policy.plan(&points, &verified, now).unwrap();
        let oracle = Oracle::new(&policy, &points, &verified, now);
        prop_assert_eq!(kept(&plan), oracle.kept(Part::All));
        prop_assert!(plan.decisions.iter().map(|decision| &decision.point).eq(&points));
        for (place, decision) in plan.decisions.iter().enumerate() {
            prop_assert_eq!(decision.time, oracle.times[place]);
        }
    }
}
