use std::fmt::Write as _;

use saas_backup::Configured;
use saas_backup::core::Result;

use super::Session;
use crate::args::{ConfigArgs, ConfigCommand};
use crate::exit::Outcome;
use crate::output::{table, time};

pub(super) async fn config(session: &Session, args: &ConfigArgs) -> Result<Outcome> {
    let ConfigCommand::Check = args.command;
    let configured = session.project()?.configured().await?;
    session.output.result(&configured, describe)?;
    Ok(Outcome::Done)
}

fn describe(configured: &Configured) -> String {
    let Configured { sources, jobs, alerts, replicas, warnings, .. } = configured;
    let mut text = format!("{} sources, {} alerts, {replicas} replicas\n", sources.len(), alerts.len());
    if !jobs.is_empty() {
        let starts = |at: Option<_>| at.map_or_else(|| "never".to_owned(), time);
        let rows: Vec<Vec<String>> = jobs.iter().map(|job| vec![job.job.clone(), starts(job.starts)]).collect();
        text.push_str(&table(&["JOB", "WOULD START"], &rows));
    }
    for warning in warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text.push_str("the configuration does\n");
    text
}
