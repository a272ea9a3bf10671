use saas_backup_core::{CollectionName, Json, Key, Record, Result};
use tokio_postgres::GenericClient;

use super::catalog::SEQUENCES;
use super::client::quoted;
use super::error::refused;
use super::id;

/// Where each sequence stands; they are no part of transactions, so whoever reads them last has them right.
pub(super) async fn read(client: &impl GenericClient, schemas: &[String]) -> Result<Vec<Record>> {
    let failed = refused("the sequences cannot be read");
    let rows = client
        .query(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                AND ($1::text[] = '{}' OR n.nspname = ANY($1))
                AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
             ORDER BY 1, 2",
            &[&schemas],
        )
        .await
        .map_err(&failed)?;
    let mut records = Vec::new();
    for row in rows {
        let (schema, name): (&str, &str) = (row.get(0), row.get(1));
        let sql = format!("{}.{}", quoted(schema), quoted(name));
        let state =
            client
                .query_one(&format!("SELECT last_value, is_called FROM {sql}"), &[])
                .await
                .map_err(&failed)
                .map_err(|error| error.with_context("next", format!("GRANT SELECT ON SEQUENCE {sql} to the role")))?;
        let (last, called): (i64, bool) = (state.get(0), state.get(1));
        let data = serde_json::json!({ "name": sql, "last_value": last, "is_called": called });
        let key = Key::new(CollectionName::from_static(SEQUENCES), id::encode([sql.as_str()])?);
        records.push(Record::new(key, Json::from_value(&data)?));
    }
    Ok(records)
}
