use std::fmt::Write as _;

use saas_backup::core::Result;
use saas_backup::repository::KeyProblemKind;
use saas_backup::{Escrowed, KeyCheck, KeyHolders, KeyOptions, KeysChanged, KeysChecked, Project};

use super::Session;
use crate::args::{KeyArgs, KeyCommand};
use crate::exit::Outcome;
use crate::output::{short, table, time};

pub(super) async fn key(session: &Session, args: &KeyArgs) -> Result<Outcome> {
    let project = session.project()?;
    let options = |dry_run: bool| KeyOptions::default().with_dry_run(dry_run);
    let changed = match &args.command {
        KeyCommand::List => {
            session.output.result(&project.key_holders().await?, holders)?;
            return Ok(Outcome::Done);
        }
        KeyCommand::Check { identity, escrow } => {
            let mut check = KeyCheck::default();
            (check.identity, check.escrow) = (identity.clone(), escrow.clone());
            return checked(session, &project, &check).await;
        }
        KeyCommand::Escrow { to, out } => {
            session.output.result(&project.escrow(to, out).await?, escrowed)?;
            return Ok(Outcome::Done);
        }
        KeyCommand::AddRecipient { recipient } => project.add_recipient(recipient).await?,
        KeyCommand::RemoveRecipient { recipient, dry_run } => {
            project.remove_recipient(recipient, &options(*dry_run)).await?
        }
        KeyCommand::AddWriter { file } => project.add_writer(file).await?,
        KeyCommand::RevokeWriter { writer, dry_run } => project.revoke_writer(writer, &options(*dry_run)).await?,
        KeyCommand::Rewrap { dry_run } => project.rewrap_keys(&options(*dry_run)).await?,
    };
    session.output.result(&changed, |changed| describe(changed, &args.command))?;
    Ok(match (changed.problems.is_empty(), changed.denied) {
        (false, _) => Outcome::Integrity,
        (true, 0) => Outcome::Done,
        (true, _) => Outcome::Incomplete,
    })
}

fn holders(holders: &KeyHolders) -> String {
    let Some(root) = &holders.root else {
        return "the repository is not encrypted: everybody reads and writes".to_owned();
    };
    let mut text = format!("owner: {root}\nstatements since it was made: {}\n\n", holders.statement);
    for recipient in &holders.recipients {
        let _ = writeln!(text, "reads: {recipient}");
    }
    let rows: Vec<Vec<String>> = holders
        .writers
        .iter()
        .map(|writer| {
            let may = match writer.revoked {
                Some(at) => format!("nothing since {}", time(at)),
                None if writer.maintains => "write and maintain: the owner".to_owned(),
                None => "write".to_owned(),
            };
            vec![writer.id.clone(), may, writer.recipient.to_string()]
        })
        .collect();
    text.push('\n');
    text.push_str(&table(&["WRITER", "MAY", "RECIPIENT"], &rows));
    text
}

fn describe(changed: &KeysChanged, command: &KeyCommand) -> String {
    let mut text = String::new();
    if let Some(file) = &changed.written {
        let _ = writeln!(text, "made {}: move it to the machine that backs up", file.display());
    }
    if let Some(writer) = &changed.writer {
        let said = match (command, changed.dry_run) {
            (KeyCommand::AddWriter { .. }, _) => "may write",
            (_, true) => "would write no more",
            (_, false) => "writes no more: what it wrote stays, and its further commits do not count",
        };
        let _ = writeln!(text, "{writer} {said}");
    }
    let KeysChanged { objects, rewritten, denied, .. } = changed;
    let verb = if changed.dry_run { "would be rewritten; nothing was changed" } else { "were rewritten" };
    let _ = writeln!(text, "{rewritten} of {objects} key objects {verb}");
    if *denied > 0 {
        let _ = writeln!(text, "{denied} may not be replaced with the storage's credentials, and stay as they are");
    }
    if changed.kept > 0 {
        let _ = writeln!(
            text,
            "{} are kept by the storage as they were before, too, and locked; `key rewrap` removes that later",
            changed.kept
        );
    }
    for problem in &changed.problems {
        let _ = writeln!(text, "DAMAGED {}: {}", problem.object, short(&problem.message, 300));
    }
    if matches!(command, KeyCommand::RemoveRecipient { dry_run: false, .. }) {
        text.push_str("what was kept of keys still opens what was there: take the access to the storage away, too\n");
    }
    text
}

async fn checked(session: &Session, project: &Project, check: &KeyCheck) -> Result<Outcome> {
    let checked = project.check_keys(check).await?;
    session.output.result(&checked, findings)?;
    Ok(match checked.good {
        true => Outcome::Done,
        false if checked.problems.iter().any(|problem| problem.kind == KeyProblemKind::Lost) => Outcome::Integrity,
        false => Outcome::NeedsReview,
    })
}

fn findings(checked: &KeysChecked) -> String {
    let mut text = format!("{} opens {} key objects\n", checked.identity, checked.opened);
    if checked.unnamed > 0 {
        let _ = writeln!(text, "{} key objects are left over, or of what was given up", checked.unnamed);
    }
    for problem in &checked.problems {
        let _ = writeln!(text, "{} {}: {}", word(problem.kind), problem.object, short(&problem.message, 300));
    }
    for (kind, next) in [
        (KeyProblemKind::Lost, "next: `saas-backup repair` fetches lost keys from a replica"),
        (KeyProblemKind::Outdated, "next: `saas-backup key rewrap` encrypts them to those who read and write now"),
        (KeyProblemKind::Role, "next: `saas-backup key list` says who may write; `key add-writer` adds an agent"),
    ] {
        if checked.problems.iter().any(|problem| problem.kind == kind) {
            let _ = writeln!(text, "{next}");
        }
    }
    text.push_str(if checked.good { "the keys are in order\n" } else { "the keys are NOT in order\n" });
    text
}

fn word(kind: KeyProblemKind) -> &'static str {
    match kind {
        KeyProblemKind::Lost => "LOST",
        KeyProblemKind::Outdated => "OUTDATED",
        _ => "ROLE",
    }
}

fn escrowed(escrowed: &Escrowed) -> String {
    let mut text = format!("{} holds {} for:\n", escrowed.file.display(), escrowed.identity);
    for recipient in &escrowed.recipients {
        let _ = writeln!(text, "  {recipient}");
    }
    text.push_str(
        "Keep it apart from the storage. `saas-backup key check --escrow FILE --identity FILE` proves that it works.\n",
    );
    text
}
