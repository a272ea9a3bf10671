use std::fmt::Write as _;

use saas_backup::core::Result;
use saas_backup::ops::alert::{Action, Delivery, OpenAlert};

use super::Session;
use crate::args::AlertsArgs;
use crate::exit::Outcome;
use crate::output::{short, table, time, word};

pub(super) async fn alerts(session: &Session, args: &AlertsArgs) -> Result<Outcome> {
    let project = session.project()?;
    if args.test {
        let tried = project.try_alerts().await?;
        for one in &tried {
            session.output.result(one, |one| match &one.error {
                None => format!("{}: arrived\n", one.name),
                Some(error) => format!("{}: FAILED: {error}\n", one.name),
            })?;
        }
        if tried.is_empty() {
            session.output.note("nobody is told: the configuration has no [[alert]]");
        }
        return Ok(if tried.iter().all(|one| one.error.is_none()) { Outcome::Done } else { Outcome::Failed });
    }
    let told = if args.tell { project.tell_alerts().await? } else { Vec::new() };
    let alerts = project.alerts()?;
    if session.output.json {
        for alert in &alerts {
            session.output.object(alert)?;
        }
    } else {
        session.output.text(&describe(&alerts))?;
    }
    Ok(if told.iter().all(|delivery| delivery.error.is_none()) { Outcome::Done } else { Outcome::Failed })
}

fn describe(alerts: &[OpenAlert]) -> String {
    let row = |open: &OpenAlert| {
        vec![
            time(open.alert.since),
            open.resolved.map_or_else(|| "lasts".to_owned(), time),
            word(&open.alert.severity),
            short(&open.alert.summary, 80),
            open.deliveries.iter().map(told).collect::<Vec<_>>().join(", "),
        ]
    };
    let rows: Vec<Vec<String>> = alerts.iter().map(row).collect();
    let mut text = table(&["SINCE", "UNTIL", "SEVERITY", "WHAT", "TOLD"], &rows);
    for open in alerts.iter().filter(|open| open.resolved.is_none() && !open.alert.advice.is_empty()) {
        let _ = writeln!(text, "{}: {}", open.alert.key, open.alert.advice);
    }
    text
}

fn told(delivery: &Delivery) -> String {
    match (&delivery.error, delivery.action) {
        (None, Action::Trigger) => delivery.route.clone(),
        (None, _) => format!("{} (over)", delivery.route),
        (Some(_), _) => format!("{} FAILED {} times", delivery.route, delivery.tries),
    }
}
