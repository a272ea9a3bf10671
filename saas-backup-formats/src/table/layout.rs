use std::collections::BTreeMap;

use saas_backup_core::CollectionName;

use super::names::{Identifiers, column_name, table_name};
use super::plan::{
    CollectionPlan, Column, Envelope, ForeignKey, Kind, Link, LinkTable, Members, Place, Plan, Role, Row, Table,
};
use super::shape::{Parts, Seen, Shape, Spill};
use super::survey::{Relation, Survey, Surveyed};

/// The names of the tables with the records of the collections.
pub(crate) fn root_names(survey: &Survey, names: &mut Identifiers) -> Vec<String> {
    let names_of = survey.collections.iter().map(|collection| collection.name.as_str());
    names_of.map(|name| names.give(&table_name(name), name)).collect()
}

impl Plan {
    /// Lays out tables; `strict` as in [`Shape::parts`].
    pub(crate) fn new(survey: &Survey, strict: bool) -> Self {
        let mut names = Identifiers::default();
        let roots = root_names(survey, &mut names);
        let mut plan = Self { tables: Vec::new(), collections: Vec::new(), names };
        // The tables of records come first, so that others can point to them.
        for (surveyed, name) in survey.collections.iter().zip(roots) {
            plan.tables.push(Table::new(name, surveyed, Role::Records));
        }
        for (root, surveyed) in survey.collections.iter().enumerate() {
            let collection = Layout { plan: &mut plan, survey, surveyed, root, strict }.collection();
            plan.collections.push(collection);
        }
        plan
    }
}

/// Lays out the tables of one collection.
struct Layout<'a> {
    plan: &'a mut Plan,
    survey: &'a Survey,
    surveyed: &'a Surveyed,
    root: usize,
    strict: bool,
}

impl Layout<'_> {
    fn collection(mut self) -> CollectionPlan {
        let (root, surveyed) = (self.root, self.surveyed);
        let used = surveyed.used;
        let mut envelope = Envelope {
            partition: used.partition.then(|| self.add(root, Column::text("_partition", "/partition"))),
            sequence: used.sequence.then(|| self.add(root, Column::integer("_sequence", "/seq"))),
            ..Envelope::default()
        };
        self.add(root, Column::text("_version", "/version"));
        self.add(root, Column::instant("_created", "/created"));
        self.add(root, Column::instant("_modified", "/modified"));
        self.add(root, Column::text("_state", "/state").required());
        envelope.purge_at = used.purge_at.then(|| self.add(root, Column::instant("_purge_at", "/purge_at")));
        let mut taken = Identifiers::default();
        let by = self.link(&surveyed.by, "by", "/by", &mut taken);
        let mut refs = BTreeMap::new();
        for (name, relation) in &surveyed.refs {
            let link = self.link(relation, &format!("ref_{}", column_name(name)), &pointer("/refs", name), &mut taken);
            refs.insert(name.clone(), link);
        }
        let row = self.row(&surveyed.shape, root, "/data", false);
        envelope.data = used.data.then(|| self.add(root, Column::json("_data_json", "/data", Spill::Any)));
        envelope.extra = used.extra.then(|| self.add(root, Column::json("_extra_json", "", Spill::Object)));
        let attachments = used.blobs.then(|| self.side("blobs", "/blobs/*", Role::Attachments, attachment_columns()));
        let access = used.access.then(|| self.side("access", "/access/*", Role::Access, access_columns()));
        let mut row = row;
        row.width = self.width(root);
        CollectionPlan { row, envelope, by, refs, attachments, access }
    }

    fn add(&mut self, table: usize, column: Column) -> usize {
        self.plan.tables.get_mut(table).map_or(0, |table| table.add(column))
    }

    fn width(&self, table: usize) -> usize {
        self.plan.tables.get(table).map_or(0, |table| table.columns.len())
    }

    /// Begins a table whose rows belong to those of another: it has their key and an order.
    fn below(&mut self, parent: usize, suffix: &str, role: Role, path: String) -> usize {
        let Some(above) = self.plan.tables.get(parent) else { return parent };
        let wanted = format!("{}__{suffix}", above.name);
        let (keys, depth) = (above.columns.get(..above.key).unwrap_or_default().to_vec(), above.key);
        let mut table = Table::new(self.plan.names.give(&wanted, &wanted), self.surveyed, role);
        table.title = format!("{}: {}", above.title, suffix);
        table.columns = keys;
        table.path = path;
        let order = if depth == 1 { "_order".to_owned() } else { format!("_order_{depth}") };
        table.columns.push(Column::integer(order, "").required());
        table.key = depth + 1;
        table.foreign.push(ForeignKey { columns: (0..depth).collect(), table: parent });
        self.plan.tables.push(table);
        self.plan.tables.len() - 1
    }

    fn side(&mut self, suffix: &str, path: &str, role: Role, columns: Vec<Column>) -> usize {
        let table = self.below(self.root, suffix, role, path.to_owned());
        for column in columns {
            self.add(table, column);
        }
        table
    }

    /// The table of a collection's records.
    fn table_of(&self, collection: &CollectionName) -> Option<usize> {
        self.survey.collections.iter().position(|surveyed| &surveyed.name == collection)
    }

    fn link(&mut self, relation: &Relation, name: &str, path: &str, taken: &mut Identifiers) -> Link {
        let name = taken.give(name, path);
        if relation.many || relation.targets.len() > 1 {
            let mut tables = BTreeMap::new();
            for (to, target) in &relation.targets {
                let suffix = match relation.targets.len() {
                    1 => table_name(&name),
                    _ => format!("{}__{}", table_name(&name), table_name(to.as_str())),
                };
                let table = self.below(self.root, &suffix, Role::Links, format!("{path}/*"));
                if let Some(table) = self.plan.tables.get_mut(table) {
                    table.many = relation.many;
                }
                let id = self.add(table, Column::text("_target", format!("{path}/*/id")).to(to).required());
                let held = self.resolve(table, id, "_target", to, (target.held, target.missing));
                let account =
                    relation.accounts.then(|| self.add(table, Column::text("_account", format!("{path}/*/account"))));
                tables.insert(to.clone(), LinkTable { table, width: self.width(table), held, account });
            }
            return Link::Tables(tables);
        }
        let Some((to, target)) = relation.targets.first_key_value() else {
            return Link::Columns { id: None, held: None, account: None };
        };
        let name = format!("_{name}");
        let id = self.add(self.root, Column::text(name.clone(), format!("{path}/id")).to(to));
        let held = self.resolve(self.root, id, &name, to, (target.held, target.missing));
        let account = relation
            .accounts
            .then(|| self.add(self.root, Column::text(format!("{name}_account"), format!("{path}/account"))));
        Link::Columns { id: Some(id), held, account }
    }

    /// Declares that a column has ids of a collection's records. If some are not there, a column beside it has those
    /// that are.
    fn resolve(
        &mut self,
        table: usize,
        id: usize,
        name: &str,
        to: &CollectionName,
        (held, missing): (u64, u64),
    ) -> Option<usize> {
        let target = self.table_of(to).filter(|_| held > 0 || missing == 0)?;
        let beside = (missing > 0).then(|| self.add(table, Column::text(format!("{name}_held"), "")));
        if let Some(table) = self.plan.tables.get_mut(table) {
            table.foreign.push(ForeignKey { columns: vec![beside.unwrap_or(id)], table: target });
        }
        beside
    }

    /// The columns of what becomes a row.
    fn row(&mut self, shape: &Shape, table: usize, path: &str, item: bool) -> Row {
        let mut taken = Identifiers::default();
        let members = self.members(shape, table, "", path, &mut taken);
        let plain = shape.plain_parts(self.strict).filter(|_| item);
        let value = plain.map(|parts| self.columns(shape, parts, table, "value", path, &mut taken)).unwrap_or_default();
        let more = shape.seen.any(Seen::MORE);
        let rest = more.then(|| self.add(table, Column::json("_rest_json", path, Spill::Object)));
        Row { table, width: self.width(table), members, value, rest }
    }

    fn members(&mut self, shape: &Shape, table: usize, prefix: &str, path: &str, taken: &mut Identifiers) -> Members {
        let mut members = Members::default();
        for (name, shape) in &shape.members {
            let path = pointer(path, name);
            let wanted = format!("{prefix}{}", column_name(name));
            members.index.insert(name.clone(), members.list.len());
            let place = self.place(shape, table, &wanted, &path, taken);
            members.list.push((name.clone(), place));
        }
        members
    }

    fn place(&mut self, shape: &Shape, table: usize, wanted: &str, path: &str, taken: &mut Identifiers) -> Place {
        let parts = shape.parts(self.strict);
        let mut place = self.columns(shape, parts, table, wanted, path, taken);
        if parts.object {
            place.object = Some(self.members(shape, table, &format!("{wanted}_"), path, taken));
        }
        place
    }

    /// The columns of plain values and of JSON, and the table of a list's items.
    fn columns(
        &mut self,
        shape: &Shape,
        parts: Parts,
        table: usize,
        wanted: &str,
        path: &str,
        taken: &mut Identifiers,
    ) -> Place {
        let scalar = parts.scalar.map(|scalar| {
            let column = Column::new(taken.give(wanted, path), path, Kind::Plain(scalar));
            (self.add(table, Column { seen: shape.seen, ..column }), scalar)
        });
        let spill = parts.spill.map(|spill| {
            let name = taken.give(&format!("{wanted}_json"), path);
            self.add(table, Column::json(name, path, spill))
        });
        let items = shape.items.as_deref().filter(|_| parts.list);
        let list = items.map(|items| {
            let below = self.below(table, &table_name(wanted), Role::Items, format!("{path}/*"));
            Box::new(self.row(items, below, &format!("{path}/*"), true))
        });
        Place { scalar, spill, list, ..Place::default() }
    }
}

fn attachment_columns() -> Vec<Column> {
    let text = |name: &str, member: &str| Column::text(name, format!("/blobs/*/{member}"));
    vec![
        text("blob", "blob"),
        text("role", "role").required(),
        text("name", "name"),
        text("media_type", "media_type"),
        Column::integer("size", "/blobs/*/size"),
        text("sha256", "digest"),
        text("status", "status").required(),
        text("place", "path"),
        text("external_url", "external_url"),
        Column::instant("created", "/blobs/*/created"),
        Column::text("file", ""),
    ]
}

fn access_columns() -> Vec<Column> {
    let text = |name: &str, member: &str| Column::text(name, format!("/access/*/{member}"));
    vec![
        text("role", "role").required(),
        text("named", "principal"),
        text("principal_collection", "principal/collection"),
        text("principal_id", "principal/id"),
        text("principal_account", "principal/account"),
        text("inherited_collection", "inherited_from/collection"),
        text("inherited_id", "inherited_from/id"),
        text("inherited_account", "inherited_from/account"),
        Column::instant("expires", "/access/*/expires"),
    ]
}

/// A member in a JSON pointer (RFC 6901).
pub(crate) fn pointer(path: &str, name: &str) -> String {
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}
