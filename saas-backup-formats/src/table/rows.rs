use std::borrow::Cow;

use saas_backup_core::{Access, BlobRef, Json, Principal, Record, RecordState, Reference, Result};
use serde::Serialize;

use super::attachments::blob_file;
use super::json::{Member, Value, items, members};
use super::plan::{CollectionPlan, Link, Members, Place, Row};
use super::scalar::is_awkward;
use super::shape::Scalar;
use super::survey::Keys;
use crate::dataset::Dataset;
use crate::form::Losses;
use crate::form::value::time_text;

/// One cell of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    #[default]
    Null,
    Bool(bool),
    Integer(u64),
    /// The token.
    Number(&'a str),
    Text(Cow<'a, str>),
    Json(Cow<'a, str>),
}

impl<'a> Cell<'a> {
    fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }

    fn maybe(text: Option<impl Into<Cow<'a, str>>>) -> Self {
        text.map_or(Self::Null, Self::text)
    }

    fn time(time: Option<chrono::DateTime<chrono::Utc>>) -> Self {
        time.map_or(Self::Null, |time| Self::text(time_text(time)))
    }
}

/// Takes rows. Those of items come before the row that they belong to.
pub(crate) trait Sheet {
    /// Takes a row of a table, by its number in the plan. What it cannot hold goes to `losses`.
    fn row(&mut self, table: usize, cells: &[Cell<'_>], losses: &mut Losses) -> Result<()>;
}

/// Turns records into rows.
pub(crate) struct RowWriter<'a, S> {
    pub(crate) dataset: &'a Dataset,
    pub(crate) keys: &'a Keys,
    pub(crate) losses: &'a mut Losses,
    pub(crate) sheet: &'a mut S,
    /// As in the plan.
    pub(crate) strict: bool,
    rows: u64,
}

/// The row that is being filled, and what the rows below it need of it.
struct Here<'r, 's> {
    record: &'r Record,
    cells: &'s mut Vec<Cell<'r>>,
    /// The key of the row.
    key: &'s [Cell<'r>],
    row: u64,
}

impl<'a, S: Sheet> RowWriter<'a, S> {
    pub(crate) fn new(
        dataset: &'a Dataset,
        keys: &'a Keys,
        losses: &'a mut Losses,
        sheet: &'a mut S,
        strict: bool,
    ) -> Self {
        Self { dataset, keys, losses, sheet, strict, rows: 0 }
    }

    /// Writes the rows of one record.
    pub(crate) fn record(&mut self, layout: &mut CollectionPlan, record: &Record) -> Result<()> {
        let id = record.key.id.as_str();
        let key = [Cell::text(id)];
        let mut cells = vec![Cell::Null; layout.row.width];
        set(&mut cells, Some(0), || Cell::text(id));
        // Their order is that of the plan: behind the key and the members that not every collection has.
        let envelope = &layout.envelope;
        let first = 1 + usize::from(envelope.partition.is_some()) + usize::from(envelope.sequence.is_some());
        set(&mut cells, envelope.partition, || Cell::maybe(record.partition.as_ref().map(AsRef::as_ref)));
        set(&mut cells, envelope.sequence, || record.sequence.map_or(Cell::Null, Cell::Integer));
        set(&mut cells, Some(first), || Cell::maybe(record.version.as_deref()));
        set(&mut cells, Some(first + 1), || Cell::time(record.created));
        set(&mut cells, Some(first + 2), || Cell::time(record.modified));
        set(&mut cells, Some(first + 3), || Cell::text(state(record.state)));
        set(&mut cells, envelope.purge_at, || Cell::time(record.purge_at));
        if !record.extra.is_empty() {
            set(&mut cells, envelope.extra, || Cell::Json(Cow::Owned(extra(record))));
        }
        if let Some(by) = &record.by {
            self.link(&layout.by, 0, by, &mut cells)?;
        }
        for (name, references) in &record.refs {
            let Some(link) = layout.refs.get(name) else { continue };
            for (order, reference) in references.iter().enumerate() {
                self.link(link, order, reference, &mut cells)?;
            }
        }
        if let Some(table) = layout.attachments {
            for (order, blob) in record.blobs.iter().enumerate() {
                let row = self.attachment(record, &key, order, blob)?;
                self.sheet.row(table, &row, self.losses)?;
            }
        }
        if let Some(table) = layout.access {
            for (order, access) in record.access.iter().enumerate() {
                self.sheet.row(table, &permission(&key, order, access), self.losses)?;
            }
        }
        self.rows += 1;
        let mut here = Here { record, cells: &mut cells, key: &key, row: self.rows };
        let data = record.data.as_str();
        if let Value::Object(object) = Value::of(data) {
            self.object(&mut layout.row, object, &mut here)?;
        } else {
            set(&mut cells, envelope.data, || Cell::Json(Cow::Borrowed(data)));
        }
        self.sheet.row(layout.row.table, &cells, self.losses)
    }

    /// Fills a row from the members of an object.
    fn object<'r>(&mut self, row: &mut Row, object: &'r str, here: &mut Here<'r, '_>) -> Result<()> {
        let rest = self.members(&mut row.members, object, row.rest.is_some(), here)?;
        if !rest.is_empty() {
            set(here.cells, row.rest, || Cell::Json(Cow::Owned(format!("{{{rest}}}"))));
        }
        Ok(())
    }

    /// Puts the values of members in their places; gives those that have none, if they are `wanted`.
    fn members<'r>(
        &mut self,
        known: &mut Members,
        object: &'r str,
        wanted: bool,
        here: &mut Here<'r, '_>,
    ) -> Result<String> {
        let mut rest = String::new();
        for (position, Member { name, quoted, value }) in members(object).enumerate() {
            let is_here = known.list.get(position).is_some_and(|(known, _)| *known == name);
            let position = if is_here { Some(position) } else { known.index.get(&*name).copied() };
            if let Some((_, place)) = position.and_then(|position| known.list.get_mut(position)) {
                self.place(place, value, &name, here)?;
            } else if wanted {
                let comma = if rest.is_empty() { "" } else { "," };
                rest.extend([comma, quoted, ":", value.text()]);
            }
        }
        Ok(rest)
    }

    fn place<'r>(&mut self, place: &mut Place, value: Value<'r>, name: &str, here: &mut Here<'r, '_>) -> Result<()> {
        if place.row == here.row {
            let reason = format!("the name {name:?} stands twice in one object: its first value is kept");
            return self.losses.part(&here.record.key, "/data", &reason);
        }
        place.row = here.row;
        self.value(place, value, here)
    }

    fn value<'r>(&mut self, place: &mut Place, value: Value<'r>, here: &mut Here<'r, '_>) -> Result<()> {
        let cell = match value {
            Value::Null => return Ok(()),
            Value::Object(object) if place.object.is_some() => {
                if let Some(members) = &mut place.object {
                    self.members(members, object, false, here)?;
                }
                return Ok(());
            }
            Value::Array(array) if place.list.is_some() => {
                if let Some(row) = &mut place.list {
                    self.items(row, array, here)?;
                }
                return Ok(());
            }
            Value::Bool(truth) => self.plain(place, Cell::Bool(truth)),
            Value::Number(token) => self.plain(place, Cell::Number(token)),
            Value::Text(quoted) => quoted.content().and_then(|text| self.plain(place, Cell::Text(text))),
            Value::Object(_) | Value::Array(_) => None,
        };
        match (cell, place.scalar, place.spill) {
            (Some(cell), Some((column, _)), _) => set(here.cells, Some(column), || cell),
            (_, _, column) => set(here.cells, column, || Cell::Json(Cow::Borrowed(value.text()))),
        }
        Ok(())
    }

    /// The cell, if the column of plain values takes it.
    fn plain<'r>(&self, place: &Place, cell: Cell<'r>) -> Option<Cell<'r>> {
        let (_, scalar) = place.scalar?;
        let fits = match (&cell, scalar) {
            (Cell::Text(text), Scalar::Text | Scalar::Date | Scalar::Instant | Scalar::Local) => {
                !self.strict || !is_awkward(text)
            }
            (Cell::Bool(_), Scalar::Boolean) | (Cell::Number(_), Scalar::Integer | Scalar::Number) => true,
            _ => false,
        };
        fits.then_some(cell)
    }

    fn items<'r>(&mut self, row: &mut Row, array: &'r str, above: &mut Here<'r, '_>) -> Result<()> {
        for (order, item) in items(array).enumerate() {
            let mut cells = vec![Cell::Null; row.width];
            let mut key = above.key.to_vec();
            key.push(Cell::Integer(order as u64));
            for (cell, part) in cells.iter_mut().zip(&key) {
                cell.clone_from(part);
            }
            self.rows += 1;
            let mut here = Here { record: above.record, cells: &mut cells, key: &key, row: self.rows };
            match item {
                Value::Object(object) => self.object(row, object, &mut here)?,
                value => self.value(&mut row.value, value, &mut here)?,
            }
            self.sheet.row(row.table, &cells, self.losses)?;
        }
        Ok(())
    }

    /// Puts a reference into columns of the record's own row, or writes it as a row of a table of its own.
    fn link<'r>(&mut self, link: &Link, order: usize, to: &'r Reference, cells: &mut [Cell<'r>]) -> Result<()> {
        let held = |column: &Option<usize>| column.filter(|_| self.keys.have(to));
        let link = match link {
            Link::Columns { id, held: column, account } => {
                set(cells, *id, || Cell::text(to.id.as_str()));
                set(cells, *account, || Cell::maybe(to.account.as_deref()));
                set(cells, held(column), || Cell::text(to.id.as_str()));
                return Ok(());
            }
            Link::Tables(tables) => match tables.get(&to.collection) {
                Some(link) => link,
                None => return Ok(()),
            },
        };
        let mut row = vec![Cell::Null; link.width];
        set(&mut row, Some(0), || cells.first().cloned().unwrap_or_default());
        set(&mut row, Some(1), || Cell::Integer(order as u64));
        set(&mut row, Some(2), || Cell::text(to.id.as_str()));
        set(&mut row, link.account, || Cell::maybe(to.account.as_deref()));
        set(&mut row, held(&link.held), || Cell::text(to.id.as_str()));
        self.sheet.row(link.table, &row, self.losses)
    }

    fn attachment<'r>(
        &mut self,
        record: &Record,
        key: &[Cell<'r>],
        order: usize,
        blob: &'r BlobRef,
    ) -> Result<Vec<Cell<'r>>> {
        let size = blob.size.filter(|size| i64::try_from(*size).is_ok());
        if size.is_none() && blob.size.is_some() {
            self.losses.part(&record.key, &format!("/blobs/{order}/size"), "more bytes than 63 bits count")?;
        }
        let digest = blob.digest.map(|digest| digest.to_string());
        let file = self.dataset.blob(blob).map(|(_, digest)| blob_file(&digest.to_string()));
        let mut cells = key.to_vec();
        cells.extend([
            Cell::Integer(order as u64),
            Cell::maybe(blob.id.as_ref().map(AsRef::as_ref)),
            Cell::text(blob.role.as_str()),
            Cell::maybe(blob.name.as_deref()),
            Cell::maybe(blob.media_type.as_deref()),
            size.map_or(Cell::Null, Cell::Integer),
            Cell::maybe(digest),
            Cell::text(word(&blob.status)),
            Cell::maybe(blob.path.as_deref()),
            Cell::maybe(blob.external_url.as_deref()),
            Cell::time(blob.created),
            Cell::maybe(file),
        ]);
        Ok(cells)
    }
}

fn permission<'r>(key: &[Cell<'r>], order: usize, access: &'r Access) -> Vec<Cell<'r>> {
    let (named, principal) = match &access.principal {
        Principal::Named(name) => (Some(name.as_str()), None),
        Principal::Record(reference) => (None, Some(reference)),
    };
    let inherited = access.inherited_from.as_ref();
    let mut cells = key.to_vec();
    cells.push(Cell::Integer(order as u64));
    cells.push(Cell::text(access.role.as_str()));
    cells.push(Cell::maybe(named));
    for reference in [principal, inherited] {
        cells.push(Cell::maybe(reference.map(|to| to.collection.as_str())));
        cells.push(Cell::maybe(reference.map(|to| to.id.as_str())));
        cells.push(Cell::maybe(reference.and_then(|to| to.account.as_deref())));
    }
    cells.push(Cell::time(access.expires));
    cells
}

fn set<'r>(cells: &mut [Cell<'r>], column: Option<usize>, cell: impl FnOnce() -> Cell<'r>) {
    if let Some(place) = column.and_then(|column| cells.get_mut(column)) {
        *place = cell();
    }
}

/// The members of the envelope that this version does not know, token for token.
pub(crate) fn extra(record: &Record) -> String {
    let mut object = String::from("{");
    for (name, value) in &record.extra {
        let comma = if object.len() > 1 { "," } else { "" };
        object.extend([
            comma,
            &Json::from_value(name).map_or_else(|_| "\"\"".to_owned(), text_of),
            ":",
            value.as_str(),
        ]);
    }
    object.push('}');
    object
}

#[expect(clippy::needless_pass_by_value, reason = "maps a result")]
fn text_of(json: Json) -> String {
    json.as_str().to_owned()
}

/// The word that stands for a state.
pub(crate) fn state(state: RecordState) -> Cow<'static, str> {
    match state {
        RecordState::Live => Cow::Borrowed("live"),
        other => Cow::Owned(word(&other)),
    }
}

/// The word that stands for a value on a line.
pub(crate) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
