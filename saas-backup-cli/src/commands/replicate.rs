use std::fmt::Write as _;

use saas_backup::Replicated;
use saas_backup::core::{Error, ErrorKind, Result};

use super::Session;
use crate::args::ReplicateArgs;
use crate::exit::Outcome;
use crate::output::{bytes, short};
use crate::progress::Console;
use crate::{failure, signals};

pub(super) async fn replicate(session: &Session, args: &ReplicateArgs) -> Result<Outcome> {
    let project = session.project()?;
    let stop = signals::stop_token(session.output, "what was copied stays, and the next run copies the rest");
    let console = Console::start(session.output, "replicate");
    let mut show = |replica: &str, objects: u64, size: u64| {
        console.show(&format!("{replica}: {objects} objects, {}", bytes(size)));
    };
    let result = tokio::select! {
        result = project.replicate(args.to.as_deref(), &mut show) => result,
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
        session.output.result(&replicated, describe)?;
        if !replicated.complete {
            worst = worst.max(Outcome::Integrity);
        }
    }
    Ok(worst)
}

fn describe(replicated: &Replicated) -> String {
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
