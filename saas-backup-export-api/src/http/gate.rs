use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use saas_backup_core::Clock;

use crate::{Limits, ProblemDetails, Quota};

/// Principals whose requests are remembered although their window has passed.
const REMEMBERED: usize = 1_024;

/// Counts what each principal does: its requests in a window of time, and those at work, bodies that are still sent
/// included.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    most: usize,
    pub(super) quota: Quota,
    clock: Arc<dyn Clock>,
    counts: Arc<Mutex<HashMap<String, Counts>>>,
}

#[derive(Debug, Default)]
struct Counts {
    at_work: usize,
    /// The second in which the window began.
    since: i64,
    used: u64,
}

/// What is left of a principal's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) left: u64,
    /// Seconds until the window ends.
    pub(super) resets_in: u64,
    /// Whether this request is one too many.
    pub(super) exceeded: bool,
}

/// A place at work; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Gate,
    principal: String,
}

impl Gate {
    pub(super) fn new(limits: &Limits, clock: Arc<dyn Clock>) -> Self {
        Self { most: limits.max_concurrent_requests.max(1), quota: limits.quota, clock, counts: Arc::default() }
    }

    /// Counts a request.
    pub(super) fn charge(&self, principal: &str) -> Standing {
        let now = self.clock.now().timestamp();
        let window = i64::try_from(self.quota.seconds).unwrap_or(i64::MAX);
        let passed = |counts: &Counts| now.saturating_sub(counts.since) >= window || now < counts.since;
        let mut all = self.lock();
        if all.len() >= REMEMBERED {
            all.retain(|_, counts| counts.at_work > 0 || !passed(counts));
        }
        let counts = all.entry(principal.to_owned()).or_default();
        if passed(counts) {
            (counts.since, counts.used) = (now, 0);
        }
        let exceeded = counts.used >= self.quota.requests;
        counts.used = counts.used.saturating_add(1);
        let left = self.quota.requests.saturating_sub(counts.used);
        let resets_in = counts.since.saturating_add(window).saturating_sub(now);
        Standing { left, resets_in: u64::try_from(resets_in).unwrap_or_default(), exceeded }
    }

    /// Lets a request in to work, or tells its principal to come back.
    pub(super) fn enter(&self, principal: &str) -> Result<Pass, ProblemDetails> {
        let mut all = self.lock();
        let counts = all.entry(principal.to_owned()).or_default();
        if counts.at_work >= self.most {
            return Err(ProblemDetails::busy(1));
        }
        counts.at_work += 1;
        drop(all);
        Ok(Pass { gate: self.clone(), principal: principal.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Counts>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(counts) = self.gate.lock().get_mut(&self.principal) {
            counts.at_work = counts.at_work.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use chrono::{DateTime, TimeDelta};
    use saas_backup_core::ManualClock;

    fn gate(clock: &ManualClock) -> Gate {
        let limits = Limits::default().with_max_concurrent_requests(2).with_quota(Quota::new(3, 60));
        Gate::new(&limits, Arc::new(clock.clone()))
    }

    #[test]
    fn each_principal_has_its_own_places_and_gets_them_back() {
        let gate = gate(&ManualClock::new(DateTime::UNIX_EPOCH));
        let (first, _second) = (gate.enter("a").unwrap(), gate.enter("a").unwrap());
        let refused = gate.enter("a").unwrap_err();
        assert_eq!((refused.status, refused.retry_after), (429, Some(1)));
        drop(gate.enter("b").unwrap());
        drop(first);
        drop(gate.enter("a").unwrap());
    }

    #[test]
    fn requests_are_counted_by_principal_and_window() {
        let clock = ManualClock::new(DateTime::UNIX_EPOCH + TimeDelta::days(1));
        let gate = gate(&clock);
        let left: Vec<u64> = (0..3).map(|_| gate.charge("a").left).collect();
        assert_eq!(left, [2, 1, 0]);
        clock.advance(Duration::from_secs(20));
        assert_eq!(gate.charge("a"), Standing { left: 0, resets_in: 40, exceeded: true });
        assert!(!gate.charge("b").exceeded);
        clock.advance(Duration::from_secs(40));
        assert_eq!(gate.charge("a"), Standing { left: 2, resets_in: 60, exceeded: false });
    }

    #[test]
    fn principals_of_long_ago_are_forgotten_and_those_at_work_are_not() {
        let clock = ManualClock::new(DateTime::UNIX_EPOCH + TimeDelta::days(1));
        let gate = gate(&clock);
        let _places = [gate.enter("at work").unwrap(), gate.enter("at work").unwrap()];
        for number in 0..REMEMBERED {
            gate.charge(&format!("p{number}"));
        }
        clock.advance(Duration::from_secs(61));
        gate.charge("a new one");
        assert_eq!(gate.lock().len(), 2);
        assert!(gate.enter("at work").is_err());
    }
}
