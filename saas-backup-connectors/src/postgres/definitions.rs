//! What it takes to make the tables again, as the statements that do it.
//!
//! The server writes most of them itself (`pg_get_…def`); with an empty search path every name in them is qualified.

use saas_backup_core::{CollectionName, Json, Key, Record, Result};
use serde::{Deserialize, Serialize};
use tokio_postgres::GenericClient;

use super::catalog::DEFINITIONS;
use super::error::refused;
use super::{id, structure};

/// The statements for one object.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Definition {
    pub(super) kind: String,
    pub(super) name: String,
    /// Before rows come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) create: Vec<String>,
    /// After rows came: what is faster, or only possible, then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) finish: Vec<String>,
    /// After all of that: what joins tables, or acts on rows that come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) join: Vec<String>,
    /// Owners, rights and comments, which another server may not take.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) access: Vec<String>,
}

impl Definition {
    pub(super) fn record(&self) -> Result<Record> {
        let id = id::encode([self.kind.as_str(), self.name.as_str()])?;
        Ok(Record::new(Key::new(CollectionName::from_static(DEFINITIONS), id), Json::from_value(self)?))
    }
}

/// The order in which kinds are made; what needs something later is tried again.
pub(super) const ORDER: &[&str] = &[
    "role",
    "schema",
    "extension",
    "type",
    "domain",
    "sequence",
    "table",
    "function",
    "view",
    "materialized view",
    "statistics",
];

/// One query a kind; each gives a name and four lists of statements, in the order of [`Definition`]'s fields.
/// `$1` is the list of schemas, empty for all.
const QUERIES: &[(&str, &str)] = &[
    ("role", ROLES),
    ("schema", SCHEMAS),
    ("extension", EXTENSIONS),
    ("type", TYPES),
    ("domain", DOMAINS),
    ("sequence", SEQUENCE_QUERY),
    ("table", TABLES),
    ("function", FUNCTIONS),
    ("view", VIEWS),
    ("materialized view", MATERIALIZED_VIEWS),
    ("statistics", STATISTICS),
];

/// Stands in the queries for: a schema of the account's own that is asked for; `n` is its row.
const OWN: &str =
    "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND ($1::text[] = '{}' OR n.nspname = ANY($1))";

/// Who owns `{o}`, who may do what with it, and what was noted about it.
/// `{alter}`, `{grant}` and `{comment}` are the words before its name, `{acl}` its list of rights.
const ACCESS: &str = "
    ARRAY[format('ALTER {alter} %s OWNER TO %I', {o}, pg_get_userbyid({owner}))]
    || CASE WHEN {acl} IS NULL THEN '{}'::text[] ELSE
        ARRAY[format('REVOKE ALL ON {grant} %s FROM PUBLIC', {o}), format('REVOKE ALL ON {grant} %s FROM %I', {o}, pg_get_userbyid({owner}))]
        || coalesce((SELECT array_agg(format('GRANT %s ON {grant} %s TO %s%s', g.privilege_type, {o},
            CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
            CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) ORDER BY g.grantee::bigint, g.privilege_type)
            FROM aclexplode({acl}) g), '{}') END
    || coalesce((SELECT array_agg(format('COMMENT ON {comment} %s IS %L', {o}, d.description))
        FROM pg_description d WHERE d.objoid = {oid} AND d.classoid = '{class}'::regclass AND d.objsubid = 0), '{}')";

const NOT_OF_EXTENSION: &str = "NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = '{class}'::regclass AND d.objid = {oid} AND d.deptype = 'e')";

const ROLES: &str = "
    SELECT r.rolname::text,
        ARRAY[format('CREATE ROLE %I WITH %s %s %s %s %s %s %s CONNECTION LIMIT %s%s', r.rolname,
            CASE WHEN r.rolsuper THEN 'SUPERUSER' ELSE 'NOSUPERUSER' END, CASE WHEN r.rolinherit THEN 'INHERIT' ELSE 'NOINHERIT' END,
            CASE WHEN r.rolcreaterole THEN 'CREATEROLE' ELSE 'NOCREATEROLE' END, CASE WHEN r.rolcreatedb THEN 'CREATEDB' ELSE 'NOCREATEDB' END,
            CASE WHEN r.rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END, CASE WHEN r.rolreplication THEN 'REPLICATION' ELSE 'NOREPLICATION' END,
            CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' ELSE 'NOBYPASSRLS' END, r.rolconnlimit,
            ' VALID UNTIL ' || quote_literal(r.rolvaliduntil))],
        '{}'::text[], '{}'::text[],
        coalesce((SELECT array_agg(format('GRANT %I TO %I%s', g.rolname, r.rolname, CASE WHEN m.admin_option THEN ' WITH ADMIN OPTION' ELSE '' END) ORDER BY g.rolname)
            FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid), '{}')
    FROM pg_roles r WHERE r.rolname !~ '^pg_' AND r.oid <> 10 AND $1::text[] IS NOT NULL ORDER BY 1";

const SCHEMAS: &str = "
    SELECT quote_ident(n.nspname), ARRAY[format('CREATE SCHEMA IF NOT EXISTS %I', n.nspname)], '{}'::text[], '{}'::text[], {access}
    FROM pg_namespace n WHERE {own} AND {not_of_extension} ORDER BY 1";

const EXTENSIONS: &str = "
    SELECT quote_ident(e.extname), ARRAY[format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA %I', e.extname, n.nspname)],
        '{}'::text[], '{}'::text[], '{}'::text[]
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname <> 'plpgsql' AND $1::text[] IS NOT NULL ORDER BY 1";

const TYPES: &str = "
    SELECT o.name, ARRAY[CASE t.typtype
        WHEN 'e' THEN format('CREATE TYPE %s AS ENUM (%s)', o.name,
            (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid))
        WHEN 'c' THEN format('CREATE TYPE %s AS (%s)', o.name,
            (SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
                FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped))
        ELSE (SELECT format('CREATE TYPE %s AS RANGE (SUBTYPE = %s, MULTIRANGE_TYPE_NAME = %s)', o.name,
                format_type(g.rngsubtype, NULL), format_type(g.rngmultitypid, NULL)) FROM pg_range g WHERE g.rngtypid = t.oid)
        END], '{}'::text[], '{}'::text[], {access}
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace,
        LATERAL (SELECT format('%I.%I', n.nspname, t.typname) AS name) o
    WHERE {own} AND {not_of_extension}
        AND (t.typtype IN ('e', 'r') OR t.typtype = 'c' AND (SELECT c.relkind FROM pg_class c WHERE c.oid = t.typrelid) = 'c')
    ORDER BY 1";

const DOMAINS: &str = "
    SELECT o.name, ARRAY[format('CREATE DOMAIN %s AS %s%s%s%s%s', o.name, format_type(t.typbasetype, t.typtypmod),
            (SELECT format(' COLLATE %I.%I', cn.nspname, c.collname) FROM pg_collation c JOIN pg_namespace cn ON cn.oid = c.collnamespace
                JOIN pg_type b ON b.oid = t.typbasetype WHERE c.oid = t.typcollation AND t.typcollation <> b.typcollation),
            ' DEFAULT ' || pg_get_expr(t.typdefaultbin, 0), CASE WHEN t.typnotnull THEN ' NOT NULL' ELSE '' END,
            (SELECT string_agg(format(' CONSTRAINT %I %s', k.conname, pg_get_constraintdef(k.oid)), '' ORDER BY k.conname)
                FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c'))],
        '{}'::text[], '{}'::text[], {access}
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace,
        LATERAL (SELECT format('%I.%I', n.nspname, t.typname) AS name) o
    WHERE {own} AND {not_of_extension} AND t.typtype = 'd' ORDER BY 1";

const SEQUENCE_QUERY: &str = "
    SELECT o.name, ARRAY[format('CREATE SEQUENCE %s AS %s INCREMENT BY %s MINVALUE %s MAXVALUE %s START WITH %s CACHE %s%s', o.name,
            format_type(s.seqtypid, NULL), s.seqincrement, s.seqmin, s.seqmax, s.seqstart, s.seqcache,
            CASE WHEN s.seqcycle THEN ' CYCLE' ELSE ' NO CYCLE' END)],
        coalesce((SELECT array_agg(format('ALTER SEQUENCE %s OWNED BY %I.%I.%I', o.name, tn.nspname, t.relname, a.attname))
            FROM pg_depend d JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
            JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'a'), '{}'),
        '{}'::text[], {access}
    FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace,
        LATERAL (SELECT format('%I.%I', n.nspname, c.relname) AS name) o
    WHERE {own} AND {not_of_extension} AND c.relpersistence <> 't'
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'i')
    ORDER BY 1";

const TABLES: &str = "
    SELECT o.name,
        ARRAY[format('CREATE %sTABLE %s%s%s%s%s', CASE WHEN c.relpersistence = 'u' THEN 'UNLOGGED ' ELSE '' END, o.name,
            CASE WHEN c.relispartition
            THEN (SELECT format(' PARTITION OF %I.%I %s', pn.nspname, p.relname, pg_get_expr(c.relpartbound, c.oid))
                FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE i.inhrelid = c.oid)
            ELSE format(' (%s)', (SELECT string_agg(format('%I %s%s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
                (SELECT format(' COLLATE %I.%I', cn.nspname, l.collname) FROM pg_collation l JOIN pg_namespace cn ON cn.oid = l.collnamespace
                    JOIN pg_type t ON t.oid = a.atttypid WHERE l.oid = a.attcollation AND a.attcollation <> t.typcollation),
                CASE WHEN a.attidentity <> '' THEN
                    (SELECT format(' GENERATED %s AS IDENTITY (SEQUENCE NAME %I.%I INCREMENT BY %s MINVALUE %s MAXVALUE %s START WITH %s CACHE %s%s)',
                        CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END, sn.nspname, sc.relname,
                        s.seqincrement, s.seqmin, s.seqmax, s.seqstart, s.seqcache, CASE WHEN s.seqcycle THEN ' CYCLE' ELSE ' NO CYCLE' END)
                    FROM pg_depend d JOIN pg_sequence s ON s.seqrelid = d.objid JOIN pg_class sc ON sc.oid = s.seqrelid JOIN pg_namespace sn ON sn.oid = sc.relnamespace
                    WHERE d.classid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid = a.attnum AND d.deptype = 'i')
                WHEN a.attgenerated <> '' THEN format(' GENERATED ALWAYS AS (%s) STORED', pg_get_expr(f.adbin, f.adrelid))
                ELSE ' DEFAULT ' || pg_get_expr(f.adbin, f.adrelid) END,
                CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END), ', ' ORDER BY a.attnum)
                FROM pg_attribute a LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attislocal)) END,
            (SELECT format(' INHERITS (%s)', string_agg(format('%I.%I', pn.nspname, p.relname), ', ' ORDER BY i.inhseqno))
                FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace
                WHERE i.inhrelid = c.oid AND NOT c.relispartition HAVING count(*) > 0),
            CASE WHEN c.relkind = 'p' THEN ' PARTITION BY ' || pg_get_partkeydef(c.oid) END,
            ' WITH (' || array_to_string(c.reloptions, ', ') || ')')]
        || coalesce((SELECT array_agg(format('ALTER TABLE %s ALTER COLUMN %I SET STORAGE %s', o.name, a.attname,
                CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END) ORDER BY a.attnum)
            FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attislocal AND a.attstorage <> t.typstorage), '{}'),
        coalesce((SELECT array_agg(format('ALTER TABLE %s ADD CONSTRAINT %I %s', o.name, k.conname, pg_get_constraintdef(k.oid))
                ORDER BY array_position(ARRAY['p', 'u', 'c', 'x'], k.contype::text), k.conname)
            FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u', 'c', 'x') AND k.conparentid = 0 AND k.conislocal), '{}')
        || coalesce((SELECT array_agg(regexp_replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ') ORDER BY x.relname)
            FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid AND (i.indisvalid OR x.relkind = 'I')
                AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x') AND k.conrelid = c.oid)
                AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = i.indexrelid)), '{}')
        || coalesce((SELECT array_agg(format('ALTER TABLE %s CLUSTER ON %I', o.name, x.relname))
            FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid AND i.indisclustered), '{}')
        || CASE c.relreplident WHEN 'f' THEN ARRAY[format('ALTER TABLE %s REPLICA IDENTITY FULL', o.name)]
            WHEN 'n' THEN ARRAY[format('ALTER TABLE %s REPLICA IDENTITY NOTHING', o.name)]
            WHEN 'i' THEN (SELECT array_agg(format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %I', o.name, x.relname))
                FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid AND i.indisreplident)
            ELSE '{}'::text[] END,
        coalesce((SELECT array_agg(format('ALTER TABLE %s ADD CONSTRAINT %I %s', o.name, k.conname, pg_get_constraintdef(k.oid)) ORDER BY k.conname)
            FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.conparentid = 0), '{}')
        || coalesce((SELECT array_agg(pg_get_triggerdef(g.oid) ORDER BY g.tgname) FROM pg_trigger g
            WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgparentid = 0), '{}')
        || coalesce((SELECT array_agg(format('ALTER TABLE %s %s TRIGGER %I', o.name,
                CASE g.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, g.tgname) ORDER BY g.tgname)
            FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgparentid = 0 AND g.tgenabled <> 'O'), '{}')
        || coalesce((SELECT array_agg(pg_get_ruledef(r.oid) ORDER BY r.rulename) FROM pg_rewrite r
            WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN'), '{}')
        || coalesce((SELECT array_agg(format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', p.polname, o.name,
                CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
                CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
                (SELECT string_agg(CASE u.oid WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(u.oid)) END, ', ') FROM unnest(p.polroles) u (oid)),
                ' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', ' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')') ORDER BY p.polname)
            FROM pg_policy p WHERE p.polrelid = c.oid), '{}')
        || CASE WHEN c.relrowsecurity THEN ARRAY[format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', o.name)] ELSE '{}' END
        || CASE WHEN c.relforcerowsecurity THEN ARRAY[format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', o.name)] ELSE '{}' END,
        {access}
        || coalesce((SELECT array_agg(format('COMMENT ON COLUMN %s.%I IS %L', o.name, a.attname, d.description) ORDER BY a.attnum)
            FROM pg_description d JOIN pg_attribute a ON a.attrelid = d.objoid AND a.attnum = d.objsubid
            WHERE d.objoid = c.oid AND d.classoid = 'pg_class'::regclass AND d.objsubid > 0), '{}')
        || coalesce((SELECT array_agg(format('COMMENT ON CONSTRAINT %I ON %s IS %L', k.conname, o.name, d.description) ORDER BY k.conname)
            FROM pg_description d JOIN pg_constraint k ON k.oid = d.objoid WHERE k.conrelid = c.oid AND d.classoid = 'pg_constraint'::regclass), '{}')
        || coalesce((SELECT array_agg(format('GRANT %s (%I) ON TABLE %s TO %s%s', g.privilege_type, a.attname, o.name,
                CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
                CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) ORDER BY a.attnum, g.grantee::bigint, g.privilege_type)
            FROM pg_attribute a, aclexplode(a.attacl) g WHERE a.attrelid = c.oid AND NOT a.attisdropped AND a.attacl IS NOT NULL), '{}')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
        LATERAL (SELECT format('%I.%I', n.nspname, c.relname) AS name) o
    WHERE {own} AND {not_of_extension} AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't' ORDER BY c.relispartition, 1";

const FUNCTIONS: &str = "
    SELECT o.name, ARRAY[pg_get_functiondef(p.oid)], '{}'::text[], '{}'::text[], {access}
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace,
        LATERAL (SELECT format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS name) o
    WHERE {own} AND {not_of_extension} AND p.prokind IN ('f', 'p', 'w')
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')
    ORDER BY 1";

const VIEWS: &str = "
    SELECT o.name, ARRAY[format('CREATE VIEW %s%s AS %s', o.name, ' WITH (' || array_to_string(c.reloptions, ', ') || ')', pg_get_viewdef(c.oid))],
        '{}'::text[],
        coalesce((SELECT array_agg(pg_get_triggerdef(g.oid) ORDER BY g.tgname) FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal), '{}')
        || coalesce((SELECT array_agg(pg_get_ruledef(r.oid) ORDER BY r.rulename) FROM pg_rewrite r
            WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN'), '{}'),
        {access}
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
        LATERAL (SELECT format('%I.%I', n.nspname, c.relname) AS name) o
    WHERE {own} AND {not_of_extension} AND c.relkind = 'v' AND c.relpersistence <> 't' ORDER BY 1";

const MATERIALIZED_VIEWS: &str = "
    SELECT o.name, ARRAY[format('CREATE MATERIALIZED VIEW %s%s AS %s WITH NO DATA', o.name,
            ' WITH (' || array_to_string(c.reloptions, ', ') || ')', rtrim(pg_get_viewdef(c.oid), ';'))],
        coalesce((SELECT array_agg(pg_get_indexdef(i.indexrelid) ORDER BY i.indexrelid) FROM pg_index i WHERE i.indrelid = c.oid), '{}'),
        CASE WHEN c.relispopulated THEN ARRAY[format('REFRESH MATERIALIZED VIEW %s', o.name)] ELSE '{}' END, {access}
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
        LATERAL (SELECT format('%I.%I', n.nspname, c.relname) AS name) o
    WHERE {own} AND {not_of_extension} AND c.relkind = 'm' ORDER BY 1";

const STATISTICS: &str = "
    SELECT format('%I.%I', n.nspname, s.stxname), '{}'::text[], ARRAY[pg_get_statisticsobjdef(s.oid)], '{}'::text[], '{}'::text[]
    FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE {own} ORDER BY 1";

/// What exists and has no definition here, by kind.
const UNTOLD: &str = "
    SELECT kind, count(*) FROM (
        SELECT 'aggregates' AS kind FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.prokind = 'a' AND {own}
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
        UNION ALL SELECT 'base types' FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'b' AND t.typelem = 0 AND {own}
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype IN ('e', 'i'))
        UNION ALL SELECT 'casts' FROM pg_cast c WHERE c.oid >= 16384
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_cast'::regclass AND d.objid = c.oid AND d.deptype = 'e')
        UNION ALL SELECT 'collations' FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace WHERE {own}
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_collation'::regclass AND d.objid = l.oid AND d.deptype = 'e')
        UNION ALL SELECT 'default privileges' FROM pg_default_acl
        UNION ALL SELECT 'event triggers' FROM pg_event_trigger
        UNION ALL SELECT 'foreign servers' FROM pg_foreign_server
        UNION ALL SELECT 'foreign tables' FROM pg_foreign_table
        UNION ALL SELECT 'languages' FROM pg_language l WHERE l.oid >= 16384
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_language'::regclass AND d.objid = l.oid AND d.deptype = 'e')
        UNION ALL SELECT 'operators' FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE {own}
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_operator'::regclass AND d.objid = o.oid AND d.deptype = 'e')
        UNION ALL SELECT 'publications' FROM pg_publication p WHERE p.pubname <> $2
        UNION ALL SELECT 'text search configurations' FROM pg_ts_config t JOIN pg_namespace n ON n.oid = t.cfgnamespace WHERE {own}
    ) found GROUP BY kind ORDER BY kind";

/// Words of [`ACCESS`] and [`NOT_OF_EXTENSION`], by kind: alter, grant, comment, name, owner, rights, oid, catalog.
fn words(kind: &str) -> [&'static str; 8] {
    match kind {
        "schema" => {
            ["SCHEMA", "SCHEMA", "SCHEMA", "quote_ident(n.nspname)", "n.nspowner", "n.nspacl", "n.oid", "pg_namespace"]
        }
        "type" => ["TYPE", "TYPE", "TYPE", "o.name", "t.typowner", "t.typacl", "t.oid", "pg_type"],
        "domain" => ["DOMAIN", "DOMAIN", "DOMAIN", "o.name", "t.typowner", "t.typacl", "t.oid", "pg_type"],
        "sequence" => ["SEQUENCE", "SEQUENCE", "SEQUENCE", "o.name", "c.relowner", "c.relacl", "c.oid", "pg_class"],
        "function" => ["ROUTINE", "ROUTINE", "ROUTINE", "o.name", "p.proowner", "p.proacl", "p.oid", "pg_proc"],
        "view" => ["VIEW", "TABLE", "VIEW", "o.name", "c.relowner", "c.relacl", "c.oid", "pg_class"],
        "materialized view" => {
            ["MATERIALIZED VIEW", "TABLE", "MATERIALIZED VIEW", "o.name", "c.relowner", "c.relacl", "c.oid", "pg_class"]
        }
        _ => ["TABLE", "TABLE", "TABLE", "o.name", "c.relowner", "c.relacl", "c.oid", "pg_class"],
    }
}

fn query(kind: &str, template: &str) -> String {
    let [alter, grant, comment, object, owner, acl, oid, class] = words(kind);
    template
        .replace("{access}", ACCESS)
        .replace("{not_of_extension}", NOT_OF_EXTENSION)
        .replace("{own}", OWN)
        .replace("{alter}", alter)
        .replace("{grant}", grant)
        .replace("{comment}", comment)
        .replace("{o}", object)
        .replace("{owner}", owner)
        .replace("{acl}", acl)
        .replace("{oid}", oid)
        .replace("{class}", class)
}

/// All definitions, as this session's transaction sees them.
pub(super) async fn read(client: &impl GenericClient, schemas: &[String]) -> Result<Vec<Definition>> {
    let mut found = Vec::new();
    for (kind, template) in QUERIES {
        let rows = client
            .query(&query(kind, template), &[&schemas])
            .await
            .map_err(refused("the definitions cannot be read"))
            .map_err(|error| error.with_context("kind", kind))?;
        for row in rows {
            found.push(Definition {
                kind: (*kind).to_owned(),
                name: row.get(0),
                create: row.get(1),
                finish: row.get(2),
                join: row.get(3),
                access: row.get(4),
            });
        }
    }
    Ok(found)
}

/// What exists and is in no definition: its kind, and how many.
pub(super) async fn untold(
    client: &impl GenericClient,
    schemas: &[String],
    publication: &str,
) -> Result<Vec<(String, i64)>> {
    let rows = client
        .query(&query("", UNTOLD), &[&schemas, &publication])
        .await
        .map_err(refused("what exists cannot be counted"))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// A digest of all definitions: another one, and they must be read again.
pub(super) fn shape(definitions: &[Definition]) -> Result<String> {
    Ok(structure::short_digest(Json::from_value(&definitions)?.as_str()))
}
