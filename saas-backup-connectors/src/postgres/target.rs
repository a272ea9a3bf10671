//! What a restore does with the database, in one transaction.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::SinkExt as _;
use saas_backup_core::{CollectionName, Outcome, Problem, Record, RecordId, Result, WriteMode, Written};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use tokio_postgres::error::SqlState;

use super::client::{Connection, literal, quoted};
use super::config::PostgresConfig;
use super::definitions::{Definition, ORDER};
use super::error::{explain, refused};
use super::structure::{Column, Identity, Structure, Table};
use super::value::NULL;

/// The texts of keys' columns.
type Keys = Vec<Vec<Option<String>>>;

/// The session that writes, and what it knows of the database.
#[derive(Debug)]
pub(super) struct Target {
    session: Connection,
    mode: WriteMode,
    settings: PostgresConfig,
    definitions: BTreeMap<RecordId, Defined>,
    sequences: Vec<Sequence>,
    tables: BTreeMap<CollectionName, Arc<Table>>,
    /// Tables that this session made: nobody else sees them yet.
    made: BTreeSet<CollectionName>,
    /// Tables that have a place where rows wait until it is known which of them exist.
    staged: BTreeSet<CollectionName>,
    /// Large objects, with why one could not be made.
    objects: BTreeMap<u32, Option<Problem>>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Collecting,
    Made,
    Finished,
}

#[derive(Debug)]
struct Defined {
    definition: Definition,
    state: Making,
}

#[derive(Debug)]
enum Making {
    Waits,
    Made { lost: Vec<(String, String)> },
    Exists,
    Failed(Problem),
}

#[derive(Debug, Deserialize)]
pub(super) struct Sequence {
    name: String,
    last_value: i64,
    is_called: bool,
}

impl Target {
    pub(super) async fn open(session: Connection, mode: WriteMode, settings: PostgresConfig) -> Result<Self> {
        session.batch_execute("BEGIN").await.map_err(refused("a transaction cannot be begun"))?;
        Ok(Self {
            session,
            mode,
            settings,
            definitions: BTreeMap::new(),
            sequences: Vec::new(),
            tables: BTreeMap::new(),
            made: BTreeSet::new(),
            staged: BTreeSet::new(),
            objects: BTreeMap::new(),
            stage: Stage::Collecting,
        })
    }

    /// Takes a definition. The first time it waits for the others, and for rows; the second time they have come.
    pub(super) async fn define(&mut self, record: &Record) -> Result<Outcome> {
        if !self.definitions.contains_key(&record.key.id) {
            let definition: Definition = record.data.decode()?;
            self.definitions.insert(record.key.id.clone(), Defined { definition, state: Making::Waits });
            return Ok(Outcome::Deferred(Vec::new()));
        }
        self.finish().await?;
        let Some(defined) = self.definitions.get(&record.key.id) else { return Ok(Outcome::Stored) };
        Ok(match &defined.state {
            Making::Made { lost } if lost.is_empty() => Outcome::Stored,
            Making::Made { lost } => {
                let written = Written::new(record.key.clone());
                let add = |written: Written, (path, reason): &(String, String)| written.with_loss(path, reason);
                Outcome::Written(Box::new(lost.iter().fold(written, add)))
            }
            // A role is the server's and not the database's.
            Making::Exists if defined.definition.kind == "role" => Outcome::Unchanged,
            Making::Exists => Outcome::Skipped(Box::new(Problem::new("exists", "it exists, and stays as it is"))),
            Making::Failed(problem) => Outcome::Rejected(Box::new(problem.clone())),
            Making::Waits => Outcome::Rejected(Box::new(Problem::new("unknown", "it was not made"))),
        })
    }

    pub(super) fn sequence(&mut self, record: &Record) -> Result<Outcome> {
        self.sequences.push(record.data.decode()?);
        Ok(Outcome::Stored)
    }

    /// Makes everything that rows need. What needs something that is made later is tried again, until nothing changes.
    async fn make(&mut self) -> Result<()> {
        if self.stage > Stage::Collecting {
            return Ok(());
        }
        self.stage = Stage::Made;
        let before = self.names().await?;
        let place = |kind: &str| ORDER.iter().position(|known| *known == kind).unwrap_or(ORDER.len());
        let mut waiting: Vec<(usize, RecordId)> =
            self.definitions.iter().map(|(id, defined)| (place(&defined.definition.kind), id.clone())).collect();
        waiting.sort_by_key(|(place, _)| *place);
        loop {
            let count = waiting.len();
            let mut left = Vec::new();
            for (place, id) in waiting {
                let Some(defined) = self.definitions.get(&id) else { continue };
                let statements = defined.definition.create.clone();
                let state = match self.run(&statements).await? {
                    Ok(()) => Making::Made { lost: Vec::new() },
                    Err(refusal) if exists(&refusal) => Making::Exists,
                    Err(refusal) => {
                        left.push((place, id.clone()));
                        Making::Failed(problem(&refusal))
                    }
                };
                if let Some(defined) = self.definitions.get_mut(&id) {
                    defined.state = state;
                }
            }
            if left.is_empty() || left.len() == count {
                break;
            }
            waiting = left;
        }
        let structure = Structure::read(&*self.session, &self.settings.schemas, &self.settings.username).await?;
        for table in structure.tables {
            if !before.contains(&table.collection) {
                self.made.insert(table.collection.clone());
            }
            self.tables.insert(table.collection.clone(), table);
        }
        Ok(())
    }

    async fn names(&self) -> Result<BTreeSet<CollectionName>> {
        let structure = Structure::read(&*self.session, &self.settings.schemas, &self.settings.username).await?;
        Ok(structure.tables.iter().map(|table| table.collection.clone()).collect())
    }

    /// What comes after rows: keys and indexes, where sequences stand, what joins tables, who may do what.
    async fn finish(&mut self) -> Result<()> {
        self.make().await?;
        if self.stage == Stage::Finished {
            return Ok(());
        }
        self.stage = Stage::Finished;
        let place = |kind: &str| ORDER.iter().position(|known| *known == kind).unwrap_or(ORDER.len());
        let mut ids: Vec<RecordId> = self.definitions.keys().cloned().collect();
        ids.sort_by_key(|id| self.definitions.get(id).map(|defined| place(&defined.definition.kind)));
        for id in &ids {
            self.finish_one(id, |definition| &definition.finish).await?;
        }
        self.set_sequences().await?;
        for id in &ids {
            self.finish_one(id, |definition| &definition.join).await?;
        }
        for id in &ids {
            self.grant(id).await?;
        }
        Ok(())
    }

    async fn finish_one(&mut self, id: &RecordId, of: impl Fn(&Definition) -> &Vec<String>) -> Result<()> {
        let Some(defined) = self.definitions.get(id) else { return Ok(()) };
        if !matches!(defined.state, Making::Made { .. }) {
            return Ok(());
        }
        for statement in of(&defined.definition).clone() {
            if let Err(refusal) = self.run(std::slice::from_ref(&statement)).await?
                && let Some(defined) = self.definitions.get_mut(id)
            {
                defined.state = Making::Failed(problem(&refusal));
                return Ok(());
            }
        }
        Ok(())
    }

    /// Owners, rights and comments: what this server does not take is lost, and said.
    async fn grant(&mut self, id: &RecordId) -> Result<()> {
        let Some(defined) = self.definitions.get(id) else { return Ok(()) };
        if !matches!(defined.state, Making::Made { .. }) {
            return Ok(());
        }
        for (index, statement) in defined.definition.access.clone().iter().enumerate() {
            if let Err(refusal) = self.run(std::slice::from_ref(statement)).await?
                && let Some(Defined { state: Making::Made { lost }, .. }) = self.definitions.get_mut(id)
            {
                lost.push((format!("/data/access/{index}"), problem(&refusal).title));
            }
        }
        Ok(())
    }

    async fn set_sequences(&mut self) -> Result<()> {
        for Sequence { name, last_value, is_called } in std::mem::take(&mut self.sequences) {
            let statement = format!("SELECT setval({}, {last_value}, {is_called})", literal(&name));
            if let Err(refusal) = self.run(&[statement]).await? {
                tracing::warn!(problem = problem(&refusal).title, "a sequence could not be set");
            }
        }
        Ok(())
    }

    /// Runs statements that may be refused. A failure of the session is an error.
    async fn run(&self, statements: &[String]) -> Result<Result<(), tokio_postgres::Error>> {
        let failed = refused("the database cannot be written");
        self.session.batch_execute("SAVEPOINT step").await.map_err(&failed)?;
        for statement in statements {
            if let Err(error) = self.session.batch_execute(statement).await {
                if error.as_db_error().is_none() {
                    return Err(failed(error));
                }
                self.session.batch_execute("ROLLBACK TO step; RELEASE step").await.map_err(&failed)?;
                return Ok(Err(error));
            }
        }
        self.session.batch_execute("RELEASE step").await.map_err(&failed)?;
        Ok(Ok(()))
    }

    /// A writer of this collection begins: what an earlier one wrote into a table of ours comes again.
    pub(super) async fn begin(&mut self, collection: &CollectionName) -> Result<()> {
        if self.made.contains(collection)
            && let Some(table) = self.tables.get(collection)
        {
            let statement = format!("TRUNCATE {}", table.from());
            self.session.batch_execute(&statement).await.map_err(refused("a table cannot be emptied"))?;
        }
        Ok(())
    }

    /// Writes rows of one table; one outcome each.
    pub(super) async fn rows(&mut self, collection: &CollectionName, records: &[&Record]) -> Result<Vec<Outcome>> {
        self.make().await?;
        let Some(table) = self.tables.get(collection).cloned() else {
            let problem = Problem::new("not-found", "there is no such table; restore the collection definitions, too");
            return Ok(vec![Outcome::Rejected(Box::new(problem)); records.len()]);
        };
        let adds = self.mode == WriteMode::Create || self.made.contains(collection);
        if table.identity == Identity::Place && !adds {
            let problem = Problem::new("no-key", "the table has no key, so nobody can tell which rows exist");
            return Ok(vec![Outcome::Skipped(Box::new(problem)); records.len()]);
        }
        let (mut lines, mut ends) = (Vec::new(), vec![0]);
        let mut outcomes = Vec::with_capacity(records.len());
        for record in records {
            let unknown = line(&table, record, &mut lines)?;
            ends.push(lines.len());
            let written = Written::new(record.key.clone());
            let lost = |written: Written, name: &String| written.with_loss(format!("/data/{name}"), "no such column");
            outcomes.push(if unknown.is_empty() {
                Outcome::Stored
            } else {
                Outcome::Written(Box::new(unknown.iter().fold(written, lost)))
            });
        }
        let lines = Bytes::from(lines);
        // What one row is refused for ends that row: halves are tried until it stands alone.
        let mut parts: Vec<std::ops::Range<usize>> = std::iter::once(0..records.len()).collect();
        while let Some(part) = parts.pop() {
            let end = |index: usize| ends.get(index).copied().unwrap_or_default();
            let some = lines.slice(end(part.start)..end(part.end));
            match self.copy(&table, some).await? {
                Ok(None) => {}
                Ok(Some(arrived)) => {
                    for (index, record) in part.clone().zip(records.get(part).unwrap_or_default()) {
                        if !arrived.contains(&record.key.id)
                            && let Some(outcome) = outcomes.get_mut(index)
                        {
                            *outcome =
                                Outcome::Skipped(Box::new(Problem::new("exists", "it exists, and stays as it is")));
                        }
                    }
                }
                Err(refusal) if part.len() <= 1 => {
                    if let Some(outcome) = outcomes.get_mut(part.start) {
                        *outcome = Outcome::Rejected(Box::new(problem(&refusal)));
                    }
                }
                Err(_) => {
                    let middle = part.start + part.len() / 2;
                    parts.push(middle..part.end);
                    parts.push(part.start..middle);
                }
            }
        }
        Ok(outcomes)
    }

    /// Copies lines into a table. Where it is not ours alone, the ids of those that arrived.
    async fn copy(
        &mut self,
        table: &Table,
        lines: Bytes,
    ) -> Result<Result<Option<BTreeSet<RecordId>>, tokio_postgres::Error>> {
        let failed = refused("the database cannot be written");
        let is_ours = self.made.contains(&table.collection);
        let columns: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
        let columns = columns.join(", ");
        if !is_ours && self.staged.insert(table.collection.clone()) {
            let statement = format!(
                "CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {columns} FROM {} LIMIT 0",
                stage(table),
                table.sql
            );
            self.session.batch_execute(&statement).await.map_err(&failed)?;
        }
        self.session.batch_execute("SAVEPOINT rows").await.map_err(&failed)?;
        let into = if is_ours { table.sql.clone() } else { format!("pg_temp.{}", stage(table)) };
        let arrived = match self.copy_lines(&format!("COPY {into} ({columns}) FROM STDIN"), lines).await {
            Ok(()) if is_ours => Ok(None),
            Ok(()) => self.merge(table, &columns).await,
            Err(error) => Err(error),
        };
        match arrived {
            Ok(arrived) => {
                self.session.batch_execute("RELEASE rows").await.map_err(&failed)?;
                arrived.map(|rows| rows.into_iter().map(|row| id_of(table, &row)).collect()).transpose().map(Ok)
            }
            Err(error) if error.as_db_error().is_some() => {
                self.session.batch_execute("ROLLBACK TO rows; RELEASE rows").await.map_err(&failed)?;
                Ok(Err(error))
            }
            Err(error) => Err(failed(error)),
        }
    }

    async fn copy_lines(&self, statement: &str, lines: Bytes) -> Result<(), tokio_postgres::Error> {
        let mut sink = Box::pin(self.session.copy_in(statement).await?);
        sink.feed(lines).await?;
        sink.as_mut().finish().await.map(drop)
    }

    /// Moves what waits into the table, by the session's mode. Gives the key's columns of what arrived, if there is a key.
    async fn merge(&self, table: &Table, columns: &str) -> Result<Option<Keys>, tokio_postgres::Error> {
        let staged = format!("pg_temp.{}", stage(table));
        let insert =
            format!("INSERT INTO {} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {staged}", table.sql);
        let Identity::Key(key) = &table.identity else {
            self.session.batch_execute(&format!("{insert}; TRUNCATE {staged}")).await?;
            return Ok(None);
        };
        let key: Vec<String> =
            key.iter().filter_map(|place| table.columns.get(*place)).map(|column| quoted(&column.name)).collect();
        let conflict = match self.mode {
            WriteMode::Overwrite => {
                let set: Vec<String> =
                    table.columns.iter().map(|column| format!("{0} = EXCLUDED.{0}", quoted(&column.name))).collect();
                format!("ON CONFLICT ({}) DO UPDATE SET {}", key.join(", "), set.join(", "))
            }
            _ => "ON CONFLICT DO NOTHING".to_owned(),
        };
        let texts: Vec<String> = key.iter().map(|column| format!("{column}::text")).collect();
        let statement = format!("{insert} {conflict} RETURNING {}", texts.join(", "));
        let rows = self.session.query(&statement, &[]).await?;
        self.session.batch_execute(&format!("TRUNCATE {staged}")).await?;
        Ok(Some(rows.iter().map(|row| (0..row.len()).map(|place| row.get(place)).collect()).collect()))
    }

    /// Makes a large object with the number that it had. `false` if there is one, which stays.
    pub(super) async fn make_object(&mut self, oid: u32) -> Result<bool> {
        let unlink = format!("SELECT lo_unlink({oid}) FROM pg_largeobject_metadata WHERE oid = {oid}");
        let create = format!("SELECT lo_create({oid})");
        let statements = if self.mode == WriteMode::Overwrite { vec![unlink, create] } else { vec![create] };
        let made = self.run(&statements).await?;
        let problem = made.as_ref().err().map(problem);
        let is_made = problem.is_none();
        self.objects.insert(oid, problem);
        Ok(is_made)
    }

    pub(super) async fn drop_object(&mut self, oid: u32) -> Result<()> {
        self.objects.remove(&oid);
        self.run(&[format!("SELECT lo_unlink({oid})")]).await.map(drop)
    }

    /// Says what became of a large object, whose bytes came before its record.
    pub(super) async fn object(&mut self, record: &Record) -> Result<Outcome> {
        let Ok(oid) = record.key.id.as_str().parse::<u32>() else {
            return Ok(Outcome::Rejected(Box::new(Problem::new("invalid-data", "not the number of a large object"))));
        };
        match self.objects.get(&oid) {
            Some(None) => {}
            Some(Some(problem)) => return Ok(Outcome::Skipped(Box::new(problem.clone()))),
            None => {
                let problem = Problem::new("not-held", "its bytes are not in the copy");
                return Ok(Outcome::Rejected(Box::new(problem)));
            }
        }
        let owner: Option<String> = record.data.member("owner")?;
        let statement = owner.map(|owner| format!("ALTER LARGE OBJECT {oid} OWNER TO {}", quoted(&owner)));
        let Some(statement) = statement else { return Ok(Outcome::Stored) };
        Ok(match self.run(&[statement]).await? {
            Ok(()) => Outcome::Stored,
            Err(refusal) => {
                let written = Written::new(record.key.clone()).with_loss("/data/owner", problem(&refusal).title);
                Outcome::Written(Box::new(written))
            }
        })
    }

    pub(super) async fn write_object(&self, oid: u32, at: i64, bytes: &[u8]) -> Result<()> {
        self.session
            .execute("SELECT lo_put($1, $2, $3)", &[&oid, &at, &bytes])
            .await
            .map(drop)
            .map_err(refused("a large object cannot be written"))
    }

    /// Ends the transaction, and with it the session.
    pub(super) async fn end(&mut self, keeps: bool) -> Result<()> {
        self.finish().await?;
        let statement = if keeps { "COMMIT" } else { "ROLLBACK" };
        self.session.batch_execute(statement).await.map_err(refused("the transaction cannot be ended"))
    }
}

/// A name that no two tables share.
fn stage(table: &Table) -> String {
    quoted(&format!("saas_backup_{}", table.oid))
}

fn id_of(table: &Table, row: &[Option<String>]) -> Result<RecordId> {
    let Identity::Key(key) = &table.identity else { return RecordId::parse("-") };
    table.id(|place| {
        let at = key.iter().position(|column| *column == place)?;
        row.get(at)?.as_deref().map(str::as_bytes)
    })
}

/// One line of a copy, and the members for which the table has no column.
fn line(table: &Table, record: &Record, out: &mut Vec<u8>) -> Result<Vec<String>> {
    let Members(members) = record.data.decode()?;
    // Members stand in the order of the columns, unless the table was made with another one.
    let (mut ordered, mut unknown, mut next) = (Vec::with_capacity(members.len()), Vec::new(), 0);
    for (name, value) in members {
        let is_here = |column: &Column| column.name == name;
        let ahead = table.columns.get(next..).unwrap_or_default().iter().position(is_here).map(|at| at + next);
        match ahead.or_else(|| table.columns.iter().position(is_here)) {
            Some(at) => {
                next = at + 1;
                ordered.push((at, value));
            }
            None => unknown.push(name.into_owned()),
        }
    }
    ordered.sort_by_key(|(at, _)| *at);
    let mut ordered = ordered.into_iter().peekable();
    for (index, column) in table.columns.iter().enumerate() {
        if index > 0 {
            out.push(b'\t');
        }
        match ordered.next_if(|(at, _)| *at == index) {
            Some((_, value)) => column.form.write_field(value, out)?,
            None => out.extend_from_slice(NULL),
        }
    }
    out.push(b'\n');
    Ok(unknown)
}

/// The members of an object in their order, not parsed.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk;

        impl<'de> Visitor<'de> for Walk {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a row")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    members.push((name, value));
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Walk).map(Members)
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Whether an object of this name is there already.
fn exists(refusal: &tokio_postgres::Error) -> bool {
    [SqlState::DUPLICATE_OBJECT, SqlState::DUPLICATE_TABLE, SqlState::DUPLICATE_SCHEMA, SqlState::DUPLICATE_FUNCTION]
        .iter()
        .any(|state| refusal.code() == Some(state))
}

fn problem(refusal: &tokio_postgres::Error) -> Problem {
    Problem::from(&explain("the server refused it", refusal))
}
