use std::fmt::Write as _;

use saas_backup::core::{Error, ErrorKind, Result};
use saas_backup::{Mended, Project, Repaired, VerifyRead};

use super::Session;
use crate::args::RepairArgs;
use crate::exit::Outcome;
use crate::output::short;
use crate::progress::Console;
use crate::signals;

pub(super) async fn repair(session: &Session, args: &RepairArgs) -> Result<Outcome> {
    let project = session.project()?;
    let is_alone = args.drop || args.dry_run || (args.from.is_none() && !project.config().has_copies());
    if is_alone {
        return alone(session, &project, args).await;
    }
    let stop = signals::stop_token(session.output, "what was mended stays, and the next run mends the rest");
    let console = Console::start(session.output, "repair");
    let mut show = |objects: u64| console.show(&format!("{objects} objects looked for"));
    let result = tokio::select! {
        result = project.repair(args.from.as_deref(), args.read.map_or(VerifyRead::Nothing, VerifyRead::Percent), &mut show) => result,
        () = stop.cancelled() => Err(Error::new(ErrorKind::Cancelled, "the repair was stopped")),
    };
    console.end();
    let repaired = result?;
    session.output.result(&repaired, |repaired| describe(repaired, args.read))?;
    Ok(match repaired.good {
        true => Outcome::Done,
        false if repaired.is_unreachable() => Outcome::Failed,
        false => Outcome::Integrity,
    })
}

async fn alone(session: &Session, project: &Project, args: &RepairArgs) -> Result<Outcome> {
    let stop = signals::stop_token(session.output, "what was mended stays, and the next run mends the rest");
    let console = Console::start(session.output, "repair");
    let mut show = |objects: u64| console.show(&format!("{objects} objects looked for"));
    let read = args.read.map_or(VerifyRead::Nothing, VerifyRead::Percent);
    let result = tokio::select! {
        result = project.mend(read, args.drop, args.dry_run, &mut show) => result,
        () = stop.cancelled() => Err(Error::new(ErrorKind::Cancelled, "the repair was stopped")),
    };
    console.end();
    let mended = result?;
    session.output.result(&mended, mended_text)?;
    Ok(match mended.good {
        true => Outcome::Done,
        false if mended.is_unreachable() => Outcome::Failed,
        false => Outcome::Integrity,
    })
}

fn mended_text(mended: &Mended) -> String {
    let Mended { restored, removed, dropped, lost, problems, dry_run, .. } = mended;
    let would = if *dry_run { "would be " } else { "" };
    let mut text = String::new();
    for (objects, what) in [(restored, "made anew"), (removed, "removed")] {
        for object in objects {
            let _ = writeln!(text, "{would}{what}: {object}");
        }
    }
    for (given_up, what) in [(dropped, format!("{would}given up")), (lost, "lost".to_owned())] {
        for (source, given_up) in given_up {
            let _ = writeln!(text, "{source}: {what}, for {} points in time:", given_up.points.len());
            for object in &given_up.objects {
                let _ = writeln!(text, "  {object}");
            }
            for (collection, count) in &given_up.collections {
                let _ = writeln!(
                    text,
                    "  {collection}: {} records, {} references to attachments",
                    count.records, count.attachments
                );
            }
        }
    }
    for problem in problems {
        let _ = writeln!(text, "DAMAGED {}: {}", problem.object, short(&problem.message, 300));
    }
    if !lost.is_empty() {
        text.push_str(if mended.replica {
            "a replica may hold what is lost: saas-backup repair --read all\n"
        } else {
            "fetch it from a copy with --from, or give it up with --drop\n"
        });
    } else if mended.replica && !dropped.is_empty() && *dry_run {
        text.push_str("a replica may hold what is lost: run saas-backup repair --read all first\n");
    }
    if !dropped.is_empty() && !dry_run {
        text.push_str("the next backup reads everything again\n");
    }
    text.push_str(match (mended.good, dry_run) {
        (true, _) => "nothing is wrong in what was looked at\n",
        (false, true) => "nothing was changed\n",
        (false, false) => "the repository is NOT whole\n",
    });
    text
}

fn describe(repaired: &Repaired, read: Option<u8>) -> String {
    let Repaired { replica, objects, problems, .. } = repaired;
    let mut text = format!("{} objects fetched from {replica}\n", objects.len());
    for object in objects {
        let _ = writeln!(text, "fetched {object}");
    }
    for problem in problems {
        let _ = writeln!(text, "DAMAGED {}: {}", problem.object, short(&problem.message, 300));
    }
    text.push_str(match (repaired.good, read) {
        (false, _) => "the repository is NOT whole\n",
        (true, Some(100)) => "the repository is whole\n",
        (true, Some(_)) => "nothing is wrong in what was read; --read all reads everything\n",
        (true, None) => "nothing is missing; --read all looks for damage in the data, too\n",
    });
    text
}
