use std::fmt::Write as _;

use saas_backup::core::{CancellationToken, Error, ErrorKind, Result};
use saas_backup::repository::{Collected, Compacted};
use saas_backup::{MaintainOptions, Maintained, Project};

use super::{Session, named_or_all};
use crate::args::MaintainArgs;
use crate::exit::Outcome;
use crate::output::bytes;
use crate::progress::Console;
use crate::{failure, signals};

pub(super) async fn maintain(session: &Session, args: &MaintainArgs) -> Result<Outcome> {
    let project = session.project()?;
    let mut options = MaintainOptions::default().with_all(args.all).with_dry_run(args.dry_run);
    options.grace = args.grace;
    let sources = named_or_all(&project, &args.sources)?;
    let stop = signals::stop_token(session.output, "what is not finished is left to the next run");
    let mut worst = Outcome::Done;
    for source in &sources {
        match one(session, &project, source, &options, &stop).await {
            Ok(maintained) => session.output.result(&maintained, describe)?,
            Err(error) => {
                let error = error.with_context("source", source);
                failure::report(session.output, "maintain", &error);
                worst = worst.max(failure::outcome("maintain", &error));
            }
        }
        if stop.is_cancelled() {
            break;
        }
    }
    Ok(worst)
}

async fn one(
    session: &Session,
    project: &Project,
    source: &str,
    options: &MaintainOptions,
    stop: &CancellationToken,
) -> Result<Maintained> {
    let console = Console::start(session.output, source);
    let mut show =
        |done: &Compacted| console.show(&format!("{} lines merged, {} left out", done.lines_kept, done.lines_dropped));
    let result = tokio::select! {
        result = project.maintain(source, options, &mut show) => result,
        () = stop.cancelled() => Err(Error::new(ErrorKind::Cancelled, "the maintenance was stopped")),
    };
    console.end();
    result
}

fn describe(maintained: &Maintained) -> String {
    let Maintained { source, compacted, collected, locked, dry_run, .. } = maintained;
    let mut text = format!("{source}: {}\n", merged(compacted, *dry_run));
    removed(&mut text, collected, *dry_run);
    if let Some(locked) = locked {
        let verb = if *dry_run { "would lock" } else { "locked" };
        let _ = writeln!(text, "  {verb} {} of {} objects anew", locked.extended, locked.objects);
        if locked.denied > 0 {
            let _ = writeln!(text, "  {} may not be locked with the storage's credentials", locked.denied);
        }
    }
    text
}

fn merged(compacted: &Compacted, dry_run: bool) -> String {
    if !compacted.due {
        return "nothing to merge yet".to_owned();
    }
    let what = if compacted.base { "everything into a new base" } else { "small commits into one run" };
    if dry_run {
        return format!("would merge {what}; nothing was changed");
    }
    let Compacted { bytes_before, bytes_after, .. } = compacted;
    let mut text = format!("merged {what}; lines took {}, take {}", bytes(*bytes_before), bytes(*bytes_after));
    if compacted.resumed {
        text.push_str(", going on where an interrupted merge had come to");
    }
    for (count, what) in [
        (compacted.lines_dropped, "lines that no point needs left out"),
        (compacted.attachments_released, "attachments given up"),
        (compacted.points_compared, "points compared before and after"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    text
}

fn removed(text: &mut String, collected: &Collected, dry_run: bool) {
    let verb = if dry_run { "would remove" } else { "removed" };
    let counts: Vec<String> = [
        (collected.objects, "objects that were given up"),
        (collected.commits, "commits and layouts that a newer layout repeats"),
        (collected.orphans, "objects of runs that were stopped"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    let _ = if counts.is_empty() {
        writeln!(text, "  nothing to remove yet")
    } else {
        writeln!(text, "  {verb} {} ({})", counts.join(", "), bytes(collected.bytes))
    };
    let Collected { denied, waiting, waiting_bytes, .. } = collected;
    if *waiting > 0 {
        let _ = writeln!(text, "  {waiting} objects stay until their grace is over ({})", bytes(*waiting_bytes));
    }
    if *denied > 0 {
        let _ = writeln!(text, "  {denied} objects stay: these credentials may not remove them");
    }
}
