use std::collections::BTreeSet;
use std::fmt::Write as _;

use saas_backup::core::{Period, Result};
use saas_backup::{InventoryCopies, InventoryItem};

use super::Session;
use crate::exit::Outcome;
use crate::output::{bytes, coarse, number, short, table, time};

pub(super) async fn inventory(session: &Session) -> Result<Outcome> {
    let items = session.project()?.inventory().await?;
    if session.output.json {
        for item in &items {
            session.output.object(item)?;
        }
    } else {
        session.output.text(&describe(&items))?;
    }
    Ok(if items.iter().all(|item| item.protected) { Outcome::Done } else { Outcome::Incomplete })
}

fn describe(items: &[InventoryItem]) -> String {
    let header = [
        "STORE",
        "KIND",
        "OWNER",
        "PROTECTED",
        "POINTS",
        "RECORDS",
        "STORED",
        "AGE / RPO",
        "RTO MEASURED / RTO",
        "REPLICAS",
    ];
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    let mut text = table(&header, &rows);
    for item in items {
        let note =
            |text: &Option<String>| text.as_ref().map_or(String::new(), |text| format!(": {}", short(text, 200)));
        if item.copies.is_none() {
            let _ = writeln!(text, "{}: nothing protects it{}{}", item.name, note(&item.contains), note(&item.note));
        } else if !item.protected {
            let _ = writeln!(
                text,
                "{}: there is no complete copy that is young enough; `saas-backup status` says why",
                item.name
            );
        }
    }
    let mut told = BTreeSet::new();
    for item in items {
        let Some(own) = item.own_backup.filter(|_| told.insert(&item.kind)) else { continue };
        let _ = writeln!(text, "{} by itself: {} {}", item.kind, own.says, own.source);
    }
    text
}

fn row(item: &InventoryItem) -> Vec<String> {
    let mut row = vec![
        item.name.clone(),
        short(&item.kind, 40),
        item.owner.as_ref().map_or_else(|| "-".to_owned(), |owner| short(owner, 40)),
        if item.protected { "yes" } else { "NO" }.to_owned(),
    ];
    match &item.copies {
        None => row.extend((0..6).map(|_| "-".to_owned())),
        Some(copies) => row.extend(of_copies(copies)),
    }
    row
}

fn of_copies(copies: &InventoryCopies) -> [String; 6] {
    let told = |period: Option<Period>| period.map_or_else(|| "-".to_owned(), |period| period.to_string());
    let since = copies.first.map_or(String::new(), |first| format!(" since {}", time(first)));
    [
        format!("{}{since}", copies.points),
        number(copies.records),
        bytes(copies.stored),
        format!("{} / {}", told(copies.age.map(coarse)), told(copies.rpo)),
        format!("{} / {}", told(copies.rto_measured), told(copies.rto)),
        copies.replicas.to_string(),
    ]
}
