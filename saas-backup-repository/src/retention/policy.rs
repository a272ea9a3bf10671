use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use saas_backup_core::{Error, ErrorKind, Period, Result};
use serde::{Deserialize, Serialize};

use super::decide;
use super::interval::RetentionInterval;
use super::plan::RetentionPlan;
use crate::points::Point;

/// Which points in time of a source are kept.
///
/// A point is kept if any rule keeps it. Whatever the rules say, these are kept: points with the label `legal-hold` or
/// one that begins with `legal-hold:`, points younger than [`min_age`](Self::min_age), the newest points that were
/// verified, the newest point, the newest complete point. A number or a length of 0 is no rule. Times are in UTC.
///
/// A rule by the hour, day, week, month or year cuts time into slots and keeps of each slot the *first* point, and each
/// later one that ended better than all before it: so the first complete point, and until there is one the best there
/// is. What is written later displaces nothing, and the point that stands for a month has stood for its day before.
///
/// A count takes the newest slots that have points: a pause in the backups loses nothing. As no point counts with a time
/// after now, these always include as many slots of the calendar: whoever adds points can not push out what lies in
/// them. The same holds for lengths of time, which end at the newest point, and so never after now.
///
/// ```
/// use std::collections::BTreeSet;
/// # use std::sync::Arc;
///
/// # use chrono::TimeDelta;
/// # use saas_backup_core::memory::{MemoryConnector, MemoryStore};
/// # use saas_backup_core::{Clock as _, Json, Key, ManualClock, Record, TransferOptions, transfer};
/// use saas_backup_repository::RetentionPolicy;
/// # use saas_backup_repository::{Repository, RepositoryOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> saas_backup_core::Result<()> {
/// # let clock = ManualClock::new("2026-11-21T10:00:00Z".parse().expect("it is a time"));
/// # let options = RepositoryOptions::parse("memory:")?.with_clock(Arc::new(clock.clone()));
/// # let source = Repository::init(options).await?.source("blog")?;
/// # let store = MemoryStore::new();
/// # for day in 0..20 {
/// #     store.put(Record::new(Key::parse("notes", "1")?, Json::parse(format!(r#"{{"day":{day}}}"#))?));
/// #     let options = TransferOptions::backup().with_clock(Arc::new(clock.clone()));
/// #     transfer(&MemoryConnector::new(store.clone()), &source, options).await?;
/// #     clock.advance(std::time::Duration::from_secs(86_400));
/// # }
/// // A source that was backed up once a day for twenty days.
/// let policy = RetentionPolicy::default().with_keep_daily(10).with_keep_monthly(12);
/// let plan = policy.plan(&source.points().await?, &BTreeSet::new(), clock.now())?;
/// assert_eq!(plan.forgotten().count(), 9);
/// let first = plan.kept().next().expect("the newest is always kept");
/// assert_eq!(first.kept[0].to_string(), "monthly 2026-11");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetentionPolicy {
    /// Keeps this many of the newest points, however they ended. Default: 0.
    ///
    /// By number alone: whoever can write pushes old points out of it, once the minimum age has passed. The other rules
    /// do not have this weakness; a plan warns where there is none of them.
    pub keep_last: u32,
    /// Keeps the points of this many hours. Default: 0.
    pub keep_hourly: u32,
    /// Keeps the points of this many days. Default: 0.
    pub keep_daily: u32,
    /// Keeps the points of this many weeks. Default: 0.
    pub keep_weekly: u32,
    /// Keeps the points of this many months. Default: 0.
    pub keep_monthly: u32,
    /// Keeps the points of this many years. Default: 0.
    pub keep_yearly: u32,
    /// Keeps all points that are less than this older than the newest. Default: 0.
    pub keep_within: Period,
    /// Keeps the points of the hours that this length, ending at the newest point, reaches into. Default: 0.
    pub keep_within_hourly: Period,
    /// Keeps the points of the days that this length, ending at the newest point, reaches into. Default: 0.
    pub keep_within_daily: Period,
    /// Keeps the points of the weeks that this length, ending at the newest point, reaches into. Default: 0.
    pub keep_within_weekly: Period,
    /// Keeps the points of the months that this length, ending at the newest point, reaches into. Default: 0.
    pub keep_within_monthly: Period,
    /// Keeps the points of the years that this length, ending at the newest point, reaches into. Default: 0.
    pub keep_within_yearly: Period,
    /// Keeps points that have one of these labels. Default: none.
    pub keep_labels: BTreeSet<String>,
    /// The age below which nothing is forgotten. Default: 7 days.
    pub min_age: Period,
    /// Keeps, of this many of the newest days with verified points, the first of these each; points younger than `min_age`
    /// count for none. Default: 1.
    ///
    /// A floor below the rules, and none itself.
    pub keep_verified: u32,
}

/// No rule at all, which [`check`](RetentionPolicy::check) refuses: add some.
impl Default for RetentionPolicy {
    fn default() -> Self {
        Self {
            keep_last: 0,
            keep_hourly: 0,
            keep_daily: 0,
            keep_weekly: 0,
            keep_monthly: 0,
            keep_yearly: 0,
            keep_within: Period::ZERO,
            keep_within_hourly: Period::ZERO,
            keep_within_daily: Period::ZERO,
            keep_within_weekly: Period::ZERO,
            keep_within_monthly: Period::ZERO,
            keep_within_yearly: Period::ZERO,
            keep_labels: BTreeSet::new(),
            min_age: Period(Duration::from_hours(7 * 24)),
            keep_verified: 1,
        }
    }
}

/// Writes the setters of fields.
macro_rules! setters {
    ($($with:ident $field:ident: $kind:ty, $what:literal;)*) => {$(
        #[doc = concat!("Sets ", $what, ".")]
        #[must_use]
        pub fn $with(mut self, $field: $kind) -> Self {
            self.$field = $field.into();
            self
        }
    )*};
}

impl RetentionPolicy {
    setters! {
        with_keep_last keep_last: u32, "how many of the newest points are kept";
        with_keep_hourly keep_hourly: u32, "how many hours are kept";
        with_keep_daily keep_daily: u32, "how many days are kept";
        with_keep_weekly keep_weekly: u32, "how many weeks are kept";
        with_keep_monthly keep_monthly: u32, "how many months are kept";
        with_keep_yearly keep_yearly: u32, "how many years are kept";
        with_keep_within keep_within: impl Into<Period>, "for how long all points are kept";
        with_keep_within_hourly keep_within_hourly: impl Into<Period>, "for how long hourly points are kept";
        with_keep_within_daily keep_within_daily: impl Into<Period>, "for how long daily points are kept";
        with_keep_within_weekly keep_within_weekly: impl Into<Period>, "for how long weekly points are kept";
        with_keep_within_monthly keep_within_monthly: impl Into<Period>, "for how long monthly points are kept";
        with_keep_within_yearly keep_within_yearly: impl Into<Period>, "for how long yearly points are kept";
        with_min_age min_age: impl Into<Period>, "the age below which nothing is forgotten";
        with_keep_verified keep_verified: u32, "how many of the newest verified points are kept";
    }

    /// Keeps points that have a label.
    #[must_use]
    pub fn with_keep_label(mut self, label: impl Into<String>) -> Self {
        self.keep_labels.insert(label.into());
        self
    }

    /// Checks that the policy says what to keep.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if it has no rule that keeps, or one with a length of more than a century.
    pub fn check(&self) -> Result<()> {
        if self.keep_last == 0 && !self.keeps_by_time() && self.keep_labels.is_empty() {
            let message = "the retention has no rule that keeps; say `keep_daily`, or another `keep_…`";
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        let within = RetentionInterval::ALL.map(|interval| self.within(interval));
        if within.into_iter().chain([self.keep_within, self.min_age]).any(|length| length > Period::LONGEST) {
            return Err(Error::new(ErrorKind::Configuration, "the retention has a length of more than a century"));
        }
        Ok(())
    }

    /// Decides about the points of one source.
    ///
    /// `verified` holds the sequences of points that were verified, `now` is the maintainer's clock. Changes nothing.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check).
    pub fn plan(&self, points: &[Point], verified: &BTreeSet<u64>, now: DateTime<Utc>) -> Result<RetentionPlan> {
        self.check()?;
        Ok(decide::plan(self, points, verified, now))
    }

    /// Whether a rule keeps points by their time.
    pub(super) fn keeps_by_time(&self) -> bool {
        let in_slots = |interval| self.count(interval) > 0 || !self.within(interval).is_zero();
        !self.keep_within.is_zero() || RetentionInterval::ALL.into_iter().any(in_slots)
    }

    /// How many slots are kept.
    pub(super) fn count(&self, interval: RetentionInterval) -> u32 {
        match interval {
            RetentionInterval::Hourly => self.keep_hourly,
            RetentionInterval::Daily => self.keep_daily,
            RetentionInterval::Weekly => self.keep_weekly,
            RetentionInterval::Monthly => self.keep_monthly,
            RetentionInterval::Yearly => self.keep_yearly,
        }
    }

    /// For how long slots are kept.
    pub(super) fn within(&self, interval: RetentionInterval) -> Period {
        match interval {
            RetentionInterval::Hourly => self.keep_within_hourly,
            RetentionInterval::Daily => self.keep_within_daily,
            RetentionInterval::Weekly => self.keep_within_weekly,
            RetentionInterval::Monthly => self.keep_within_monthly,
            RetentionInterval::Yearly => self.keep_within_yearly,
        }
    }
}
