use std::collections::BTreeMap;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use saas_backup_core::{CollectionCoverage, CollectionName, Visibility};
use serde_json::{Map, Value, json};

use super::answer::{Document, Place, Refusal};
use super::{Caller, Server, admit, is_lenient};
use crate::params::Params;
use crate::sums::listed;
use crate::{Grant, Scope};

/// The accounts that the token may export.
pub(super) async fn list(
    Caller(principal): Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    Params::parse(&query.unwrap_or_default(), &[], is_lenient(&headers))?;
    let accounts: Vec<Value> =
        principal.accounts.iter().map(|account| json!({ "account": account.as_str() })).collect();
    Ok(Document::private(json!({ "accounts": accounts })).answer(&headers))
}

pub(super) async fn schema(
    State(server): State<Server>,
    caller: Caller,
    Place(account): Place<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (grant, _) = admit(caller, &headers, &account, query, &[])?;
    let generation = server.kit.generation(&grant).await?;
    let schema = server.kit.source.schema(Some(&grant.account)).await?.document()?;
    Ok(Document::of_account(schema.value()?, generation).answer(&headers))
}

/// What the grant sees of each collection of the schema.
pub(super) async fn coverage(
    State(server): State<Server>,
    caller: Caller,
    Place(account): Place<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (grant, _) = admit(caller, &headers, &account, query, &[])?;
    let as_of = server.kit.config.clock.now();
    let generation = server.kit.generation(&grant).await?;
    let schema = server.kit.source.schema(Some(&grant.account)).await?;
    let coverage = server.kit.source.coverage(&grant).await?;
    let known: BTreeMap<&CollectionName, &CollectionCoverage> = coverage.collections.iter().collect();
    let collections: Vec<Value> =
        schema.catalog.names().map(|name| describe(&grant, name, known.get(name).copied())).collect();
    let json = json!({
        "account": grant.account.as_str(),
        "generation": generation,
        "collections": collections,
    });
    Ok(Document::of_account(json, generation).with_passing("as_of", json!(as_of)).answer(&headers))
}

fn describe(grant: &Grant, name: &CollectionName, coverage: Option<&CollectionCoverage>) -> Value {
    let mut out = Map::new();
    out.insert("name".to_owned(), name.as_str().into());
    if !grant.reads(name) {
        out.insert("visible".to_owned(), json!(Visibility::None));
        out.insert("reason".to_owned(), "scope".into());
        out.insert("grant".to_owned(), Scope::ReadCollection(name.clone()).to_string().into());
        return out.into();
    }
    let Some(coverage) = coverage else {
        out.insert("visible".to_owned(), json!(Visibility::All));
        return out.into();
    };
    out.insert("visible".to_owned(), json!(coverage.visible));
    if let Some(count) = coverage.count.filter(|_| coverage.count_exact) {
        out.insert("count".to_owned(), count.into());
    }
    if coverage.visible == Visibility::Partial {
        out.insert("hidden_count".to_owned(), json!(coverage.hidden));
    }
    for (member, text) in [("reason", &coverage.reason), ("grant", &coverage.grant)] {
        if let Some(text) = text {
            out.insert(member.to_owned(), text.clone().into());
        }
    }
    out.into()
}

/// Where the account's log stands.
pub(super) async fn status(
    State(server): State<Server>,
    caller: Caller,
    Place(account): Place<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (grant, _) = admit(caller, &headers, &account, query, &[])?;
    let (context, cursor) = server.kit.status(grant).await?;
    let json = json!({
        "account": context.grant.account.as_str(),
        "generation": context.generation,
        "schema": format!("sha256:{}", context.schema),
        "cursor": cursor,
    });
    Ok(Document::of_account(json, context.generation).with_passing("as_of", json!(context.at)).answer(&headers))
}

/// What the collections come to, so that a copy can be compared without reading them.
pub(super) async fn drift(
    State(server): State<Server>,
    caller: Caller,
    Place(account): Place<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (grant, params) = admit(caller, &headers, &account, query, &["at", "collections"])?;
    let _pass = server.gate.enter(&grant.principal.id)?;
    let drift = server.kit.drift(grant, &params).await?;
    let json = json!({ "cursor": drift.cursor, "collections": listed(&drift.sums.collections) });
    Ok(Document::of_account(json, drift.generation).with_passing("at", json!(drift.at)).answer(&headers))
}
