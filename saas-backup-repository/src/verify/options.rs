use std::collections::BTreeMap;

use chrono::TimeDelta;
use saas_backup_core::Digest;

/// How thorough a verification is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyOptions {
    /// Which share of the bytes is read, in percent: first what was not read for longest, as a maintainer noted. Default:
    /// 0, which checks that all objects are there in their length.
    pub read_percent: u8,
    /// Chooses what is read when it is not all and nobody noted what was read: another number reads other objects.
    /// Default: 0.
    pub turn: u64,
    /// Reads what is due, in place of a share: what was not read for longest, and as much of it as it takes to read
    /// everything within this period. Default: `None`.
    pub due: Option<TimeDelta>,
    /// Notes what was read and when, if the keys at hand may maintain. Default: no.
    pub record: bool,
    /// Commits that must be there, by source: they tell a timeline that was rolled back.
    pub anchors: BTreeMap<String, Anchor>,
}

/// The last commit that somebody saw; kept elsewhere, it proves that the timeline was not rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Its number.
    pub sequence: u64,
    /// SHA-256 of its header.
    pub sha256: Digest,
}

impl VerifyOptions {
    /// Checks that every object is there in its length.
    pub fn presence() -> Self {
        Self::default()
    }

    /// Reads everything.
    pub fn read_all() -> Self {
        Self { read_percent: 100, ..Self::default() }
    }

    /// Reads a share of the objects, in percent; `turn` decides which.
    #[must_use]
    pub fn with_read_percent(mut self, percent: u8, turn: u64) -> Self {
        self.read_percent = percent.min(100);
        self.turn = turn;
        self
    }

    /// Demands that a source's timeline holds a commit.
    #[must_use]
    pub fn with_anchor(mut self, source: impl Into<String>, anchor: Anchor) -> Self {
        self.anchors.insert(source.into(), anchor);
        self
    }

    /// Reads what is due for everything to be read within a period, and notes what was read.
    ///
    /// How much that is goes by the time since the last such verification: run it daily, or whenever; what was missed is
    /// caught up. The first one reads the share of a day.
    pub fn due(period: TimeDelta) -> Self {
        Self { due: Some(period), record: true, ..Self::default() }
    }

    /// Notes what was read and when, for later verifications and for
    /// [`verified_points`](crate::Source::verified_points).
    #[must_use]
    pub fn with_record(mut self, record: bool) -> Self {
        self.record = record;
        self
    }

    /// Whether anything is read.
    pub(super) fn reads(&self) -> bool {
        self.read_percent > 0 || self.due.is_some()
    }
}
