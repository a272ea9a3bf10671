use std::time::Duration;

use super::TransferOptions;
use crate::{Error, ErrorKind, Result, Retry};

/// Longest pause before a source is asked again that we choose ourselves.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// How long to wait before what failed `tries` times in a row is tried again; `None` if it is given up.
pub(super) fn pause(options: &TransferOptions, error: &Error, tries: u32) -> Option<Duration> {
    match error.retry() {
        Retry::Never => None,
        _ if tries > options.restarts => None,
        Retry::After(wait) => Some(wait),
        Retry::Backoff => Some(Duration::from_secs(1 << tries.min(6)).min(LONGEST_PAUSE)),
    }
}

/// Waits; `false` if the run was cancelled meanwhile.
pub(super) async fn wait(options: &TransferOptions, wait: Duration) -> bool {
    tokio::select! {
        () = tokio::time::sleep(wait) => true,
        () = options.cancel.cancelled() => false,
    }
}

/// Asks a source again while its failure may pass, as often as a feed is started again.
pub(super) async fn retried<T, F>(options: &TransferOptions, mut ask: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut tries = 0;
    loop {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        tries += 1;
        let Some(pause) = pause(options, &error, tries) else { return Err(error) };
        tracing::info!(%error, ?pause, "the source is asked again");
        if !wait(options, pause).await {
            return Err(Error::new(ErrorKind::Cancelled, "the run was cancelled").with_source(error));
        }
    }
}
