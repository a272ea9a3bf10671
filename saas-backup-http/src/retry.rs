use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use saas_backup_core::{Error, ErrorKind, Result, Retry};

use crate::pacing::Pace;

/// A retry costs ten requests' worth: at most one request in ten is a repetition once the start is spent.
const RETRY_COST: u32 = 10;
const MOST_TOKENS: u32 = 100 * RETRY_COST;

/// What all requests of an account may spend on trying again, so that a provider in trouble is not made worse.
#[derive(Debug)]
pub(crate) struct Retries {
    pub(crate) attempts: u32,
    pub(crate) first_delay: Duration,
    pub(crate) longest_delay: Duration,
    pub(crate) longest_wait: Duration,
    tokens: AtomicU32,
}

impl Retries {
    pub(crate) fn new(attempts: u32, first_delay: Duration, longest_delay: Duration, longest_wait: Duration) -> Self {
        let tokens = AtomicU32::new(20 * RETRY_COST);
        Self { attempts: attempts.max(1), first_delay, longest_delay, longest_wait, tokens }
    }

    /// Begins a call that may take several attempts.
    pub(crate) fn start(&self) -> Attempts<'_> {
        Attempts { retries: self, used: 1, delays: self.delays() }
    }

    /// Notes an attempt that succeeded.
    pub(crate) fn succeeded(&self) {
        let more = |tokens: u32| (tokens < MOST_TOKENS).then_some(tokens + 1);
        // An error only means that the account is full.
        let _ = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    fn spend(&self) -> bool {
        let less = |tokens: u32| tokens.checked_sub(RETRY_COST);
        self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    fn delays(&self) -> ExponentialBackoff {
        ExponentialBuilder::new()
            .with_min_delay(self.first_delay)
            .with_max_delay(self.longest_delay)
            .with_jitter()
            .with_max_times(self.attempts as usize)
            .build()
    }
}

/// The attempts of one call.
#[derive(Debug)]
pub(crate) struct Attempts<'a> {
    retries: &'a Retries,
    used: u32,
    delays: ExponentialBackoff,
}

impl Attempts<'_> {
    /// Waits until the call may be tried again, or gives the error back if it may not.
    ///
    /// What the provider asked for pauses the whole account. Cancel safe.
    pub(crate) async fn after(&mut self, error: Error, pace: &Pace) -> Result<()> {
        if self.used >= self.retries.attempts || error.retry() == Retry::Never {
            return Err(error);
        }
        let delay = self.delays.next().unwrap_or(self.retries.longest_delay);
        match error.retry() {
            // To wait as asked costs the provider nothing: only other repetitions are counted.
            Retry::After(wait) if wait > self.retries.longest_wait => return Err(error),
            Retry::After(wait) => pace.pause(wait),
            _ if !self.retries.spend() => return Err(error.with_context("retries", "too many requests fail")),
            _ if error.kind() == ErrorKind::RateLimited => pace.pause(delay),
            _ => tokio::time::sleep(delay).await,
        }
        self.used += 1;
        tracing::debug!(attempt = self.used, kind = %error.kind(), "trying again");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    fn retries() -> Retries {
        Retries::new(4, Duration::from_millis(500), Duration::from_secs(30), Duration::from_mins(10))
    }

    async fn fail_always(retries: &Retries, pace: &Pace, make: impl Fn() -> Error) -> (u32, Error) {
        let mut attempts = retries.start();
        let mut tries = 0;
        loop {
            pace.ready().await;
            tries += 1;
            if let Err(error) = attempts.after(make(), pace).await {
                return (tries, error);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_helps_is_not_repeated_and_the_rest_ends() {
        let pace = Pace::new(1000.0, 1000);
        let denied = || Error::new(ErrorKind::PermissionDenied, "no");
        assert_eq!(fail_always(&retries(), &pace, denied).await.0, 1);
        let started = Instant::now();
        let down = || Error::new(ErrorKind::Unavailable, "down");
        assert_eq!(fail_always(&retries(), &pace, down).await.0, 4);
        assert!(started.elapsed() >= Duration::from_millis(3500), "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn waits_as_long_as_the_server_asks_and_so_do_all_others() {
        let (retries, pace) = (retries(), Pace::new(1000.0, 1000));
        let started = Instant::now();
        let slow_down = Error::new(ErrorKind::RateLimited, "slow").with_retry(Retry::After(Duration::from_secs(90)));
        retries.start().after(slow_down, &pace).await.unwrap();
        pace.ready().await;
        assert!(started.elapsed() >= Duration::from_secs(90));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_too_long_is_the_callers_to_decide() {
        let (retries, pace) = (retries(), Pace::new(1000.0, 1000));
        let wait = Retry::After(Duration::from_hours(24));
        let error = Error::new(ErrorKind::RateLimited, "tomorrow").with_retry(wait);
        assert_eq!(retries.start().after(error, &pace).await.unwrap_err().retry(), wait);
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_in_trouble_is_spared() {
        let (retries, pace) = (retries(), Pace::new(1000.0, 1000));
        let mut tries = 0;
        for _ in 0..100 {
            tries += fail_always(&retries, &pace, || Error::new(ErrorKind::Unavailable, "down")).await.0;
        }
        assert_eq!(tries, 100 + 20);
        (0..RETRY_COST).for_each(|_| retries.succeeded());
        assert_eq!(fail_always(&retries, &pace, || Error::new(ErrorKind::Unavailable, "down")).await.0, 2);
    }
}
