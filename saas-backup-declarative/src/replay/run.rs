use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use chrono::TimeDelta;
use futures::TryStreamExt as _;
use saas_backup_core::{ManualClock, Result};
use serde_json::{Map, Value};

use super::compare::{Rule, counted, first_missing, normal};
use super::recording::{Recording, Server};
use super::{Mutation, Report, Verdict};
use crate::Manifest;
use crate::plan::Plan;
use crate::request::Cache;
use crate::shared::{Hosts, KeepSetting, Shared};
use crate::slice::Partition;
use crate::stream::Stream;
use crate::template::value_of;
use crate::walk::{Position, Walk};

pub(super) fn all(folder: &Path, only: &str, mutation: Mutation) -> Result<Report> {
    let mut report = Report::default();
    let mut names: Vec<String> = std::fs::read_dir(folder)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.strip_suffix(".yaml").map(str::to_owned))
        .filter(|name| name.contains(only))
        .collect();
    names.sort();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    for name in names {
        let manifest = match Manifest::load(folder.join(format!("{name}.yaml"))) {
            Ok(manifest) => manifest.changed(|root| mutate(root, mutation)),
            Err(error) => {
                let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
                report.unreadable.insert(name, format!("{error}{source}"));
                continue;
            }
        };
        report.manifests += 1;
        for collection in manifest.lint().map(|lint| lint.collections).unwrap_or_default() {
            report.streams += 1;
            if let Some(problem) = collection.problem {
                // Without where it stands.
                let problem = problem.split(" (").next().unwrap_or_default().to_owned();
                *report.problems.entry(problem).or_default() += 1;
            }
        }
        let cassettes = folder.join("cassettes").join(&name);
        let Ok(found) = std::fs::read_dir(&cassettes) else { continue };
        let recordings: Vec<Recording> = found.map(|entry| Recording::load(&entry?.path())).collect::<Result<_>>()?;
        for recording in &recordings {
            let verdict = runtime.block_on(one(&manifest, recording, &recordings));
            report.verdicts.insert((name.clone(), recording.stream.clone()), verdict);
        }
    }
    Ok(report)
}

fn mutate(value: &mut Value, mutation: Mutation) {
    match value {
        Value::Object(members) => {
            match mutation {
                Mutation::None => return,
                Mutation::PageSize => {
                    let size =
                        members.get("page_size").and_then(|size| size.as_i64().or_else(|| size.as_str()?.parse().ok()));
                    if let Some(size) = size {
                        members.insert("page_size".to_owned(), (size + 1).into());
                    }
                }
                Mutation::OnePage => {
                    members.remove("paginator");
                }
                Mutation::Filters => {
                    members.remove("record_filter");
                }
            }
            members.values_mut().for_each(|member| mutate(member, mutation));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mutate(item, mutation)),
        _ => {}
    }
}

/// The settings of a recording, where a provider may replace some.
#[derive(Debug)]
struct Remembers(Value);

impl KeepSetting for Remembers {
    fn keep(&self, path: &[String], value: &str) -> Result<crate::template::Value> {
        let mut settings = self.0.clone();
        if let Some(member) = settings.pointer_mut(&format!("/{}", path.join("/"))) {
            *member = value.into();
        }
        Ok(value_of(&settings))
    }
}

/// What the reading of one stream gave.
#[derive(Default)]
struct Given {
    records: Vec<Value>,
    states: Vec<(Partition, Position)>,
    repeated: bool,
}

async fn one(manifest: &Manifest, recording: &Recording, siblings: &[Recording]) -> Verdict {
    let server = Arc::new(recording.server(siblings));
    let shared = Arc::new(Shared {
        config: value_of(&recording.config),
        clock: Arc::new(ManualClock::new(recording.now)),
        transport: Arc::clone(&server) as Arc<dyn crate::request::Transport>,
        cache: Cache::default(),
        hosts: Hosts::Any,
        settings: Arc::new(Remembers(recording.config.clone())),
        replaced: std::sync::Mutex::default(),
    });
    let plan = match Plan::build(manifest, &shared).await {
        Ok(plan) => plan,
        Err(error) => return Verdict::Differs(format!("the manifest cannot be built: {error}")),
    };
    let Some(planned) = plan.get(&recording.stream) else {
        return Verdict::Differs("the manifest has no such stream".to_owned());
    };
    let stream = match &planned.stream {
        Ok(stream) => Arc::clone(stream),
        Err(error) => return Verdict::Differs(format!("the stream cannot be built: {error}")),
    };
    let mut given = Given::default();
    let read = read(&stream, &shared, &mut given).await;
    judge(recording, &server, &stream, &given, read.err().map(|error| error.to_string()))
}

async fn read(stream: &Arc<Stream>, shared: &Arc<Shared>, given: &mut Given) -> Result<()> {
    let mut partitions = Arc::clone(stream).partitions(Arc::clone(shared));
    let mut seen = BTreeSet::new();
    while let Some(partition) = partitions.try_next().await? {
        if !seen.insert(partition.id()?) {
            given.repeated = true;
            continue;
        }
        let at = Arc::new(partition.clone());
        let mut walk = Walk::from(Arc::clone(stream), at, Arc::clone(shared), Position::default(), TimeDelta::zero())?;
        while let Some(page) = walk.next().await? {
            for item in &page.items {
                given.records.push(serde_json::to_value(item.value()?)?);
            }
        }
        given.states.push((partition, walk.end()));
    }
    Ok(())
}

fn judge(recording: &Recording, server: &Server, stream: &Stream, given: &Given, failed: Option<String>) -> Verdict {
    let mut rules = Vec::new();
    let recording_failed = recording.states.is_empty();
    let seen = server.seen();
    if seen.unrecorded && given.states.is_empty() && given.records.is_empty() && stream.router.is_some() {
        return Verdict::Explained(vec![Rule::ParentNotRecorded]);
    }
    if seen.borrowed && !seen.strange.is_empty() && stream.router.is_some() {
        return Verdict::Explained(vec![Rule::ParentOfAnother]);
    }
    if let Some(strange) = seen.strange.iter().next() {
        let instead =
            first_missing(recording.requests().iter(), |one| seen.requests.contains_key(one)).unwrap_or_default();
        return Verdict::Differs(format!("{} such: {strange}\n      not {instead}", seen.strange.len()));
    }
    if let Some(error) = failed.filter(|_| !recording_failed) {
        if error.contains("same page again") && recording.repeats() {
            return Verdict::Explained(vec![Rule::PageRepeats]);
        }
        return Verdict::Differs(format!("the reading fails: {error}"));
    }
    let mut own: BTreeSet<String> = stream.names();
    own.insert(recording.stream.clone());
    let foreign = recording.foreign(&own, &seen.hosts);
    let mut asked = recording.requests();
    let before = asked.len();
    asked.retain(|one| !foreign.contains(one) || seen.requests.contains_key(one));
    if asked.len() < before {
        rules.push(Rule::ForeignRequests);
    }
    if let Some(missing) = first_missing(asked.iter(), |one| seen.requests.contains_key(one)) {
        return Verdict::Differs(format!("does not ask for {missing}"));
    }
    let (ours, theirs) = (counted(given.records.iter()), counted(recording.records.iter()));
    if recording_failed {
        rules.push(Rule::RecordingFailed);
        if let Some(missing) = first_missing(theirs.keys(), |one| ours.contains_key(one)) {
            return Verdict::Differs(format!("does not give {missing}"));
        }
        return Verdict::Explained(rules);
    }
    if ours != theirs && recording.repeats() && ours.keys().all(|one| theirs.contains_key(one)) {
        rules.push(Rule::AnswersVary);
    } else if ours != theirs {
        if let Some(missing) = first_missing(theirs.keys(), |one| ours.contains_key(one)) {
            let own = first_missing(ours.keys(), |one| theirs.contains_key(one)).unwrap_or_default();
            return Verdict::Differs(format!("does not give {missing}\n      but {own}"));
        }
        if let Some(more) = first_missing(ours.keys(), |one| theirs.contains_key(one)) {
            return Verdict::Differs(format!("gives {more}"));
        }
        if !given.repeated {
            return Verdict::Differs(format!(
                "gives {} records instead of {}",
                given.records.len(),
                recording.records.len()
            ));
        }
        rules.push(Rule::PartitionOnce);
    }
    match state_differs(recording, stream, given) {
        Some(_) if recording.repeats() => rules.push(Rule::AnswersVary),
        Some(reason) => return Verdict::Differs(reason),
        None => {}
    }
    if rules.is_empty() { Verdict::Same } else { Verdict::Explained(rules) }
}

/// Compares the last state of the recording with the positions here.
fn state_differs(recording: &Recording, stream: &Stream, given: &Given) -> Option<String> {
    let theirs = recording.states.last()?.pointer("/stream/stream_state")?;
    let Some(cursor) = &stream.cursor else {
        let without = theirs.get("__ab_no_cursor_state_message").is_some() || theirs.get("states").is_none();
        return (!without).then(|| "the recording has a cursor, the stream has none".to_owned());
    };
    let written = |position: &Position| -> Value {
        let text = position.since.and_then(|since| cursor.write(since)).map_or(Value::Null, Value::from);
        Value::Object(Map::from_iter([(cursor.field.clone(), text)]))
    };
    if let Some(states) = theirs.get("states").and_then(Value::as_array) {
        let pair =
            |partition: &Value, cursor: &Value| format!("{} {}", normal(partition, false), normal(cursor, false));
        let theirs: BTreeSet<String> = states
            .iter()
            .map(|state| {
                pair(state.get("partition").unwrap_or(&Value::Null), state.get("cursor").unwrap_or(&Value::Null))
            })
            .collect();
        let ours: BTreeSet<String> = given
            .states
            .iter()
            .filter_map(|(partition, position)| {
                Some(pair(&serde_json::to_value(partition.value()).ok()?, &written(position)))
            })
            .collect();
        return (ours != theirs).then(|| {
            let missing = first_missing(theirs.iter(), |one| ours.contains(one)).unwrap_or_default();
            let own = first_missing(ours.iter(), |one| theirs.contains(one)).unwrap_or_default();
            format!("the state differs: not {missing}\n      but {own}")
        });
    }
    let ours = given.states.first().map(|(_, position)| written(position)).unwrap_or_default();
    (normal(&ours, false) != normal(theirs, false)).then(|| format!("the state is {ours} instead of {theirs}"))
}
