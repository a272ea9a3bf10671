use std::fmt::Write as _;
use std::sync::Arc;

use saas_backup::core::{CheckReport, Error, Progress, Result, TransferOptions, WriteMode};
use saas_backup::{ExportRequest, Exported, load_overlay};

use super::{Session, summary};
use crate::args::{ExportArgs, ImportArgs};
use crate::exit::Outcome;
use crate::progress::Console;
use crate::signals;

/// Most faults that are listed for a person.
const LISTED: usize = 10;

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
    let mut request = ExportRequest::new(&args.source, &args.format, &args.to);
    request.options = options;
    request.overlay = args.overlay.map(load_overlay).transpose()?;
    request.history = args.history;
    request.check = !args.no_check;
    for (name, value) in args.settings {
        request = request.with_setting(name, value);
    }
    let result = project.export(request).await;
    console.end();
    let Exported { transferred, check, .. } = result?;
    let name = args.to.display().to_string();
    if session.output.json {
        let mut object = summary::object("export", &name, &transferred);
        if let (Some(check), Some(members)) = (&check, object.as_object_mut()) {
            members.insert("check".to_owned(), serde_json::to_value(check).map_err(Error::from)?);
        }
        session.output.object(&object)?;
    } else {
        session.output.text(&summary::text(&name, &transferred))?;
        session.output.text(&check.as_ref().map_or_else(String::new, found))?;
    }
    let status = Outcome::of_status(transferred.report.status);
    Ok(if check.is_none_or(|check| check.is_clean()) { status } else { status.max(Outcome::Integrity) })
}

/// What looking through an export found, in lines for people.
fn found(check: &CheckReport) -> String {
    let mut text = format!("  checked: {} files", check.files);
    for (what, number) in &check.checked {
        let _ = write!(text, ", {number} {what}");
    }
    let _ = writeln!(text, ", {} faults", check.count);
    for finding in check.findings.iter().take(LISTED) {
        let at = if finding.at.is_empty() { String::new() } else { format!(" at {}", finding.at) };
        let _ = writeln!(text, "  fault: {}{at}: {}", finding.file, finding.problem);
    }
    if check.count > LISTED as u64 {
        let _ = writeln!(text, "  and {} more; --json lists a thousand", check.count - LISTED as u64);
    }
    text
}

pub(super) async fn import(session: &Session, args: &ImportArgs) -> Result<Outcome> {
    let project = session.project()?;
    let console = Console::start(session.output, &args.source);
    let stop = signals::stop_token(session.output, "what was made durable is kept; import again to go on");
    let result = project.import(&args.format, &args.path, &args.source, console.clone(), stop).await;
    console.end();
    let done = result?;
    if session.output.json {
        session.output.object(&summary::object("source", &args.source, &done))?;
    } else {
        session.output.text(&summary::text(&args.source, &done))?;
    }
    Ok(Outcome::of_status(done.report.status))
}
