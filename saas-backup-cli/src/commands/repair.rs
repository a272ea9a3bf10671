use std::fmt::Write as _;

use saas_backup::core::{Error, ErrorKind, Result};
use saas_backup::{Repaired, VerifyRead};

use super::Session;
use crate::args::RepairArgs;
use crate::exit::Outcome;
use crate::output::short;
use crate::progress::Console;
use crate::signals;

pub(super) async fn repair(session: &Session, args: &RepairArgs) -> Result<Outcome> {
    let project = session.project()?;
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
