use std::fmt::Write as _;

use saas_backup::core::{Error, ErrorKind, Result};
use saas_backup::{Replicated, ReplicatedSource};

use super::Session;
use crate::args::ReplicateArgs;
use crate::exit::Outcome;
use crate::output::{bytes, short, time};
use crate::progress::Console;
use crate::{failure, signals};

pub(super) async fn replicate(session: &Session, args: &ReplicateArgs) -> Result<Outcome> {
    let project = session.project()?;
    let stop = signals::stop_token(session.output, "what was copied stays, and the next run copies the rest");
    let console = Console::start(session.output, "replicate");
    let mut show = |replica: &str, objects: u64, size: u64| {
        console.show(&format!("{replica}: {objects} copied, {}", bytes(size)));
    };
    let result = tokio::select! {
        result = project.replicate(args.to.as_deref(), args.dry_run, &mut show) => result,
        () = stop.cancelled() => Err(Error::new(ErrorKind::Cancelled, "the replication was stopped")),
    };
    console.end();
    let mut worst = Outcome::Done;
    for replicated in result? {
        if let Some(failed) = &replicated.failure {
            let error = Error::new(failed.kind, failed.message.clone()).with_context("replica", &replicated.replica);
            failure::report(session.output, "replicate", &error);
            worst = worst.max(failure::outcome("replicate", &error));
            continue;
        }
        session.output.result(&replicated, |replicated| match &replicated.followed {
            Some(sources) => followed(replicated, sources, args.dry_run),
            None => copied(replicated),
        })?;
        let failures = replicated.followed.iter().flatten().filter_map(|source| source.failure.as_ref());
        let outcomes = failures.map(|failed| failure::outcome("replicate", &Error::new(failed.kind, String::new())));
        worst = outcomes.fold(worst, Outcome::max);
        if !replicated.complete && replicated.followed.is_none() {
            worst = worst.max(Outcome::Integrity);
        }
    }
    Ok(worst)
}

fn copied(replicated: &Replicated) -> String {
    let Replicated { replica, objects, held, problems, .. } = replicated;
    let mut text = format!("{replica}: {objects} objects copied ({}), {held} were there", bytes(replicated.bytes));
    text.push_str(if replicated.complete { "; it holds everything\n" } else { "; it does NOT hold everything\n" });
    if let Some(pruned) = &replicated.pruned {
        let removed = pruned.objects + pruned.orphans + pruned.commits;
        if removed > 0 {
            let _ = writeln!(text, "  {removed} objects removed that were given up ({})", bytes(pruned.bytes));
        }
        if pruned.denied > 0 {
            let _ = writeln!(text, "  {} objects stay: these credentials may not remove them", pruned.denied);
        }
    }
    for problem in problems {
        let _ = writeln!(text, "  NOT COPIED {}: {}", problem.object, short(&problem.message, 300));
    }
    text
}

fn followed(replicated: &Replicated, sources: &[ReplicatedSource], dry_run: bool) -> String {
    let Replicated { replica, objects, held, .. } = replicated;
    let points: usize = sources.iter().map(|source| source.points.len()).sum();
    let mut text = if dry_run {
        format!("{replica}: {points} points in time would be taken over, {held} are there\n")
    } else {
        let size = bytes(replicated.bytes);
        let whole = if replicated.complete { "it holds everything" } else { "it does NOT hold everything" };
        format!(
            "{replica}: {points} points in time taken over ({objects} records, {size}), {held} were there; {whole}\n"
        )
    };
    for ReplicatedSource { source, points, erasures, failure, .. } in sources {
        for point in points {
            let _ = writeln!(text, "  {source}: point {} of {}", point.sequence, time(point.finished));
        }
        if let Some(failed) = failure {
            let _ = writeln!(text, "  NOT FOLLOWED {source}: {}", short(&failed.message, 300));
        }
        for erasure in erasures {
            let _ = writeln!(
                text,
                "  {source}: request {} was carried out here and not there: run the same `erase` with it as [repository]",
                short(&erasure.request, 100)
            );
        }
    }
    text
}
