use std::fmt::Write as _;

use futures::TryStreamExt as _;
use saas_backup::core::{Json, Result};
use saas_backup::{Change, ChangeKind};

use super::Session;
use crate::args::DiffArgs;
use crate::exit::Outcome;
use crate::output::short;

pub(super) async fn diff(session: &Session, args: DiffArgs) -> Result<Outcome> {
    let project = session.project()?;
    let mut changes = project.diff(&args.source, args.from, args.to).await?;
    let mut none = true;
    while let Some(change) = changes.try_next().await? {
        session.output.result(&change, describe)?;
        none = false;
    }
    if none {
        session.output.note("nothing changed");
    }
    Ok(Outcome::Done)
}

fn describe(change: &Change) -> String {
    let sign = match change.kind {
        ChangeKind::Added => '+',
        ChangeKind::Deleted => '-',
        _ => '~',
    };
    let mut text = format!("{sign} {}\n", short(&change.key.to_string(), 200));
    for field in &change.fields {
        let side = |json: &Option<Json>| json.as_ref().map_or("(none)".to_owned(), |json| short(json.as_str(), 80));
        let _ = writeln!(text, "    {}: {} → {}", short(&field.path, 100), side(&field.before), side(&field.after));
    }
    text
}
