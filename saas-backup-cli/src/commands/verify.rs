use std::fmt::Write as _;

use saas_backup::core::{Error, ErrorKind, Result};
use saas_backup::{Verified, VerifyRead};

use super::Session;
use crate::args::VerifyArgs;
use crate::exit::Outcome;
use crate::output::{bytes, short, time};
use crate::progress::Console;

pub(super) async fn verify(session: &Session, args: &VerifyArgs) -> Result<Outcome> {
    let project = session.project()?;
    let read = match (args.read.unwrap_or_default(), args.within) {
        (VerifyRead::Due(_), Some(period)) => VerifyRead::Due(period),
        (_, Some(_)) => return Err(Error::new(ErrorKind::Configuration, "--within goes with --read due")),
        (read, None) => read,
    };
    let console = Console::start(session.output, "verify");
    let mut show = |objects: u64, read: u64| console.show(&format!("{objects} objects looked for, {read} read"));
    let result = project.verify(read, &mut show).await;
    console.end();
    let verified = result?;
    session.output.result(&verified, describe)?;
    Ok(match verified.good {
        true => Outcome::Done,
        false if verified.is_unreachable() => Outcome::Failed,
        false => Outcome::Integrity,
    })
}

fn describe(verified: &Verified) -> String {
    let Verified { objects, read, sealed, orphans, .. } = verified;
    let mut text = format!("{objects} objects, {read} of them read ({})", bytes(verified.bytes));
    if *sealed > 0 {
        let _ = write!(text, ", {sealed} by their digest alone, for want of the key");
    }
    text.push('\n');
    if *orphans > 0 {
        let _ = writeln!(
            text,
            "{orphans} objects are left over from runs that were stopped ({})",
            bytes(verified.orphan_bytes)
        );
    }
    if let Some(oldest) = verified.oldest {
        let _ = write!(text, "every object was read or written since {}", time(oldest));
        if verified.unread > 0 {
            let _ = write!(text, "; {} of them were not read yet ({})", verified.unread, bytes(verified.unread_bytes));
        }
        text.push('\n');
        let _ = writeln!(text, "{} points in time are verified", verified.verified_points);
    }
    for layout in &verified.lone_layouts {
        let _ = writeln!(text, "{layout} alone holds what removed commits said; `saas-backup repair` writes another");
    }
    for problem in &verified.problems {
        let _ = writeln!(text, "DAMAGED {}: {}", problem.object, short(&problem.message, 300));
    }
    text.push_str(if verified.good { "the repository is whole\n" } else { "the repository is NOT whole\n" });
    text
}
