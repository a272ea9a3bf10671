use std::fmt::Write as _;
use std::io::Read as _;
use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery};
use axum::response::IntoResponse as _;
use axum::routing::get;
use base64::Engine as _;
use benches::Outcome;
use bytes::Bytes;
use chrono::DateTime;
use saas_backup_core::{
    BlobId, Catalog, Collection, CollectionName, Error, ErrorKind, Json, Key, Kind, Record, RecordId, Result,
    async_trait,
};
use saas_backup_export_api::{
    AccountId, Blob, ChangePage, ChangesRequest, CursorKey, Entry, ExportConfig, ExportSource, Grant, Head,
    MemorySource, Principal, Quota, ScanPage, ScanRequest, Schema, ServiceInfo, StaticTokens, Watermark, router,
};
use sha2::{Digest as _, Sha256};

/// Lines of a page, as the kit has them by default.
pub(crate) const PAGE: u64 = 5_000;
const BODIES: usize = 64;
const TOKEN: &str = "tok_bench";

/// A few bodies of 1 KB; every record has one of them.
static DATA: LazyLock<Vec<Json>> = LazyLock::new(|| (0..BODIES).filter_map(body).collect());

fn body(number: usize) -> Option<Json> {
    let mut text = String::from("{\"title\":\"A page about things\",\"paragraphs\":[");
    for line in 0..9 {
        let _ = write!(
            text,
            "{}\"{}\"",
            if line > 0 { "," } else { "" },
            format!("words and words {number} {line} ").repeat(5)
        );
    }
    text.push_str("]}");
    Json::parse(text).ok()
}

fn data(index: u64) -> &'static Json {
    DATA.get((index % BODIES as u64) as usize).unwrap_or_else(|| &DATA[0])
}

/// The line of a record, as the kit writes it.
pub(crate) fn line(index: u64) -> String {
    let mut line = String::new();
    write_line(index, &mut line);
    line
}

fn write_line(index: u64, out: &mut String) {
    out.push_str(r#"{"type":"put","collection":"pages","id":""#);
    let _ = write!(out, "p{index:09}");
    out.push_str(r#"","version":"1","data":"#);
    out.push_str(data(index).as_str());
    out.push_str("}\n");
}

/// An account of pages that are made when they are asked for.
#[derive(Debug)]
struct Pages {
    records: u64,
}

fn index_of(id: &RecordId) -> Result<u64> {
    let number = id.as_str().trim_start_matches('p').parse();
    number.map_err(|_| Error::new(ErrorKind::InvalidData, "not an id of this source"))
}

impl Pages {
    fn record(index: u64) -> Result<Entry> {
        let key = Key::new(CollectionName::from_static("pages"), RecordId::parse(format!("p{index:09}"))?);
        Ok(Record::new(key, data(index).clone()).with_version("1").into())
    }
}

fn schema() -> Schema {
    Schema::new(Catalog::new(vec![Collection::new(CollectionName::from_static("pages"), Kind::Document)]))
}

#[async_trait]
impl ExportSource for Pages {
    fn service(&self) -> ServiceInfo {
        ServiceInfo::new("pages", "Pages", "Example Ltd")
    }

    async fn schema(&self, _: Option<&AccountId>) -> Result<Schema> {
        Ok(schema())
    }

    async fn head(&self, _: &Grant) -> Result<Head> {
        Ok(Head::new("1", Watermark::new("0")))
    }

    async fn scan(&self, _: &Grant, page: &ScanRequest) -> Result<ScanPage> {
        let from = page.after.as_ref().map(index_of).transpose()?.map_or(0, |after| after + 1);
        let to = self.records.min(from + page.limit as u64);
        let entries: Result<Vec<Entry>> = (from..to).map(Self::record).collect();
        Ok(ScanPage::limited(entries?, page.limit))
    }

    async fn changes(&self, _: &Grant, page: &ChangesRequest) -> Result<ChangePage> {
        Ok(ChangePage::new(Vec::new(), page.since.clone(), false))
    }

    async fn records(&self, _: &Grant, keys: &[Key]) -> Result<Vec<Entry>> {
        keys.iter().map(|key| Self::record(index_of(&key.id)?)).collect()
    }

    async fn blob(&self, _: &Grant, _: &BlobId) -> Result<Blob> {
        Err(Error::new(ErrorKind::NotFound, "pages have no attachments"))
    }
}

fn config(url: &str) -> Outcome<ExportConfig> {
    let principal = Principal::new("bench").with_account(AccountId::parse("ws_1")?);
    let tokens = StaticTokens::default().with(&TOKEN.into(), principal);
    let limits = saas_backup_export_api::Limits::default().with_quota(Quota::new(u64::MAX, 1));
    Ok(ExportConfig::new(format!("{url}/v1").parse()?, tokens, CursorKey::from_bytes([7; 32]))?.with_limits(limits))
}

/// Serves the kit until the end of the input.
pub(crate) fn kit(records: u64) -> Outcome<()> {
    serve(|url| Ok(router(Pages { records }, config(url)?)))
}

/// The same answers, by hand: lines that are hashed on their way, and the end that says so.
pub(crate) fn plain(records: u64) -> Outcome<()> {
    serve(move |url| {
        let discovery = serde_json::json!({
            "open_export_versions": ["1.0"], "service": { "id": "pages", "name": "Pages", "vendor": "Example Ltd" },
            "api_base": format!("{url}/v1"), "profiles": ["minimal"],
        });
        let document = schema().document()?;
        let (id, schema) = (document.id(), document.json);
        let routes = Router::new()
            .route("/.well-known/open-export", get(async move || axum::Json(discovery)))
            .route("/v1/accounts", get(async || r#"{"accounts":[{"account":"ws_1"}]}"#))
            .route("/v1/accounts/{account}/schema", get(async move || schema))
            .route(
                "/v1/accounts/{account}/snapshot",
                get(async move |Path(_): Path<String>, RawQuery(query): RawQuery| {
                    page(records, &id, &query.unwrap_or_default())
                }),
            );
        Ok(routes)
    })
}

/// A page whose cursor is the index of its first record.
fn page(records: u64, schema: &str, query: &str) -> axum::response::Response {
    let number = |name: &str| {
        query.split('&').find_map(|pair| pair.strip_prefix(name)).and_then(|text| text.parse::<u64>().ok())
    };
    let from = number("cursor=").unwrap_or(0);
    let limit = number("limit=").unwrap_or(PAGE).min(PAGE);
    let to = records.min(from + limit);
    let mut head = format!(
        concat!(
            r#"{{"type":"start","open_export":"1.0","kind":"snapshot","account":"ws_1","generation":"1","schema":"{}","#,
            r#""at":"{}","snapshot":{{"id":"s","consistency":"fuzzy","began":"{}"}},"changes_cursor":"c"}}"#,
            "\n"
        ),
        schema,
        DateTime::UNIX_EPOCH.to_rfc3339(),
        DateTime::UNIX_EPOCH.to_rfc3339()
    );
    let mut hash = Sha256::new();
    let mut index = from;
    let mut lines = 1;
    let mut ended = false;
    let pieces = std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let mut piece = std::mem::take(&mut head);
        let until = to.min(index + 256);
        piece.reserve(256 * 1_300);
        while index < until {
            write_line(index, &mut piece);
            index += 1;
            lines += 1;
        }
        let _ = writeln!(piece, r#"{{"type":"ckpt","cursor":"{index}"}}"#);
        lines += 1;
        hash.update(piece.as_bytes());
        if index == to {
            ended = true;
            let digest = base64::engine::general_purpose::STANDARD.encode(std::mem::take(&mut hash).finalize());
            let (more, put) = (to < records, to - from);
            let _ = writeln!(
                piece,
                r#"{{"type":"end","cursor":"{to}","more":{more},"lines":{lines},"counts":{{"pages":{{"put":{put}}}}},"digest":{{"sha-256":"{digest}"}}}}"#
            );
        }
        Some(Ok::<_, std::convert::Infallible>(Bytes::from(piece)))
    });
    let body = Body::from_stream(futures::stream::iter(pieces));
    ([("content-type", "application/vnd.open-export+ndjson; version=1")], body).into_response()
}

/// Listens, prints the address, and says what was used once the input ends.
fn serve(routes: impl FnOnce(&str) -> Outcome<Router>) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let app = routes(&url)?;
        // They are made before anything is measured.
        LazyLock::force(&DATA);
        println!("{url}");
        let before = crate::cpu()?;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            drop(stop);
        });
        tokio::select! {
            served = axum::serve(listener, app).into_future() => served?,
            _ = stopped => {}
        }
        crate::report(before)
    })
}

/// Reads so many changes of an account of so many records, over HTTP within this process.
pub(crate) fn changes(records: u64, changes: u64) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let source = MemorySource::new(ServiceInfo::new("pages", "Pages", "Example Ltd"), schema());
        let account = source.account(&AccountId::parse("ws_1")?);
        let record = |index: u64, version: &str| {
            let key = Key::parse("pages", format!("p{index:09}"))?;
            Ok::<_, Error>(Record::new(key, Json::from_value(&serde_json::json!({ "title": version }))?))
        };
        for index in 0..records {
            account.put(record(index, "before")?);
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let app = router(source, config(&url)?);
        tokio::spawn(async move { axum::serve(listener, app).await });
        let client = reqwest::Client::new();
        let get = async |path: String| -> Outcome<String> {
            Ok(client.get(format!("{url}/v1/accounts/ws_1/{path}")).bearer_auth(TOKEN).send().await?.text().await?)
        };
        let status: serde_json::Value = serde_json::from_str(&get("status".to_owned()).await?)?;
        let cursor = status["cursor"].as_str().ok_or("no cursor")?.to_owned();
        for index in 0..changes {
            account.put(record(index * (records / changes), "after")?);
        }
        let before = crate::cpu()?;
        let lines = get(format!("changes?since={cursor}")).await?;
        let found = lines.lines().filter(|line| line.starts_with(r#"{"type":"put""#)).count() as u64;
        if found != changes {
            return Err(format!("{found} changes instead of {changes}").into());
        }
        crate::report(before)
    })
}
