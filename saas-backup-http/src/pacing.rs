use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use tokio::time::Instant;

/// Spaces the requests of one account, and holds all of them back while the provider asks for it.
///
/// The generic cell rate algorithm in tokio's time. A slot that is taken and not used is lost, which only makes the
/// account slower: waiting is cancel safe.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    burst: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    // When the next request would be due if none were allowed to come early.
    due: Instant,
    resume_at: Instant,
}

impl Pace {
    /// So many requests a second, so many of them at once.
    pub(crate) fn new(per_second: f64, burst: u32) -> Self {
        let interval = Duration::try_from_secs_f64(1.0 / per_second).unwrap_or(Duration::from_hours(1));
        let now = Instant::now();
        Self {
            interval,
            burst: interval.saturating_mul(burst.saturating_sub(1)),
            state: Mutex::new(State { due: now, resume_at: now }),
        }
    }

    /// Waits for the account's next slot.
    pub(crate) async fn ready(&self) {
        loop {
            let at = self.reserve();
            tokio::time::sleep_until(at).await;
            // The account may have been paused while this request waited for its slot.
            if self.lock().resume_at <= at {
                return;
            }
        }
    }

    /// Lets no request of the account through before so much time has passed.
    pub(crate) fn pause(&self, wait: Duration) {
        let mut state = self.lock();
        state.resume_at = state.resume_at.max(Instant::now() + wait);
    }

    fn reserve(&self) -> Instant {
        let mut state = self.lock();
        let earliest = Instant::now().max(state.resume_at);
        let at = earliest.max(state.due.checked_sub(self.burst).unwrap_or(earliest));
        state.due = state.due.max(at) + self.interval;
        at
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a response asks its client to wait before the next request, if it does.
///
/// Reads `Retry-After` (seconds or a date), the `RateLimit` fields of the IETF draft in both forms, and the
/// `X-RateLimit-*` family with a reset in seconds or as a time. `now` is only used where the response has no `Date`.
pub fn asked_to_wait(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let now = text(headers, DATE.as_str()).and_then(date).unwrap_or(now);
    if let Some(value) = text(headers, RETRY_AFTER.as_str()) {
        let wait = match value.trim().parse::<f64>() {
            Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
            Err(_) => date(value).map(|at| (at - now).to_std().unwrap_or_default()),
        };
        if wait.is_some() {
            return wait;
        }
    }
    if let Some(value) = text(headers, "ratelimit") {
        let (remaining, reset) = (parameter(value, &["r", "remaining"]), parameter(value, &["t", "reset"]));
        if remaining == Some(0) {
            return reset.map(Duration::from_secs);
        }
    }
    ["ratelimit-", "x-ratelimit-", "x-rate-limit-"].iter().find_map(|prefix| {
        let remaining: f64 = text(headers, &format!("{prefix}remaining"))?.trim().parse().ok()?;
        let reset: f64 = text(headers, &format!("{prefix}reset"))?.trim().parse().ok()?;
        // A reset of a billion seconds is a time of day: that of the year 2001 or later.
        let wait = if reset >= 1e9 {
            DateTime::from_timestamp(reset as i64, 0).map(|at| (at - now).to_std().unwrap_or_default())
        } else {
            Duration::try_from_secs_f64(reset).ok()
        };
        wait.filter(|_| remaining <= 0.0)
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn date(value: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(value.trim()).ok().map(Into::into)
}

fn parameter(value: &str, names: &[&str]) -> Option<u64> {
    let mut members = value.split([';', ',']).filter_map(|member| member.split_once('='));
    let (_, number) = members.find(|(name, _)| names.contains(&name.trim()))?;
    number.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn wait(pairs: &[(&'static str, &str)]) -> Option<u64> {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        asked_to_wait(&headers(pairs), now).map(|wait| wait.as_secs())
    }

    #[test]
    fn every_way_to_ask_is_understood() {
        assert_eq!(wait(&[("retry-after", "120")]), Some(120));
        assert_eq!(
            wait(&[("retry-after", "Wed, 21 Oct 2015 07:28:30 GMT"), ("date", "Wed, 21 Oct 2015 07:28:00 GMT")]),
            Some(30)
        );
        assert_eq!(wait(&[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")]), Some(0));
        assert_eq!(wait(&[("ratelimit", "\"default\";r=0;t=7")]), Some(7));
        assert_eq!(wait(&[("ratelimit", "limit=10, remaining=0, reset=9")]), Some(9));
        assert_eq!(wait(&[("ratelimit", "\"default\";r=3;t=7")]), None);
        assert_eq!(wait(&[("ratelimit-remaining", "0"), ("ratelimit-reset", "5")]), Some(5));
        assert_eq!(wait(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1700000042")]), Some(42));
        assert_eq!(wait(&[("x-ratelimit-remaining", "1"), ("x-ratelimit-reset", "1700000042")]), None);
        for nonsense in ["soon", "-5", "1e999", "NaN"] {
            assert_eq!(wait(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_spaced_after_the_burst() {
        let pace = Pace::new(10.0, 3);
        let started = Instant::now();
        for _ in 0..3 {
            pace.ready().await;
        }
        assert_eq!(started.elapsed(), Duration::ZERO);
        for _ in 0..10 {
            pace.ready().await;
        }
        let elapsed = started.elapsed();
        assert!(elapsed >= Duration::from_secs(1) && elapsed < Duration::from_millis(1100), "{elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_back_those_that_wait_already() {
        let pace = std::sync::Arc::new(Pace::new(1.0, 1));
        let started = Instant::now();
        pace.ready().await;
        let waiting = tokio::spawn({
            let pace = std::sync::Arc::clone(&pace);
            async move { pace.ready().await }
        });
        tokio::task::yield_now().await;
        pace.pause(Duration::from_secs(30));
        pace.ready().await;
        assert!(started.elapsed() >= Duration::from_secs(30));
        waiting.await.unwrap();
        assert!(started.elapsed() >= Duration::from_secs(30));
    }
}
