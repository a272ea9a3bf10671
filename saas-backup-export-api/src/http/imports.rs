use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, head, post};
use base64::Engine as _;
use futures::StreamExt as _;
use saas_backup_core::{
    Digest, Error, ErrorKind, ImportResult, Json, Line, LineCodec, LineReader, Start, StreamKind, StreamWriter,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::answer::{Document, Place, Refusal, with_generation};
use super::gate::Pass;
use super::streams::MEDIA_TYPE;
use super::{Caller, Server, admit};
use crate::imports::{Import, Progress, Sent};
use crate::params::Params;
use crate::{Grant, ProblemDetails, Scope};

/// Largest body of records; a line has 4 MiB at most.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// Most records in one body.
const MAX_LINES: usize = 500;

impl Server {
    fn admit_to_import(
        &self,
        caller: Caller,
        headers: &HeaderMap,
        account: &str,
        query: Option<String>,
        known: &[&str],
    ) -> Result<(Grant, Params, Pass), ProblemDetails> {
        let (grant, params) = admit(caller, headers, account, query, known)?;
        grant.needs(&Scope::Import)?;
        let pass = self.gate.enter(&grant.principal.id)?;
        Ok((grant, params, pass))
    }

    async fn document(&self, grant: &Grant, import: &Import, headers: &HeaderMap) -> Result<Response, ProblemDetails> {
        let generation = self.kit.generation(grant).await?;
        Ok(Document::of_account(describe(import), generation).answer(headers))
    }
}

fn describe(import: &Import) -> Value {
    json!({
        "import": import.id,
        "mode": import.mode,
        "dry_run": import.dry_run,
        "origin": import.origin,
        "expires": import.expires,
        "state": import.state,
        "totals": import.totals,
        "unresolved": import.unresolved,
    })
}

pub(super) async fn begin(
    State(server): State<Server>,
    caller: Caller,
    Place(account): Place<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let (grant, _, _pass) = server.admit_to_import(caller, &headers, &account, query, &[])?;
    let form = r#"the body is {"mode": "create|merge|overwrite", "origin": {"service": …, "account": …}} and more"#;
    let asked = serde_json::from_slice(&body).map_err(|_| ProblemDetails::invalid_parameter("mode", form))?;
    let (import, accepts) = server.kit.begin_import(&grant, asked).await?;
    let mut json = describe(&import);
    if let Some(members) = json.as_object_mut() {
        members.insert("accepts".to_owned(), json!(accepts));
    }
    let mut response = (StatusCode::CREATED, json.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    with_generation(&mut response, &server.kit.generation(&grant).await?);
    Ok(response)
}

pub(super) async fn show(
    State(server): State<Server>,
    caller: Caller,
    Place((account, import)): Place<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (grant, _, _pass) = server.admit_to_import(caller, &headers, &account, query, &[])?;
    let import = server.kit.import(&grant, &import).await?;
    Ok(server.document(&grant, &import, &headers).await?)
}

/// Removes a session, and what it created unless it was committed.
pub(super) async fn discard(
    State(server): State<Server>,
    caller: Caller,
    Place((account, import)): Place<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (grant, _, _pass) = server.admit_to_import(caller, &headers, &account, query, &[])?;
    server.kit.discard_import(&grant, &import).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    with_generation(&mut response, &server.kit.generation(&grant).await?);
    Ok(response)
}

/// Sets what waited. 202 means that there is more to do: the request is repeated.
pub(super) async fn commit(
    State(server): State<Server>,
    caller: Caller,
    Place((account, import)): Place<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (grant, _, _pass) = server.admit_to_import(caller, &headers, &account, query, &[])?;
    let (import, progress) = server.kit.commit_import(&grant, &import).await?;
    let mut response = server.document(&grant, &import, &HeaderMap::new()).await?;
    if progress == Progress::More {
        *response.status_mut() = StatusCode::ACCEPTED;
    }
    Ok(response)
}

pub(super) fn taking_records() -> MethodRouter<Server> {
    post(records).layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

async fn records(
    State(server): State<Server>,
    caller: Caller,
    Place((account, import)): Place<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let (grant, _, _pass) = server.admit_to_import(caller, &headers, &account, query, &[])?;
    let body = body.map_err(|rejection| match rejection.status().as_u16() {
        413 => ProblemDetails::new("request-too-large", 413, "The request is too large"),
        _ => ProblemDetails::invalid_parameter("*", "the body could not be read"),
    })?;
    let sent = read(body)?;
    let (_, results) = server.kit.import_records(&grant, &import, sent).await?;
    answer(&server, &grant, &results, None).await
}

/// Reads all lines before the first one is written.
fn read(body: Bytes) -> Result<Vec<Sent>, ProblemDetails> {
    let codec = LineCodec::wire();
    let mut reader = LineReader::new(codec.limits.bytes);
    reader.push(body);
    let mut sent = Vec::new();
    let wrong = |line: usize, what: &str| {
        ProblemDetails::invalid_parameter("*", format!("line {line}: {what}")).with("line", line)
    };
    loop {
        let number = sent.len() + 1;
        let line = reader.next_line().map_err(|_| wrong(number, "it is too long"))?;
        let Some(line) = line else { break };
        if number > MAX_LINES {
            return Err(wrong(number, "a request has 500 lines at most"));
        }
        let Ok(Line::Put(record)) = codec.decode(&line) else {
            return Err(wrong(number, "it is not a `put` line of the protocol"));
        };
        sent.push(Sent::read(*record).map_err(|what| wrong(number, what))?);
    }
    reader.finish().map_err(|_| wrong(sent.len() + 1, "it has no end"))?;
    if sent.is_empty() {
        return Err(wrong(1, "there is none"));
    }
    Ok(sent)
}

/// What a session wrote.
pub(super) async fn map(
    State(server): State<Server>,
    caller: Caller,
    Place((account, import)): Place<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (grant, params, _pass) = server.admit_to_import(caller, &headers, &account, query, &["cursor", "limit"])?;
    let limit = params.limit(server.kit.config.limits.max_page_lines)?;
    let encoding = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let after = params.get("cursor").map(|cursor| {
        let bytes = encoding.decode(cursor).map_err(|_| ProblemDetails::cursor_invalid())?;
        String::from_utf8(bytes).map_err(|_| ProblemDetails::cursor_invalid())
    });
    let results = server.kit.import_map(&grant, &import, after.transpose()?, limit).await?;
    let next = results.last().filter(|_| results.len() == limit).map(|last| encoding.encode(&last.key));
    answer(&server, &grant, &results, next).await
}

async fn answer(
    server: &Server,
    grant: &Grant,
    results: &[ImportResult],
    next: Option<String>,
) -> Result<Response, Refusal> {
    let generation = server.kit.generation(grant).await?;
    let schema = server.kit.source.schema(Some(&grant.account)).await?.document()?.digest;
    let at = server.kit.config.clock.now();
    let start = Start::new(StreamKind::ImportResults, grant.account.as_str(), &generation, schema, at);
    let mut body = Vec::new();
    let mut writer = StreamWriter::start(LineCodec::wire(), start, &mut body)?;
    for result in results {
        writer.write(&Line::Result(Box::new(result.clone())), &mut body)?;
    }
    let more = next.is_some();
    let cursor = next.map(|next| saas_backup_core::Cursor::from_json(Json::from_value(&next)?)).transpose()?;
    writer.end(cursor, more, None, &mut body)?;
    let mut response = Response::new(Body::from(body));
    with_generation(&mut response, &generation);
    response.headers_mut().insert(header::CONTENT_TYPE, MEDIA_TYPE);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(response)
}

pub(super) fn blobs() -> MethodRouter<Server> {
    head(has_blob).put(put_blob)
}

async fn has_blob(
    State(server): State<Server>,
    caller: Caller,
    Place((account, import, digest)): Place<(String, String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (grant, _, _pass) = server.admit_to_import(caller, &headers, &account, query, &[])?;
    server.kit.has_import_blob(&grant, &import, &parse(&digest)?).await?;
    let mut response = StatusCode::OK.into_response();
    with_generation(&mut response, &server.kit.generation(&grant).await?);
    Ok(response)
}

async fn put_blob(
    State(server): State<Server>,
    caller: Caller,
    Place((account, import, digest)): Place<(String, String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Refusal> {
    let (grant, _, _pass) = server.admit_to_import(caller, &headers, &account, query, &[])?;
    let digest = parse(&digest)?;
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let size =
        length.ok_or_else(|| ProblemDetails::new("length-required", 411, "The length of the bytes is missing"))?;
    if size > server.kit.config.limits.max_import_blob_bytes {
        return Err(ProblemDetails::new("request-too-large", 413, "The attachment is too large").into());
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(ProblemDetails::new("coding-unsupported", 415, "Attachments are sent as they are").into());
    }
    let body = Checked::new(digest, size);
    let (bytes, differs) = body.over(request.into_body());
    let taken = server.kit.put_import_blob(&grant, &import, &digest, size, bytes).await;
    if differs.load(Ordering::Relaxed) {
        // Whatever the vendor made of the end of its stream.
        return Err(ProblemDetails::digest_mismatch().into());
    }
    taken?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    with_generation(&mut response, &server.kit.generation(&grant).await?);
    Ok(response)
}

/// `sha-256:` and 64 hexadecimal digits.
fn parse(text: &str) -> Result<Digest, ProblemDetails> {
    let digest = text.strip_prefix("sha-256:").and_then(|hex| Digest::from_hex(hex).ok());
    digest.ok_or_else(|| ProblemDetails::invalid_parameter("digest", "it is sha-256: and 64 hexadecimal digits"))
}

/// Compares bytes that pass by with what was announced.
struct Checked {
    hash: Sha256,
    digest: Digest,
    left: u64,
}

impl Checked {
    fn new(digest: Digest, size: u64) -> Self {
        Self { hash: Sha256::new(), digest, left: size }
    }

    /// The bytes, ended by an error if they are others than announced, and whether they were.
    fn over(self, body: Body) -> (saas_backup_core::ByteStream, Arc<AtomicBool>) {
        let differs = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&differs);
        let state = (body.into_data_stream(), Some(self));
        let stream = futures::stream::unfold(state, move |(mut pieces, checked)| {
            let flag = Arc::clone(&flag);
            async move {
                let mut checked = checked?;
                let wrong = || {
                    flag.store(true, Ordering::Relaxed);
                    Error::new(ErrorKind::Integrity, "the bytes are not those that were announced")
                };
                match pieces.next().await {
                    Some(Ok(piece)) if piece.len() as u64 <= checked.left => {
                        checked.left -= piece.len() as u64;
                        checked.hash.update(&piece);
                        Some((Ok(piece), (pieces, Some(checked))))
                    }
                    Some(Ok(_)) => Some((Err(wrong()), (pieces, None))),
                    Some(Err(_)) => {
                        let cut = Error::new(ErrorKind::Unavailable, "the upload was cut");
                        Some((Err(cut), (pieces, None)))
                    }
                    None => {
                        let found = Digest::from_bytes(checked.hash.finalize().into());
                        let whole = checked.left == 0 && found == checked.digest;
                        (!whole).then(|| (Err(wrong()), (pieces, None)))
                    }
                }
            }
        });
        (stream.boxed(), differs)
    }
}
