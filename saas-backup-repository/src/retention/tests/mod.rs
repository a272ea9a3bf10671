//! Points have no constructor outside, so their tests stand here.

mod attack;
mod oracle;
mod rules;
mod timeline;

use chrono::{DateTime, Utc};
use saas_backup_core::{Counts, RunId, RunStatus};

use super::*;
use crate::points::Point;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn point(sequence: u64, finished: DateTime<Utc>, status: RunStatus) -> Point {
    Point {
        sequence,
        run: RunId::parse("01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap(),
        started: finished,
        finished,
        status,
        counts: Counts::default(),
        bytes_added: None,
        labels: Vec::new(),
        lost: 0,
    }
}

fn kept(plan: &RetentionPlan) -> Vec<u64> {
    plan.kept().map(|decision| decision.point.sequence).collect()
}
