use saas_backup::core::CancellationToken;

use crate::output::Output;

/// The exit code of a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// A token that the first Ctrl-C or SIGTERM cancels; the second ends the process at once.
pub(crate) fn stop_token(output: Output, what: &'static str) -> CancellationToken {
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        let Ok(mut signals) = Signals::new() else {
            tracing::warn!("signals cannot be heard: Ctrl-C ends at once");
            return;
        };
        signals.next().await;
        output.note(format_args!("stopping: {what}; once more ends at once"));
        stop.cancel();
        signals.next().await;
        std::process::exit(INTERRUPTED);
    });
    token
}

/// Requests to read the configuration anew: SIGHUP, where the system knows it.
pub(crate) struct Reloads {
    #[cfg(unix)]
    hangups: Option<tokio::signal::unix::Signal>,
}

impl Reloads {
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(unix)]
            hangups: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok(),
        }
    }

    /// Waits for the next one. Several that come at once may count as one.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(hangups) = &mut self.hangups
            && hangups.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    #[expect(clippy::unnecessary_wraps, reason = "the other systems' form can fail")]
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
