use std::sync::Arc;

use saas_backup::core::{Progress, Result, TransferOptions, Transferred, WriteMode};

use super::{Session, summary};
use crate::args::{ExportArgs, ImportArgs};
use crate::exit::Outcome;
use crate::progress::Console;
use crate::signals;

pub(super) async fn export(session: &Session, args: ExportArgs) -> Result<Outcome> {
    let project = session.project()?;
    let console = Console::start(session.output, &args.format);
    let progress: Arc<dyn Progress> = console.clone();
    let mode = if args.overwrite { WriteMode::Overwrite } else { WriteMode::Create };
    let mut options = TransferOptions::new(mode)
        .with_at(args.point.at)
        .with_progress(progress)
        .with_cancel(signals::stop_token(session.output, "nothing is left behind"));
    if !args.collections.is_empty() {
        options = options.with_collections(args.collections);
    }
    let result = project.export(&args.source, &args.format, &args.to, options).await;
    console.end();
    finish(session, "export", &args.to.display().to_string(), &result?)
}

pub(super) async fn import(session: &Session, args: &ImportArgs) -> Result<Outcome> {
    let project = session.project()?;
    let console = Console::start(session.output, &args.source);
    let stop = signals::stop_token(session.output, "what was made durable is kept; import again to go on");
    let result = project.import(&args.format, &args.path, &args.source, console.clone(), stop).await;
    console.end();
    finish(session, "source", &args.source, &result?)
}

fn finish(session: &Session, what: &str, name: &str, done: &Transferred) -> Result<Outcome> {
    if session.output.json {
        session.output.object(&summary::object(what, name, done))?;
    } else {
        session.output.text(&summary::text(name, done))?;
    }
    Ok(Outcome::of_status(done.report.status))
}
