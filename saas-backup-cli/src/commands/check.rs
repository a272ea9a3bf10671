use saas_backup::Checked;
use saas_backup::core::Result;

use super::{Session, chosen};
use crate::args::SourcesArgs;
use crate::exit::Outcome;
use crate::failure;
use crate::output::{number, table, word};

pub(super) async fn check(session: &Session, args: &SourcesArgs) -> Result<Outcome> {
    let project = session.project()?;
    let mut worst = Outcome::Done;
    for source in chosen(&project, &args.sources)? {
        match project.check(&source).await {
            Ok(checked) => session.output.result(&checked, describe)?,
            Err(error) => {
                let error = error.with_context("source", &source);
                failure::report(session.output, "check", &error);
                worst = worst.max(failure::outcome("check", &error));
            }
        }
    }
    Ok(worst)
}

fn describe(checked: &Checked) -> String {
    let scopes = if checked.account.scopes.is_empty() {
        String::new()
    } else {
        format!("; scopes: {}", checked.account.scopes.join(" "))
    };
    let text = format!("{}: {} ({}){scopes}\n", checked.source, checked.account.name, checked.account.id);
    let rows: Vec<Vec<String>> = checked
        .catalog
        .collections
        .iter()
        .map(|collection| {
            let coverage = checked.coverage.collections.get(&collection.name);
            vec![
                collection.name.to_string(),
                coverage.map_or("unknown".to_owned(), |coverage| word(&coverage.visible)),
                number(coverage.and_then(|coverage| coverage.count)),
                number(coverage.and_then(|coverage| coverage.hidden)),
                coverage.and_then(|coverage| coverage.reason.clone()).unwrap_or_default(),
            ]
        })
        .collect();
    text + &table(&["COLLECTION", "VISIBLE", "EXISTS", "HIDDEN", "WHY"], &rows)
}
