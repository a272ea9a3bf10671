use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use saas_backup_core::{ErasureReceipt, ErasureState, Json};
use serde::Deserialize;
use serde_json::json;

use super::answer::{Document, Place, Refusal, with_generation};
use super::streams::stream;
use super::{Caller, Server, admit};
use crate::{ErasureLog, FiledReceipt, ProblemDetails, Scope};

/// What copies must erase, after a cursor.
pub(super) async fn requests(
    State(server): State<Server>,
    caller: Caller,
    Place(account): Place<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (grant, params) = admit(caller, &headers, &account, query, &["since", "limit"])?;
    grant.needs(&Scope::Erasures)?;
    let pass = server.gate.enter(&grant.principal.id)?;
    Ok(stream(server.kit.erasures(grant, &params).await?, pass))
}

/// What a holder of a copy says of a request.
#[derive(Deserialize)]
struct Said {
    state: ErasureState,
    at: DateTime<Utc>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    expires_by: Option<DateTime<Utc>>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    evidence: Option<Json>,
}

impl Said {
    fn into_receipt(self, erasure: String) -> Result<(ErasureReceipt, Option<Json>), ProblemDetails> {
        let missing = |name, detail| Err(ProblemDetails::invalid_parameter(name, detail));
        match self.state {
            ErasureState::BeyondUse if self.expires_by.is_none() => {
                return missing("expires_by", "what is beyond use says until when the bytes remain");
            }
            ErasureState::Refused if self.reason.is_none() => return missing("reason", "a refusal says why"),
            _ => {}
        }
        let mut receipt = ErasureReceipt::new(erasure, self.state, self.at);
        (receipt.method, receipt.expires_by, receipt.reason) = (self.method, self.expires_by, self.reason);
        Ok((receipt, self.evidence))
    }
}

pub(super) async fn receive(
    State(server): State<Server>,
    caller: Caller,
    Place((account, erasure)): Place<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let (grant, _) = admit(caller, &headers, &account, query, &[])?;
    grant.needs(&Scope::Erasures)?;
    let form = r#"the body is {"state": "scheduled|beyond-use|applied|refused", "at": …} and more"#;
    let said: Said = serde_json::from_slice(&body).map_err(|_| ProblemDetails::invalid_parameter("state", form))?;
    let (receipt, evidence) = said.into_receipt(erasure)?;
    let filed = FiledReceipt::new(&grant.principal.id, receipt).with_evidence(evidence);
    log_of(&server)?.receive(&grant, &filed).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    with_generation(&mut response, &server.kit.generation(&grant).await?);
    Ok(response)
}

/// What the holders of copies said of a request.
pub(super) async fn receipts(
    State(server): State<Server>,
    caller: Caller,
    Place((account, erasure)): Place<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (grant, _) = admit(caller, &headers, &account, query, &[])?;
    grant.needs(&Scope::Erasures)?;
    let receipts = log_of(&server)?.receipts(&grant, &erasure).await?;
    let generation = server.kit.generation(&grant).await?;
    Ok(Document::of_account(json!({ "erasure": erasure, "receipts": receipts }), generation).answer(&headers))
}

fn log_of(server: &Server) -> Result<&dyn ErasureLog, ProblemDetails> {
    server.kit.source.erasures().ok_or_else(ProblemDetails::not_found)
}
