use std::fmt::Write as _;

use futures::TryStreamExt as _;
use saas_backup::core::{Completeness, Key, LineCodec, Record, RecordId, Result};
use saas_backup::{Listing, Point, RecordSummary, Version};
use serde_json::json;

use super::Session;
use crate::args::{LsArgs, PointArgs, ShowArgs, SnapshotsArgs};
use crate::exit::Outcome;
use crate::output::{bytes, number, short, table, time, word};

pub(super) async fn snapshots(session: &Session, args: &SnapshotsArgs) -> Result<Outcome> {
    let project = session.project()?;
    let sources = match &args.source {
        Some(source) => vec![source.clone()],
        None => project.source_names().map(str::to_owned).collect(),
    };
    for source in sources {
        let points = project.points(&source).await?;
        if session.output.json {
            for point in &points {
                let mut object = serde_json::to_value(point)?;
                if let Some(members) = object.as_object_mut() {
                    members.insert("source".to_owned(), json!(source));
                }
                session.output.object(&object)?;
            }
        } else {
            session.output.text(&list_points(&source, &points))?;
        }
    }
    Ok(Outcome::Done)
}

fn list_points(source: &str, points: &[Point]) -> String {
    if points.is_empty() {
        return format!("{source}: no points yet; `saas-backup backup {source}` makes the first\n");
    }
    let rows: Vec<Vec<String>> = points
        .iter()
        .map(|point| {
            vec![
                point.sequence.to_string(),
                time(point.finished),
                word(&point.status),
                point.counts.written.to_string(),
                point.counts.deleted.to_string(),
                point.counts.blobs.to_string(),
                bytes(point.counts.blob_bytes),
                point.bytes_added.map_or("-".to_owned(), bytes),
                point.labels.join(" "),
            ]
        })
        .collect();
    format!(
        "{source}\n{}",
        table(&["POINT", "TIME", "STATUS", "WRITTEN", "DELETED", "BLOBS", "BLOB BYTES", "ADDED", "LABELS"], &rows)
    )
}

pub(super) async fn ls(session: &Session, args: &LsArgs) -> Result<Outcome> {
    let project = session.project()?;
    let at = args.point.at.clone();
    let Some(collection) = &args.collection else {
        let listing = project.list(&args.source, at).await?;
        session.output.result(&listing, list_collections)?;
        return Ok(Outcome::Done);
    };
    let mut records = project.records(&args.source, collection, at).await?;
    while let Some(record) = records.try_next().await? {
        session.output.result(&record, list_record)?;
    }
    Ok(Outcome::Done)
}

fn list_collections(listing: &Listing) -> String {
    let rows: Vec<Vec<String>> = listing
        .collections
        .iter()
        .map(|one| {
            vec![one.collection.to_string(), word(&one.kind), number(one.records), number(one.blobs), one.title.clone()]
        })
        .collect();
    table(&["COLLECTION", "KIND", "RECORDS", "BLOBS", "TITLE"], &rows)
}

fn list_record(record: &RecordSummary) -> String {
    let modified = record.modified.map_or("-".to_owned(), time);
    let title = record.title.as_deref().map_or(String::new(), |title| short(title, 80));
    let blobs = if record.blobs > 0 { format!("  {} attachments", record.blobs) } else { String::new() };
    format!("{}  {modified}  {}  {title}{blobs}", short(record.id.as_str(), 100), word(&record.state))
}

pub(super) async fn show(session: &Session, args: ShowArgs) -> Result<Outcome> {
    let project = session.project()?;
    let key = Key::new(args.collection, RecordId::parse(&args.id)?);
    if args.history {
        for version in project.history(&args.source, &key).await? {
            if session.output.json {
                session.output.raw(version_line(&version)?)?;
            } else {
                session.output.text(&describe_version(&version))?;
            }
        }
        return Ok(Outcome::Done);
    }
    let record = project.show(&args.source, &key, args.point.at).await?;
    if session.output.json {
        session.output.raw(line(&record)?)?;
    } else {
        // The provider's own JSON, token for token: a number that was 1.10 stays it.
        session.output.text(record.data.as_str())?;
    }
    Ok(Outcome::Done)
}

/// A record with what stands around the provider's JSON: the line that archives hold.
fn line(record: &Record) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    LineCodec::stored().encode_put(record, &mut line)?;
    Ok(line)
}

/// A version as JSON, the record's own text untouched.
fn version_line(version: &Version) -> Result<Vec<u8>> {
    let mut text = format!("{{\"point\":{},\"at\":{}", version.point, serde_json::to_string(&version.at)?).into_bytes();
    text.extend_from_slice(b",\"record\":");
    match &version.record {
        Some(record) => text.extend(line(record)?),
        None => text.extend_from_slice(b"null"),
    }
    text.push(b'}');
    Ok(text)
}

fn describe_version(version: &Version) -> String {
    let data = version.record.as_ref().map_or("deleted", |record| record.data.as_str());
    format!("# point {}, {}\n{data}\n", version.point, time(version.at))
}

pub(super) async fn completeness(session: &Session, args: PointArgs) -> Result<Outcome> {
    let project = session.project()?;
    let report = project.completeness(&args.source, args.point.at).await?;
    let complete = report.is_complete();
    session.output.result(&report, describe_completeness)?;
    Ok(if complete { Outcome::Done } else { Outcome::Incomplete })
}

fn describe_completeness(report: &Completeness) -> String {
    let rows: Vec<Vec<String>> = report
        .collections
        .iter()
        .map(|(name, one)| {
            vec![
                name.to_string(),
                if one.complete { "complete" } else { "INCOMPLETE" }.to_owned(),
                word(&one.visible),
                number(one.exists),
                number(one.hidden),
                number(one.held),
                (one.missing_records + one.missing_blobs).to_string(),
                one.deletions_as_of.map_or("-".to_owned(), time),
            ]
        })
        .collect();
    let header = ["COLLECTION", "STATE", "VISIBLE", "EXISTS", "HIDDEN", "HELD", "MISSING", "DELETIONS AS OF"];
    let mut text = table(&header, &rows);
    for (name, one) in &report.collections {
        for reason in &one.reasons {
            let _ = writeln!(text, "{name}: {}", short(reason, 300));
        }
    }
    text
}
