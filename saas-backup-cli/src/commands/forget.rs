use std::fmt::Write as _;

use saas_backup::core::Result;
use saas_backup::repository::RetentionDecision;
use saas_backup::{ForgetOptions, Forgot};

use super::{Session, named_or_all};
use crate::args::ForgetArgs;
use crate::exit::Outcome;
use crate::failure;
use crate::output::{short, table, time, word};

pub(super) async fn forget(session: &Session, args: &ForgetArgs) -> Result<Outcome> {
    let project = session.project()?;
    let options = ForgetOptions::default().with_dry_run(args.dry_run);
    let mut worst = Outcome::Done;
    for source in named_or_all(&project, &args.sources)? {
        match project.forget(&source, &options).await {
            Ok(forgot) => session.output.result(&forgot, describe)?,
            Err(error) => {
                let error = error.with_context("source", &source);
                failure::report(session.output, "forget", &error);
                worst = worst.max(failure::outcome("forget", &error));
            }
        }
    }
    Ok(worst)
}

fn describe(forgot: &Forgot) -> String {
    let all = forgot.plan.decisions.len();
    if all == 0 {
        return format!("{}: no points yet\n", forgot.source);
    }
    let rows: Vec<Vec<String>> = forgot.plan.decisions.iter().map(|decision| row(decision, forgot.dry_run)).collect();
    let mut text = format!("{}\n{}", forgot.source, table(&["POINT", "TIME", "STATUS", "WHAT", "WHY"], &rows));
    for warning in &forgot.plan.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    let gone = forgot.forgotten.len();
    let _ = match (gone, forgot.dry_run) {
        (0, _) => writeln!(text, "all {all} points are kept"),
        (_, true) => writeln!(text, "{gone} of {all} points would be forgotten, and nothing was changed"),
        (_, false) => writeln!(text, "{gone} of {all} points forgotten; `saas-backup maintain` frees their space"),
    };
    text
}

fn row(decision: &RetentionDecision, dry_run: bool) -> Vec<String> {
    let point = &decision.point;
    let what = match (decision.is_kept(), dry_run) {
        (true, _) => "keep",
        (false, true) => "forget",
        (false, false) => "forgot",
    };
    let mut why: Vec<String> = decision.kept.iter().map(ToString::to_string).collect();
    if decision.time != point.finished {
        why.push(format!("(counts as made at {})", time(decision.time)));
    }
    let why = short(&why.join(", "), 200);
    vec![point.sequence.to_string(), time(point.finished), word(&point.status), what.to_owned(), why]
}
