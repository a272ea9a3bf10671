use crate::{At, Capabilities, Connector, ErrorKind, Result, SinkOptions, SnapshotOptions, WriteMode};

use super::report::{Finding, Report, applies, ensure};

/// Checks a connector: that it says who it is, that it refuses what it does not claim, and, if it reads, all that
/// [`snapshot`](super::snapshot()) checks. It writes nothing.
///
/// What is behind it must stand still while the checks run. It needs a tokio runtime with time; a check that is stuck
/// fails after two minutes.
pub async fn connector(connector: &dyn Connector) -> Report {
    let mut report = Report::default();
    let capabilities = connector.capabilities();
    report
        .check(
            "capabilities-are-constant",
            "callers ask once and rely on the answer",
            std::future::ready(constant(connector, capabilities)),
        )
        .await;
    report
        .check(
            "the-account-has-a-stable-id",
            "a copy belongs to one account: the id decides whether a run may go on with it",
            account(connector),
        )
        .await;
    report
        .check(
            "reading-is-refused-unless-claimed",
            "callers ask the capabilities and never try and see",
            reading(connector, capabilities),
        )
        .await;
    report
        .check(
            "the-past-is-refused-unless-claimed",
            "a provider that answers with the present when asked for the past falsifies history",
            past(connector, capabilities),
        )
        .await;
    report
        .check(
            "modes-are-refused-unless-claimed",
            "a session in a mode that the target does not know would do something else to what is there",
            modes(connector, capabilities),
        )
        .await;
    report
        .check(
            "a-dry-run-is-refused-unless-claimed",
            "a dry run that writes is the worst of surprises",
            dry_run(connector, capabilities),
        )
        .await;
    if capabilities.read { report.and(super::snapshot(connector).await) } else { report }
}

fn constant(connector: &dyn Connector, before: Capabilities) -> Finding {
    ensure!(connector.capabilities() == before, "they changed between two calls");
    Ok(())
}

async fn account(connector: &dyn Connector) -> Finding {
    let (first, second) = (connector.check().await?, connector.check().await?);
    ensure!(!first.id.is_empty(), "the account's id is empty");
    ensure!(first.id == second.id, "the account's id changed between two calls");
    Ok(())
}

async fn reading(connector: &dyn Connector, capabilities: Capabilities) -> Finding {
    applies!(!capabilities.read, "it reads");
    refused(connector.snapshot(SnapshotOptions::default()).await, "a snapshot")
}

async fn past(connector: &dyn Connector, capabilities: Capabilities) -> Finding {
    applies!(capabilities.read, "it does not read");
    if !capabilities.points_in_time {
        return refused(connector.snapshot(SnapshotOptions::at(At::Back(1))).await, "a snapshot of the past");
    }
    let opened = connector.snapshot(SnapshotOptions::at(At::Sequence(u64::MAX))).await;
    let kind = opened.map(drop).err().map(|error| error.kind());
    ensure!(kind == Some(ErrorKind::NotFound), "a point that does not exist gave {kind:?}, not not-found");
    Ok(())
}

async fn modes(connector: &dyn Connector, capabilities: Capabilities) -> Finding {
    let unclaimed: Vec<WriteMode> = MODES.iter().copied().filter(|mode| !claims(capabilities, *mode)).collect();
    applies!(!unclaimed.is_empty(), "it has all modes");
    for mode in unclaimed {
        refused(connector.sink(SinkOptions::new(mode)).await, &format!("the mode {mode:?}"))?;
    }
    Ok(())
}

async fn dry_run(connector: &dyn Connector, capabilities: Capabilities) -> Finding {
    let mode = MODES.iter().copied().find(|mode| claims(capabilities, *mode));
    let Some(mode) = mode.filter(|_| !capabilities.dry_run) else {
        applies!(false, "it has dry runs, or does not write");
        return Ok(());
    };
    refused(connector.sink(SinkOptions::new(mode).with_dry_run(true)).await, "a dry run")
}

/// All modes of writing.
pub(super) const MODES: &[WriteMode] = &[WriteMode::Mirror, WriteMode::Create, WriteMode::Merge, WriteMode::Overwrite];

pub(super) fn claims(capabilities: Capabilities, mode: WriteMode) -> bool {
    match mode {
        WriteMode::Mirror => capabilities.mirror,
        WriteMode::Create => capabilities.create,
        WriteMode::Merge => capabilities.merge,
        WriteMode::Overwrite => capabilities.overwrite,
    }
}

/// What is not claimed must be refused, with the one kind that says so.
pub(super) fn refused<T>(result: Result<T>, what: &str) -> Finding {
    match result {
        Ok(_) => ensure!(false, "{what} is not claimed and was given"),
        Err(error) => {
            ensure!(
                error.kind() == ErrorKind::Unsupported,
                "{what} was refused as {} and not as unsupported",
                error.kind()
            );
        }
    }
    Ok(())
}
