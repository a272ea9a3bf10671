use std::fmt::Write as _;

use saas_backup::core::{CancellationToken, Progress, Result, TransferOptions, Transferred};
use saas_backup::{Plan, Project};
use serde_json::json;

use super::{Session, chosen, summary};
use crate::args::BackupArgs;
use crate::exit::Outcome;
use crate::output::{number, table, word};
use crate::progress::Console;
use crate::{failure, signals};

pub(super) async fn backup(session: &Session, args: &BackupArgs) -> Result<Outcome> {
    let project = session.project()?;
    let sources = chosen(&project, &args.sources)?;
    if args.plan {
        return plan(session, &project, &sources).await;
    }
    let stop =
        signals::stop_token(session.output, "what was made durable is kept, and the next run goes on from there");
    let mut worst = Outcome::Done;
    for source in &sources {
        if stop.is_cancelled() {
            worst = worst.max(Outcome::Failed);
            break;
        }
        worst = worst.max(one(session, &project, source, args, &stop).await?);
    }
    Ok(worst)
}

/// Backs up one source; a failure is told and does not keep the others from their run.
async fn one(
    session: &Session,
    project: &Project,
    source: &str,
    args: &BackupArgs,
    stop: &CancellationToken,
) -> Result<Outcome> {
    if args.accept_coverage {
        project.accept_coverage(source)?;
    }
    let console = Console::start(session.output, source);
    let progress: std::sync::Arc<dyn Progress> = console.clone();
    let options = TransferOptions::backup()
        .with_full(args.full)
        .with_accepted_deletions(args.accept_deletions)
        .with_progress(progress)
        .with_cancel(stop.clone());
    let result = project.backup(source, options).await;
    console.end();
    match result {
        Ok(done) => {
            print(session, source, &done)?;
            Ok(Outcome::of_status(done.report.status))
        }
        Err(error) => {
            let error = error.with_context("source", source);
            failure::report(session.output, "backup", &error);
            Ok(Outcome::of_error(&error))
        }
    }
}

fn print(session: &Session, source: &str, done: &Transferred) -> Result<()> {
    if session.output.json {
        return session.output.object(&summary::object("source", source, done));
    }
    session.output.text(&summary::text(source, done))
}

async fn plan(session: &Session, project: &Project, sources: &[String]) -> Result<Outcome> {
    for source in sources {
        let plan = project.plan(source).await?;
        session.output.result(&plan, describe)?;
    }
    Ok(Outcome::Done)
}

fn describe(plan: &Plan) -> String {
    let how = if plan.incremental { "the changes since the last run" } else { "everything" };
    let mut text = format!("{} ({}): would read {how}\n", plan.source, plan.account.name);
    if plan.open_gaps > 0 {
        let _ = writeln!(text, "{} known gaps would be tried again first", plan.open_gaps);
    }
    let rows: Vec<Vec<String>> = plan
        .collections
        .iter()
        .map(|one| vec![one.collection.to_string(), word(&json!(one.visible)), number(one.exists), number(one.held)])
        .collect();
    text + &table(&["COLLECTION", "VISIBLE", "EXISTS", "HELD"], &rows)
}
