//! The statements that make tables, indexes and views.

use std::fmt::Write as _;

use saas_backup_core::Collection;

use super::form::Searched;
use crate::table::{Column, Identifiers, Kind, Link, Plan, Role, Scalar, Seen, Table, column_name};

/// Tables that a statement of SQLite joins at most, with room for the first.
const MAX_JOINS: usize = 40;

/// What the format itself keeps.
pub(super) const OWN_TABLES: &str = r#"
CREATE TABLE "_archive" ("name" TEXT PRIMARY KEY, "value" TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE "_collections" (
    "collection" TEXT PRIMARY KEY, "title" TEXT NOT NULL, "table" TEXT NOT NULL, "view" TEXT NOT NULL,
    "full_text" TEXT, "records" INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE "_columns" (
    "table" TEXT NOT NULL, "column" TEXT NOT NULL, "type" TEXT NOT NULL, "place" TEXT NOT NULL,
    "collection" TEXT NOT NULL, "holds" TEXT NOT NULL,
    PRIMARY KEY ("table", "column")
) STRICT, WITHOUT ROWID;
CREATE TABLE "_records" (
    "collection" TEXT NOT NULL, "id" TEXT NOT NULL, "line" TEXT NOT NULL, PRIMARY KEY ("collection", "id")
) STRICT;
CREATE TABLE "_blobs" ("sha256" TEXT PRIMARY KEY, "content" BLOB NOT NULL) STRICT;
"#;

/// How a column keeps its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Storage {
    Integer,
    Real,
    /// Integers as such, and others as doubles.
    Any,
    Text,
}

impl Storage {
    pub(super) fn of(column: &Column) -> Self {
        match column.kind {
            Kind::Plain(Scalar::Boolean | Scalar::Integer) => Self::Integer,
            Kind::Plain(Scalar::Number) if column.seen.any(Seen::INEXACT) => Self::Text,
            Kind::Plain(Scalar::Number) if column.seen.any(Seen::INTEGER) => Self::Any,
            Kind::Plain(Scalar::Number) => Self::Real,
            _ => Self::Text,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Integer => "INTEGER",
            Self::Real => "REAL",
            Self::Any => "ANY",
            Self::Text => "TEXT",
        }
    }
}

/// A name in a statement.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn names<'a>(columns: impl Iterator<Item = &'a Column>) -> String {
    columns.map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ")
}

/// The statement that makes a table.
pub(super) fn create(tables: &[Table], table: &Table) -> String {
    let mut text = format!("CREATE TABLE {} (", quoted(&table.name));
    for column in &table.columns {
        let required = if column.required { " NOT NULL" } else { "" };
        let _ = write!(text, "{} {}{required}, ", quoted(&column.name), Storage::of(column).word());
    }
    let _ = write!(text, "PRIMARY KEY ({})", names(table.columns.iter().take(table.key)));
    for foreign in &table.foreign {
        let Some(target) = tables.get(foreign.table) else { continue };
        let columns = foreign.columns.iter().filter_map(|column| table.columns.get(*column));
        let referred = target.columns.iter().take(foreign.columns.len());
        let target = quoted(&target.name);
        let _ = write!(text, ", FOREIGN KEY ({}) REFERENCES {target} ({})", names(columns), names(referred));
    }
    // Records are found by `rowid` from the full-text index; the rows of other tables stand where their keys are.
    text.push_str(if table.role == Role::Records { ") STRICT" } else { ") STRICT, WITHOUT ROWID" });
    text
}

/// The statement that puts a row into a table.
pub(super) fn insert(table: &Table) -> String {
    let places = vec!["?"; table.columns.len()].join(", ");
    format!("INSERT INTO {} VALUES ({places})", quoted(&table.name))
}

/// Indexes on the foreign keys that the key of the table does not begin with.
pub(super) fn indexes(table: &Table, taken: &mut Identifiers) -> Vec<String> {
    let mut statements = Vec::new();
    for foreign in table.foreign.iter().filter(|foreign| foreign.columns.first() != Some(&0)) {
        let columns = foreign.columns.iter().filter_map(|column| table.columns.get(*column));
        let columns = names(columns);
        let name = taken.give(&format!("{}_by_{}", table.name, column_name(&columns)), &columns);
        statements.push(format!("CREATE INDEX {} ON {} ({columns})", quoted(&name), quoted(&table.name)));
    }
    statements
}

/// The statements that make the full-text index of a table and fill it.
pub(super) fn full_text(table: &Table, searched: &Searched) -> [String; 2] {
    let columns = searched.columns.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    let (index, content) = (quoted(&searched.index), quoted(&table.name));
    [
        format!(
            "CREATE VIRTUAL TABLE {index} USING fts5({columns}, content={content}, content_rowid=\"_rowid_\", \
             tokenize=\"unicode61 remove_diacritics 2\")"
        ),
        format!("INSERT INTO {index} ({index}) VALUES ('rebuild')"),
    ]
}

/// The statement that makes the view of a collection: what a person reads, under the names of the field mapping, with
/// the titles of records instead of their ids.
pub(super) fn view(plan: &Plan, number: usize, name: &str, catalog: &[&Collection]) -> Option<String> {
    let (table, collection) = (plan.tables.get(number)?, catalog.get(number)?);
    let mut taken = Identifiers::default();
    let mut shown = Vec::new();
    let mut show = |source: &str, wanted: &str| {
        let name = taken.give(&column_name(wanted), wanted);
        shown.push(format!("{source} AS {}", quoted(&name)));
    };
    let own = |column: &Column| format!("o.{}", quoted(&column.name));
    for (name, wanted) in [("_id", "id"), ("_created", "created"), ("_modified", "modified"), ("_state", "state")] {
        if let Some(column) = table.columns.iter().find(|column| column.name == name) {
            show(&own(column), wanted);
        }
    }
    let mut joins = String::new();
    let links = plan.collections.get(number)?;
    let by = ("by", &links.by);
    let refs = links.refs.iter().map(|(name, link)| (name.as_str(), link));
    for (position, (wanted, link)) in std::iter::once(by).chain(refs).take(MAX_JOINS).enumerate() {
        let Link::Columns { id: Some(id), held, .. } = link else { continue };
        let key = held.unwrap_or(*id);
        let (Some(raw), Some(column)) = (table.columns.get(*id), table.columns.get(key)) else { continue };
        let foreign = table.foreign.iter().find(|foreign| foreign.columns == [key]);
        let target = foreign.and_then(|foreign| Some((plan.tables.get(foreign.table)?, catalog.get(foreign.table)?)));
        match target
            .and_then(|(target, collection)| Some((target, mapped(target, collection.fields.title.as_deref())?)))
        {
            Some((target, title)) => {
                let (alias, key) = (format!("t{position}"), quoted("_id"));
                show(&format!("COALESCE({alias}.{}, {})", quoted(&title.name), own(raw)), wanted);
                let target = quoted(&target.name);
                let _ = write!(joins, " LEFT JOIN {target} AS {alias} ON {alias}.{key} = {}", own(column));
            }
            None => show(&own(raw), wanted),
        }
    }
    let fields = &collection.fields;
    let paths = [
        ("title", fields.title.as_deref()),
        ("summary", fields.summary.as_ref().map(|body| body.path.as_str())),
        ("text", fields.body.as_ref().map(|body| body.path.as_str())),
        ("time", fields.time.as_deref()),
        ("url", fields.url.as_deref()),
    ];
    let properties = fields.properties.iter().map(|(name, path)| (name.as_str(), Some(path.as_str())));
    let mut any = false;
    for (wanted, path) in paths.into_iter().chain(properties) {
        if let Some(column) = mapped(table, path) {
            show(&own(column), wanted);
            any = true;
        }
    }
    if !any {
        for column in table.columns.iter().filter(|column| column.path.starts_with("/data/")) {
            show(&own(column), &column.name);
        }
    }
    Some(format!(
        "CREATE VIEW {} AS SELECT {} FROM {} AS o{joins}",
        quoted(name),
        shown.join(", "),
        quoted(&table.name)
    ))
}

/// The column of a dotted path in `data`.
pub(super) fn mapped<'a>(table: &'a Table, path: Option<&str>) -> Option<&'a Column> {
    let path: String = path?
        .split('.')
        .filter(|name| !name.is_empty())
        .fold("/data".to_owned(), |path, name| format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")));
    table.columns.iter().find(|column| column.path == path && matches!(column.kind, Kind::Plain(_)))
}
