use std::collections::{BTreeMap, HashMap};

use saas_backup_core::CollectionName;

use super::names::Identifiers;
use super::shape::{Scalar, Seen, Spill};
use super::survey::Surveyed;

/// The tables of an export.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) tables: Vec<Table>,
    pub(crate) collections: Vec<CollectionPlan>,
    /// The names that are taken.
    pub(crate) names: Identifiers,
}

/// One table. Its rows come sorted by their keys.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) collection: CollectionName,
    pub(crate) role: Role,
    /// Where its rows stand in the record's line: a JSON pointer with `*` for the items of a list.
    pub(crate) path: String,
    /// Whether the rows of links are several of one record.
    pub(crate) many: bool,
    pub(crate) columns: Vec<Column>,
    /// How many columns at the beginning are the key.
    pub(crate) key: usize,
    pub(crate) foreign: Vec<ForeignKey>,
}

/// What the rows of a table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The records of a collection.
    Records,
    /// The items of a list.
    Items,
    /// References to the records of one collection.
    Links,
    Attachments,
    Access,
}

impl Role {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Items => "items",
            Self::Links => "links",
            Self::Attachments => "attachments",
            Self::Access => "access",
        }
    }
}

/// One column.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Where its values stand in the record's line: a JSON pointer, with `*` for the items of a list. Empty for what
    /// the tables themselves need.
    pub(crate) path: String,
    pub(crate) kind: Kind,
    /// The collection whose ids it has.
    pub(crate) target: Option<CollectionName>,
    /// Never NULL.
    pub(crate) required: bool,
    /// What has been seen in it.
    pub(crate) seen: Seen,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain(Scalar),
    Json(Spill),
}

impl Kind {
    /// Its name in Data Packages, which other formats use, too.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Plain(Scalar::Boolean) => "boolean",
            Self::Plain(Scalar::Integer) => "integer",
            Self::Plain(Scalar::Number) => "number",
            Self::Plain(Scalar::Text) => "string",
            Self::Plain(Scalar::Date) => "date",
            Self::Plain(Scalar::Instant | Scalar::Local) => "datetime",
            Self::Json(Spill::Object) => "object",
            Self::Json(Spill::Array) => "array",
            Self::Json(Spill::Any) => "any",
        }
    }
}

/// Columns that have the key of another table, or the beginning of it, or are NULL.
#[derive(Clone, Debug)]
pub(crate) struct ForeignKey {
    pub(crate) columns: Vec<usize>,
    pub(crate) table: usize,
}

/// Where the parts of a record go.
#[derive(Debug)]
pub(crate) struct CollectionPlan {
    pub(crate) row: Row,
    pub(crate) envelope: Envelope,
    pub(crate) by: Link,
    pub(crate) refs: BTreeMap<String, Link>,
    pub(crate) attachments: Option<usize>,
    pub(crate) access: Option<usize>,
}

/// The columns of the envelope that a collection uses.
#[derive(Debug, Default)]
pub(crate) struct Envelope {
    pub(crate) partition: Option<usize>,
    pub(crate) sequence: Option<usize>,
    pub(crate) purge_at: Option<usize>,
    pub(crate) data: Option<usize>,
    pub(crate) extra: Option<usize>,
}

/// Where the references of a relationship go.
#[derive(Debug)]
pub(crate) enum Link {
    /// The column of the id, of the id if the record is there, and of the account.
    Columns { id: Option<usize>, held: Option<usize>, account: Option<usize> },
    /// By collection: the table, and where in it the id stands if the record is there, and the account.
    Tables(BTreeMap<CollectionName, LinkTable>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkTable {
    pub(crate) table: usize,
    pub(crate) width: usize,
    pub(crate) held: Option<usize>,
    pub(crate) account: Option<usize>,
}

/// What becomes a row: the record's data, or an item of a list.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) table: usize,
    pub(crate) width: usize,
    pub(crate) members: Members,
    /// An item that is no object.
    pub(crate) value: Place,
    /// Members that have no column of their own.
    pub(crate) rest: Option<usize>,
}

#[derive(Debug, Default)]
pub(crate) struct Members {
    pub(crate) list: Vec<(String, Place)>,
    pub(crate) index: HashMap<String, usize>,
}

/// Where the values of a place go.
#[derive(Debug, Default)]
pub(crate) struct Place {
    pub(crate) scalar: Option<(usize, Scalar)>,
    pub(crate) spill: Option<usize>,
    pub(crate) object: Option<Members>,
    pub(crate) list: Option<Box<Row>>,
    /// The last row that had a value here: a second one has no place.
    pub(crate) row: u64,
}

impl Table {
    pub(super) fn new(name: String, surveyed: &Surveyed, role: Role) -> Self {
        Self {
            name,
            title: surveyed.title.clone(),
            collection: surveyed.name.clone(),
            role,
            path: String::new(),
            many: true,
            columns: vec![Column::text("_id", "/id").required()],
            key: 1,
            foreign: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, column: Column) -> usize {
        self.columns.push(column);
        self.columns.len() - 1
    }
}

impl Column {
    pub(super) fn new(name: impl Into<String>, path: impl Into<String>, kind: Kind) -> Self {
        Self { name: name.into(), path: path.into(), kind, target: None, required: false, seen: Seen::default() }
    }

    pub(super) fn text(name: impl Into<String>, path: impl Into<String>) -> Self {
        Self::new(name, path, Kind::Plain(Scalar::Text))
    }

    pub(super) fn integer(name: impl Into<String>, path: impl Into<String>) -> Self {
        Self::new(name, path, Kind::Plain(Scalar::Integer))
    }

    pub(super) fn instant(name: impl Into<String>, path: impl Into<String>) -> Self {
        Self { seen: Seen::FINE, ..Self::new(name, path, Kind::Plain(Scalar::Instant)) }
    }

    pub(super) fn json(name: impl Into<String>, path: impl Into<String>, spill: Spill) -> Self {
        Self::new(name, path, Kind::Json(spill))
    }

    pub(super) fn to(mut self, collection: &CollectionName) -> Self {
        self.target = Some(collection.clone());
        self
    }

    pub(super) fn required(mut self) -> Self {
        self.required = true;
        self
    }
}
