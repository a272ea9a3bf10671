use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::Outcome;

/// CPU seconds of this process so far, user and system.
pub(crate) fn cpu() -> Outcome<f64> {
    let usage: Usage = getrusage(UsageWho::RUSAGE_SELF)?;
    #[expect(clippy::cast_precision_loss, reason = "a measurement")]
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// The largest resident set of this process so far, in MiB.
pub(crate) fn peak() -> Outcome<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a measurement")]
    let peak = getrusage(UsageWho::RUSAGE_SELF)?.max_rss() as f64 / 1024.0;
    Ok(peak)
}

/// How many times one number is another.
#[expect(clippy::cast_precision_loss, reason = "a measurement")]
pub(crate) fn ratio(of: u64, to: u64) -> f64 {
    of as f64 / to.max(1) as f64
}
