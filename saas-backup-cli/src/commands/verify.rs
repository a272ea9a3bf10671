use std::fmt::Write as _;
use std::time::Duration;

use indicatif::ProgressBar;
use saas_backup::Verified;
use saas_backup::core::Result;

use super::Session;
use crate::args::VerifyArgs;
use crate::exit::Outcome;
use crate::output::{bytes, short};

pub(super) async fn verify(session: &Session, args: &VerifyArgs) -> Result<Outcome> {
    let project = session.project()?;
    let bar = session.output.draws().then(ProgressBar::new_spinner);
    if let Some(bar) = &bar {
        bar.enable_steady_tick(Duration::from_millis(120));
    }
    let mut show = |objects: u64| {
        if let Some(bar) = &bar {
            bar.set_message(format!("{objects} objects"));
        }
    };
    let result = project.verify(args.read.unwrap_or(0), &mut show).await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
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
    for problem in &verified.problems {
        let _ = writeln!(text, "DAMAGED {}: {}", problem.object, short(&problem.message, 300));
    }
    text.push_str(if verified.good { "the repository is whole\n" } else { "the repository is NOT whole\n" });
    text
}
