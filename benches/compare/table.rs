use std::fs;
use std::path::{Path, PathBuf};

use benches::Workload;

use crate::others::Other;
use crate::{Outcome, account, limit, ours};
use benches::measure::{Cost, held_below, measure};

/// What one program did in one step.
struct Row {
    step: &'static str,
    program: String,
    cost: Cost,
    added: Option<u64>,
}

/// Makes the workload, measures everything, and prints tables in Markdown.
pub(crate) fn run(folder: &Path, workload: Workload) -> Outcome<()> {
    let folder = &empty(folder)?;
    let sizes = [workload.records.to_string(), workload.attachments.to_string()];
    let options = ["--records", &sizes[0], "--attachments", &sizes[1]];
    eprintln!("making the account …");
    workload.write_base(&account(folder))?;
    let mut rows = Vec::new();
    let others: Vec<Other> =
        [Other::Restic, Other::Borg].into_iter().filter(|other| other.version().is_some()).collect();

    eprintln!("the bare limit …");
    for (threads, words) in [("1", "one thread"), ("2", "two threads")] {
        let cost = own(folder, &["limit"], &[threads])?;
        rows.push(Row { step: "initial", program: format!("the bare limit, {words}"), cost, added: None });
    }

    let cost = own(folder, &["ours", "source"], &options)?;
    let program = "the source alone, part of saas-backup's".to_owned();
    rows.push(Row { step: "initial", program, cost, added: None });

    eprintln!("initial backups …");
    own(folder, &["ours", "init"], &options)?;
    rows.push(our_row(folder, "initial", "backup", &options)?);
    for other in &others {
        other.init(folder, other.name())?;
        rows.push(back_up(
            folder,
            *other,
            "initial",
            other.name(),
            "initial",
            &["account/records", "account/attachments"],
        )?);
    }

    eprintln!("increments …");
    workload.write_round(&account(folder), 1, true)?;
    rows.push(our_row(folder, "increment", "backup", &options)?);
    for other in &others {
        let what = ["account/records", "account/attachments"];
        rows.push(back_up(folder, *other, "increment", other.name(), "round", &what)?);
    }
    if others.contains(&Other::Restic) {
        let changes = new_files(folder, workload)?;
        Other::Restic.init(folder, "restic-changes")?;
        let what: Vec<&str> = changes.iter().map(String::as_str).collect();
        let row = back_up(folder, Other::Restic, "increment", "restic-changes", "round", &what)?;
        rows.push(Row { program: "restic, fed only what changed".to_owned(), ..row });
    }
    let what_changed: Vec<PathBuf> = new_files(folder, workload)?.iter().map(|file| folder.join(file)).collect();
    let bound = limit::compressed(&what_changed)?;

    eprintln!("reading everything back …");
    let read = our_row(folder, "restore", "read", &options)?;
    rows.push(Row { program: "saas-backup, reading and checking alone".to_owned(), ..read });
    rows.push(our_row(folder, "restore", "restore", &options)?);
    for other in &others {
        let cost = other.restore(folder, other.name(), "round", &format!("{}-restored", other.name()))?;
        rows.push(Row { step: "restore", program: other.name().to_owned(), cost, added: None });
    }
    eprintln!("verifying …");
    rows.push(our_row(folder, "verify", "verify", &options)?);
    for other in &others {
        let cost = other.verify(folder, other.name())?;
        rows.push(Row { step: "verify", program: other.name().to_owned(), cost, added: None });
    }
    rows.push(our_row(folder, "one record", "record", &options)?);
    print(&rows, bound, &others);
    Ok(())
}

/// Backs up, changes one record in a hundred, backs up again, and merges everything into a base, twice.
pub(crate) fn upkeep(folder: &Path, workload: Workload) -> Outcome<()> {
    let folder = &empty(folder)?;
    let sizes = [workload.records.to_string(), workload.attachments.to_string()];
    let options = ["--records", &sizes[0], "--attachments", &sizes[1]];
    eprintln!("making the account …");
    workload.write_base(&account(folder))?;
    own(folder, &["ours", "init"], &options)?;
    let initial = own(folder, &["ours", "backup"], &options)?;
    workload.write_round(&account(folder), 1, true)?;
    let mut rows = vec![("1 % changed", own(folder, &["ours", "backup"], &options)?)];
    rows.push(("merging all runs", own(folder, &["ours", "compact"], &options)?));
    workload.write_round(&account(folder), 2, true)?;
    own(folder, &["ours", "backup"], &options)?;
    rows.push(("merging a run into the base", own(folder, &["ours", "compact"], &options)?));
    rows.push(("erasing one customer", own(folder, &["ours", "erase"], &options)?));
    rows.push(("verifying all", own(folder, &["ours", "verify"], &options)?));
    rows.push(("verifying all as due, and noting it", own(folder, &["ours", "due"], &options)?));
    own(folder, &["ours", "lose"], &options)?;
    rows.push(("going on without a lost segment", own(folder, &["ours", "mend"], &options)?));
    println!("| step | CPU s | ÷ first backup | wall s | peak MiB |\n|---|--:|--:|--:|--:|");
    println!("| first backup | {:.2} | | {:.1} | {:.0} |", initial.cpu, initial.wall, initial.peak);
    for (step, cost) in rows {
        let ratio = cost.cpu / initial.cpu;
        println!("| {step} | {:.2} | {ratio:.2} | {:.1} | {:.0} |", cost.cpu, cost.wall, cost.peak);
    }
    Ok(())
}

/// Reads everything back after one increment of about ten records and after a thousand, and prints the ratio.
pub(crate) fn long(folder: &Path, records: u64) -> Outcome<()> {
    let folder = &empty(folder)?;
    let workload = Workload { records, attachments: 0, new_attachments: 0, one_in: records / 10 };
    let sizes = [records.to_string(), workload.one_in.to_string()];
    let options = ["--records", &sizes[0], "--attachments", "0", "--one-in", &sizes[1]];
    eprintln!("making the account …");
    workload.write_base(&account(folder))?;
    own(folder, &["ours", "init"], &options)?;
    own(folder, &["ours", "backup"], &options)?;
    workload.write_round(&account(folder), 1, false)?;
    own(folder, &["ours", "backup"], &options)?;
    let one = own(folder, &["ours", "restore"], &options)?;
    eprintln!("{} increments …", ours::ROUNDS);
    let all = own(folder, &["ours", "increments"], &options)?;
    let many = own(folder, &["ours", "restore"], &options)?;
    println!("| reading {records} records back | CPU s | peak MiB |\n|---|--:|--:|");
    println!("| after 1 increment of about 10 records | {:.2} | {:.0} |", one.cpu, one.peak);
    println!("| after {} | {:.2} | {:.0} |", ours::ROUNDS, many.cpu, many.peak);
    println!("\nratio {:.3}; {:.1} CPU s for the increments and their workload", many.cpu / one.cpu, all.cpu);
    Ok(())
}

/// A folder to work in, which must hold nothing.
fn empty(folder: &Path) -> Outcome<PathBuf> {
    fs::create_dir_all(folder)?;
    let folder = folder.canonicalize()?;
    if fs::read_dir(&folder)?.next().is_some() {
        return Err(format!("{} is not empty: name an empty folder", folder.display()).into());
    }
    Ok(folder)
}

/// One of this program's own steps, in a process of its own.
fn own(folder: &Path, step: &[&str], options: &[&str]) -> Outcome<Cost> {
    let program = std::env::current_exe()?.display().to_string();
    let here = folder.display().to_string();
    let mut command = vec![program.as_str()];
    command.extend(step);
    command.push(&here);
    command.extend(options);
    measure(folder, &command, &[])
}

fn our_row(folder: &Path, step: &'static str, command: &str, options: &[&str]) -> Outcome<Row> {
    let repository = folder.join("ours");
    let before = held_below(&repository)?.1;
    let cost = own(folder, &["ours", command], options)?;
    let added = (command == "backup").then_some(held_below(&repository)?.1.saturating_sub(before));
    Ok(Row { step, program: "saas-backup".to_owned(), cost, added })
}

fn back_up(
    folder: &Path,
    other: Other,
    step: &'static str,
    repository: &str,
    name: &str,
    what: &[&str],
) -> Outcome<Row> {
    let before = held_below(&folder.join(repository))?.1;
    let cost = other.backup(folder, repository, name, what)?;
    let added = Some(held_below(&folder.join(repository))?.1.saturating_sub(before));
    Ok(Row { step, program: format!("{}, shards", other.name()), cost, added })
}

/// What round 1 added, as a connector would fetch it.
fn new_files(folder: &Path, workload: Workload) -> Outcome<Vec<String>> {
    let mut files = Vec::new();
    limit::collect(&account(folder).join("changes/00001"), &mut files)?;
    for id in workload.attachments_of(1) {
        files.push(account(folder).join(format!("attachments/{:02}/att_{id:06}", id % 100)));
    }
    files.sort();
    let relative = files.iter().map(|file| file.strip_prefix(folder).map(|file| file.display().to_string()));
    Ok(relative.collect::<Result<_, _>>()?)
}

#[expect(clippy::cast_precision_loss, reason = "a table for people")]
fn print(rows: &[Row], bound: u64, others: &[Other]) {
    for other in others {
        println!("{} {}", other.name(), other.version().unwrap_or_default());
    }
    println!("\n| step | program | CPU s | ours ÷ it | wall s | peak MiB | MB added |");
    println!("|---|---|--:|--:|--:|--:|--:|");
    for row in rows {
        let ours = rows.iter().find(|other| other.step == row.step && other.program == "saas-backup");
        let ratio = ours.filter(|_| row.program != "saas-backup").map(|ours| ours.cost.cpu / row.cost.cpu);
        println!(
            "| {} | {} | {:.2} | {} | {:.1} | {:.0} | {} |",
            row.step,
            row.program,
            row.cost.cpu,
            ratio.map_or(String::new(), |ratio| format!("{ratio:.3}")),
            row.cost.wall,
            row.cost.peak,
            row.added.map_or(String::new(), |added| format!("{:.1}", added as f64 / 1e6)),
        );
    }
    println!("\nzstd -3 of the changed lines and new attachments: {:.1} MB", bound as f64 / 1e6);
    println!(
        "\n| layout | a record at a point in time | one record without reading a shard | one person erased |\n\
         |---|---|---|---|\n\
         | saas-backup | yes | yes | yes, by rewriting what holds it |\n\
         | shards in a chunk store | the whole shard of that time | no | rewrites every shard of every snapshot |\n\
         | only the changes in a chunk store | by replaying every change since the first | no | rewrites every snapshot |"
    );
}
