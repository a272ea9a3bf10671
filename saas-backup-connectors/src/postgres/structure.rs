use std::collections::BTreeMap;
use std::sync::Arc;

use saas_backup_core::{CollectionName, Digest, Error, ErrorKind, Key, RecordId, Reference, References, Result};
use saas_backup_core::{Json, Record};
use tokio_postgres::GenericClient;

use super::client::{literal, quoted};
use super::error::refused;
use super::id;
use super::value::{Form, utf8, write_string};

/// The tables that are read: no partitions (their table is), nothing temporary, nothing that an extension brings.
const TABLES: &str = "
    SELECT c.oid, n.nspname, c.relname, c.relkind = 'p', c.relreplident::text, c.relpersistence = 'p',
        greatest(c.reltuples, 0)::bigint,
        has_schema_privilege(n.oid, 'USAGE'), has_table_privilege(c.oid, 'SELECT'),
        c.relrowsecurity AND row_security_active(c.oid)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY n.nspname, c.relname";

/// Columns as they stand, with the type at the bottom of domains; generated ones are worked out anew by a restore.
const COLUMNS: &str = "
    WITH RECURSIVE base (oid, bottom) AS (
        SELECT oid, oid FROM pg_type WHERE typtype <> 'd'
        UNION ALL SELECT t.oid, base.bottom FROM pg_type t JOIN base ON t.typbasetype = base.oid WHERE t.typtype = 'd')
    SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, b.bottom, a.attnotnull, format_type(a.atttypid, a.atttypmod),
        coalesce((SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM pg_enum e
            WHERE e.enumtypid IN (b.bottom, (SELECT t.typelem FROM pg_type t WHERE t.oid = b.bottom))), '')
        || coalesce((SELECT string_agg(m.attname || ' ' || m.atttypid || ' ' || m.atttypmod, ',' ORDER BY m.attnum)
            FROM pg_type t JOIN pg_attribute m ON m.attrelid = t.typrelid WHERE NOT m.attisdropped AND t.typrelid <> 0
                AND t.oid IN (b.bottom, (SELECT u.typelem FROM pg_type u WHERE u.oid = b.bottom))), '')
    FROM pg_attribute a JOIN base b ON b.oid = a.atttypid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attrelid = ANY($1)
    ORDER BY a.attrelid, a.attnum";

/// What can tell rows apart: the primary key, and the index of the replica identity.
const KEYS: &str = "
    SELECT indrelid, indisprimary, indisreplident, indkey::int2[] FROM pg_index
    WHERE (indisprimary OR indisreplident) AND indisvalid AND indrelid = ANY($1)";

const FOREIGN_KEYS: &str = "
    SELECT conrelid, conname, conkey, confrelid, confkey FROM pg_constraint
    WHERE contype = 'f' AND conparentid = 0 AND conrelid = ANY($1) ORDER BY conrelid, conname";

/// What there is to read.
#[derive(Debug)]
pub(super) struct Structure {
    pub(super) tables: Vec<Arc<Table>>,
}

/// One table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) oid: u32,
    pub(super) collection: CollectionName,
    /// Its name as it stands in SQL.
    pub(super) sql: String,
    pub(super) columns: Vec<Column>,
    pub(super) identity: Identity,
    /// Whether the server's log tells of its changes in a way that names the rows.
    pub(super) loggable: bool,
    is_partitioned: bool,
    pub(super) rows: u64,
    pub(super) hidden: Option<Hidden>,
    pub(super) foreign: Vec<ForeignKey>,
}

/// One column that is read.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// `,"name":` as it stands in JSON.
    member: Vec<u8>,
    pub(super) form: Form,
    pub(super) type_name: String,
    pub(super) not_null: bool,
    type_oid: u32,
    type_modifier: i32,
    /// What the values of its type may be, where somebody may change that.
    type_detail: String,
    number: i16,
}

/// What makes a row's id.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// Columns, by their place in [`Table::columns`].
    Key(Vec<usize>),
    /// Where the row lies; it stays as long as the row is not changed.
    Place,
}

/// Why a table cannot be read, and what would change that.
#[derive(Clone, Debug)]
pub(super) struct Hidden {
    pub(super) reason: &'static str,
    pub(super) grant: String,
}

/// A relationship, by columns that make the other row's id.
#[derive(Debug)]
pub(super) struct ForeignKey {
    pub(super) name: String,
    pub(super) to: CollectionName,
    columns: Vec<usize>,
}

impl Structure {
    /// Reads it, as this session's transaction sees it.
    pub(super) async fn read(client: &impl GenericClient, schemas: &[String], user: &str) -> Result<Self> {
        let failed = refused("the tables cannot be listed");
        let mut tables = Vec::new();
        for row in client.query(TABLES, &[]).await.map_err(&failed)? {
            let schema: &str = row.get(1);
            if schemas.is_empty() || schemas.iter().any(|wanted| wanted == schema) {
                tables.push(row);
            }
        }
        let oids: Vec<u32> = tables.iter().map(|row| row.get(0)).collect();
        let mut columns: BTreeMap<u32, Vec<Column>> = BTreeMap::new();
        for row in client.query(COLUMNS, &[&oids]).await.map_err(&failed)? {
            columns.entry(row.get(0)).or_default().push(Column::new(&row)?);
        }
        let mut keys: BTreeMap<u32, Vec<(bool, bool, Vec<i16>)>> = BTreeMap::new();
        for row in client.query(KEYS, &[&oids]).await.map_err(&failed)? {
            keys.entry(row.get(0)).or_default().push((row.get(1), row.get(2), row.get(3)));
        }
        let mut found: BTreeMap<u32, Table> = BTreeMap::new();
        for row in &tables {
            let oid = row.get(0);
            let table = Table::new(
                row,
                columns.remove(&oid).unwrap_or_default(),
                &keys.remove(&oid).unwrap_or_default(),
                user,
            )?;
            found.insert(oid, table);
        }
        let mut foreign: BTreeMap<u32, Vec<ForeignKey>> = BTreeMap::new();
        for row in client.query(FOREIGN_KEYS, &[&oids]).await.map_err(&failed)? {
            let (from, to): (u32, u32) = (row.get(0), row.get(3));
            if let (Some(from_table), Some(to_table)) = (found.get(&from), found.get(&to))
                && let Some(columns) = from_table.joins(to_table, row.get(2), row.get(4))
            {
                let key = ForeignKey { name: row.get(1), to: to_table.collection.clone(), columns };
                foreign.entry(from).or_default().push(key);
            }
        }
        let mut tables: Vec<Table> = found.into_values().collect();
        for table in &mut tables {
            table.foreign = foreign.remove(&table.oid).unwrap_or_default();
        }
        tables.sort_by(|one, other| one.collection.cmp(&other.collection));
        Ok(Self { tables: tables.into_iter().map(Arc::new).collect() })
    }

    pub(super) fn table(&self, collection: &CollectionName) -> Option<&Arc<Table>> {
        self.tables.iter().find(|table| &table.collection == collection)
    }
}

impl Table {
    fn new(
        row: &tokio_postgres::Row,
        columns: Vec<Column>,
        keys: &[(bool, bool, Vec<i16>)],
        user: &str,
    ) -> Result<Self> {
        let (schema, name): (&str, &str) = (row.get(1), row.get(2));
        let (identity, permanent): (&str, bool) = (row.get(4), row.get(5));
        let sql = format!("{}.{}", quoted(schema), quoted(name));
        let primary = keys.iter().find(|(primary, _, _)| *primary);
        let chosen = keys.iter().find(|(_, chosen, _)| *chosen);
        let numbers = match identity {
            "i" => chosen.or(primary),
            _ => primary,
        };
        let place = |number: &i16| columns.iter().position(|column| column.number == *number);
        let key: Option<Vec<usize>> = numbers.and_then(|(_, _, numbers)| numbers.iter().map(place).collect());
        let loggable = permanent
            && match identity {
                "d" | "f" => key.is_some(),
                "i" => key.is_some() && chosen.is_some(),
                _ => false,
            };
        let hidden = if !row.get::<_, bool>(7) {
            Some(Hidden {
                reason: "the schema may not be used",
                grant: format!(
                    "GRANT USAGE ON SCHEMA {} TO {}; GRANT SELECT ON {sql} TO {}",
                    quoted(schema),
                    quoted(user),
                    quoted(user)
                ),
            })
        } else if !row.get::<_, bool>(8) {
            Some(Hidden {
                reason: "the table may not be read",
                grant: format!("GRANT SELECT ON {sql} TO {}", quoted(user)),
            })
        } else if row.get(9) {
            Some(Hidden { reason: "row security hides rows", grant: format!("ALTER ROLE {} BYPASSRLS", quoted(user)) })
        } else {
            None
        };
        Ok(Self {
            oid: row.get(0),
            collection: collection(schema, name)?,
            sql,
            identity: key.map_or(Identity::Place, Identity::Key),
            columns,
            loggable,
            is_partitioned: row.get(3),
            rows: u64::try_from(row.get::<_, i64>(6)).unwrap_or_default(),
            hidden,
            foreign: Vec::new(),
        })
    }

    /// The columns that make the other table's ids.
    fn joins(&self, other: &Self, mine: Vec<i16>, theirs: Vec<i16>) -> Option<Vec<usize>> {
        let Identity::Key(key) = &other.identity else { return None };
        let pairs: Vec<(i16, i16)> = mine.into_iter().zip(theirs).collect();
        if pairs.len() != key.len() {
            return None;
        }
        key.iter()
            .map(|place| {
                let number = other.columns.get(*place)?.number;
                let (mine, _) = pairs.iter().find(|(_, theirs)| *theirs == number)?;
                self.columns.iter().position(|column| column.number == *mine)
            })
            .collect()
    }

    /// The columns as they stand in SQL, and where rows lie before them if that makes their ids.
    pub(super) fn select(&self) -> String {
        let columns = self.columns.iter().map(|column| quoted(&column.name));
        match (&self.identity, self.is_partitioned) {
            (Identity::Key(_), _) => columns.collect::<Vec<_>>().join(", "),
            (Identity::Place, false) => ["ctid".to_owned()].into_iter().chain(columns).collect::<Vec<_>>().join(", "),
            (Identity::Place, true) => {
                let place = "tableoid::regclass::text || ctid::text".to_owned();
                [place].into_iter().chain(columns).collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// The rows: of a table that others inherit from, only its own.
    pub(super) fn from(&self) -> String {
        if self.is_partitioned { self.sql.clone() } else { format!("ONLY {}", self.sql) }
    }

    /// The statement that gives a fingerprint of all rows, whatever their order.
    pub(super) fn fingerprint(&self) -> String {
        format!(
            "SELECT count(*) || ' ' || coalesce(sum(hashtextextended(r::text, 0)::numeric), 0) || ' ' \
             || coalesce(sum(hashtextextended(r::text, 1)::numeric), 0) FROM {} r",
            self.from()
        )
    }

    /// A condition for one row; `None` if the id does not lead back to it.
    pub(super) fn condition(&self, id: &str) -> Option<String> {
        match &self.identity {
            Identity::Key(key) => {
                let parts = id::decode(id, key.len())?;
                self.key_condition(|place| {
                    let at = key.iter().position(|column| *column == place)?;
                    parts.get(at).map(String::as_bytes)
                })
            }
            Identity::Place => {
                let place = literal(&id::decode(id, 1)?.pop()?);
                let is_one = if self.is_partitioned { "tableoid::regclass::text || ctid::text =" } else { "ctid =" };
                let cast = if self.is_partitioned { "" } else { "::tid" };
                Some(format!("({is_one} {place}{cast})"))
            }
        }
    }

    /// A condition for the row with these values in the columns of its key.
    pub(super) fn key_condition<'a>(&self, value: impl Fn(usize) -> Option<&'a [u8]>) -> Option<String> {
        let Identity::Key(key) = &self.identity else { return None };
        let terms = key.iter().map(|place| {
            let column = self.columns.get(*place)?;
            let text = literal(utf8(value(*place)?).ok()?);
            Some(format!("{} = {text}::{}", quoted(&column.name), column.type_name))
        });
        Some(format!("({})", terms.collect::<Option<Vec<_>>>()?.join(" AND ")))
    }

    /// The id of a row, of its columns in the table's order.
    pub(super) fn id<'a>(&self, value: impl Fn(usize) -> Option<&'a [u8]>) -> Result<RecordId> {
        let Identity::Key(key) = &self.identity else {
            return Err(Error::new(ErrorKind::Unexpected, "the table's rows have no key"));
        };
        id_of(key, value)?.ok_or_else(|| Error::new(ErrorKind::InvalidData, "a row comes without its key"))
    }

    /// The record of a row.
    pub(super) fn record<'a>(
        &self,
        id: RecordId,
        value: impl Fn(usize) -> Option<&'a [u8]>,
        scratch: &mut Vec<u8>,
    ) -> Result<Record> {
        scratch.clear();
        for (place, column) in self.columns.iter().enumerate() {
            if let Some(text) = value(place) {
                scratch.extend_from_slice(&column.member);
                column.form.write_json(text, scratch)?;
            }
        }
        match scratch.first_mut() {
            Some(comma) => *comma = b'{',
            None => scratch.push(b'{'),
        }
        scratch.push(b'}');
        let data = Json::parse(bytes::Bytes::copy_from_slice(scratch))?;
        let mut record = Record::new(Key::new(self.collection.clone(), id), data);
        for foreign in &self.foreign {
            let to = match id_of(&foreign.columns, &value)? {
                Some(id) => References::One(Reference::new(foreign.to.clone(), id)),
                None => References::None,
            };
            record.refs.insert(foreign.name.clone(), to);
        }
        Ok(record)
    }

    /// The columns as the server's log names them.
    pub(super) fn shape<'a>(columns: impl Iterator<Item = (&'a str, u32, i32)>) -> String {
        let text: Vec<String> = columns.map(|(name, oid, modifier)| format!("{name} {oid} {modifier}")).collect();
        short_digest(&text.join("\n"))
    }

    /// [`Self::shape`] of the columns as they are.
    pub(super) fn log_shape(&self) -> String {
        Self::shape(self.columns.iter().map(|column| (column.name.as_str(), column.type_oid, column.type_modifier)))
    }

    /// The same with what the log does not name: what makes ids, and what values the columns' types may have.
    pub(super) fn full_shape(&self) -> String {
        let details: Vec<&str> = self.columns.iter().map(|column| column.type_detail.as_str()).collect();
        short_digest(&format!("{}\n{:?}\n{}", self.log_shape(), self.identity, details.join("\n")))
    }

    /// Where each of our columns stands among these names.
    pub(super) fn places<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<usize> {
        let names: Vec<&str> = names.collect();
        let place = |column: &Column| names.iter().position(|name| *name == column.name).unwrap_or(usize::MAX);
        self.columns.iter().map(place).collect()
    }
}

fn id_of<'a>(places: &[usize], value: impl Fn(usize) -> Option<&'a [u8]>) -> Result<Option<RecordId>> {
    let mut parts = Vec::with_capacity(places.len());
    for place in places {
        let Some(text) = value(*place) else { return Ok(None) };
        parts.push(utf8(text)?);
    }
    id::encode(parts).map(Some)
}

/// 64 bits are enough to tell a table's forms apart.
pub(super) fn short_digest(text: &str) -> String {
    let mut digest = Digest::of(text.as_bytes()).to_string();
    digest.truncate(16);
    digest
}

impl Column {
    fn new(row: &tokio_postgres::Row) -> Result<Self> {
        let name: String = row.get(2);
        let mut member = vec![b','];
        write_string(&name, &mut member)?;
        member.push(b':');
        Ok(Self {
            name,
            member,
            form: Form::of(row.get(5)),
            type_name: row.get(7),
            not_null: row.get(6),
            type_oid: row.get(3),
            type_modifier: row.get(4),
            type_detail: row.get(8),
            number: row.get(1),
        })
    }
}

/// `schema.table`, quoted as SQL quotes where a name is not a plain one; so it never is one of the other collections,
/// and never one that stores reserve.
pub(super) fn collection(schema: &str, name: &str) -> Result<CollectionName> {
    let part = |text: &str| {
        let plain = text.starts_with(|letter: char| letter.is_alphabetic())
            && text.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '$'));
        if plain { text.to_owned() } else { quoted(text) }
    };
    CollectionName::parse(format!("{}.{}", part(schema), part(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collections_are_named_after_schema_and_table() {
        assert_eq!(collection("public", "users").unwrap().as_str(), "public.users");
        assert_eq!(collection("public", "a.b").unwrap().as_str(), "public.\"a.b\"");
        assert_eq!(collection("_s", "t").unwrap().as_str(), "\"_s\".t");
        assert!(!collection("_s", "t").unwrap().is_reserved());
    }
}
