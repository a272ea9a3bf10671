use std::sync::Arc;

use saas_backup::core::{Error, ErrorKind, Key, Progress, RecordId, Result, TransferOptions};
use serde_json::json;

use super::{Session, summary};
use crate::args::RestoreArgs;
use crate::exit::Outcome;
use crate::progress::Console;
use crate::signals;

pub(super) async fn restore(session: &Session, args: RestoreArgs) -> Result<Outcome> {
    let project = session.project()?;
    let console = Console::start(session.output, &args.to);
    let progress: Arc<dyn Progress> = console.clone();
    let mut options = TransferOptions::new(args.mode.into())
        .with_at(args.point.at.clone())
        .with_dry_run(args.dry_run)
        .with_progress(progress)
        .with_cancel(signals::stop_token(session.output, "the id map is kept; restore again to go on"));
    if !args.ids.is_empty() {
        options = options.with_records(keys(&args)?);
    } else if !args.collections.is_empty() {
        options = options.with_collections(args.collections.clone());
    }
    let result = project.restore(&args.source, &args.to, options).await;
    console.end();
    let restored = result?;
    let done = &restored.transferred;
    if session.output.json {
        let mut object = summary::object("source", &args.source, done);
        if let Some(members) = object.as_object_mut() {
            let ids: Vec<_> = restored.ids.iter().map(|(from, to)| json!({ "from": from, "to": to })).collect();
            members.insert("to".to_owned(), json!(args.to));
            members.insert("dry_run".to_owned(), json!(args.dry_run));
            members.insert("ids".to_owned(), json!(ids));
            members.insert("id_map".to_owned(), json!(restored.id_map));
        }
        session.output.object(&object)?;
    } else {
        let name = if args.dry_run { format!("{} (dry run)", args.to) } else { args.to.clone() };
        session.output.text(&summary::text(&name, done))?;
        if let Some(path) = &restored.id_map {
            session.output.note(format_args!("{} new ids: {}", restored.ids.len(), path.display()));
        }
    }
    Ok(Outcome::of_status(done.report.status))
}

fn keys(args: &RestoreArgs) -> Result<Vec<Key>> {
    let [collection] = args.collections.as_slice() else {
        return Err(Error::new(ErrorKind::Configuration, "--id needs exactly one --collection"));
    };
    args.ids.iter().map(|id| Ok(Key::new(collection.clone(), RecordId::parse(id)?))).collect()
}
