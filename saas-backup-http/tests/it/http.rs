use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request as Incoming;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use futures::{StreamExt as _, TryStreamExt as _};
use saas_backup_core::{Budget, ByteStream, ErrorKind, Result, Retry};
use saas_backup_http::{Addresses, Authorization, Body as Outgoing, Client, ClientOptions, Request};

use crate::server::serve;

fn options() -> ClientOptions {
    ClientOptions::default()
        .with_requests_per_second(10_000.0)
        .with_first_delay(Duration::from_millis(1))
        .with_addresses(Addresses::new().with_private(true))
}

async fn client(router: Router, options: ClientOptions) -> Client {
    let secret = Authorization::bearer(&"very-secret".into()).unwrap();
    Client::new(serve(router).await, secret, options).unwrap()
}

fn at(client: &Client, path: &str) -> Request {
    Request::get(client.address(path).unwrap())
}

/// Answers with each of these statuses in turn, and then with `200`.
fn failing(statuses: &'static [u16]) -> (Router, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&calls);
    let answer = move || {
        let call = counter.fetch_add(1, Ordering::Relaxed) as usize;
        let status = statuses.get(call).map_or(StatusCode::OK, |status| StatusCode::from_u16(*status).unwrap());
        async move { (status, [("x-request", "1")], "[]") }
    };
    (Router::new().route("/", get(answer.clone()).post(answer)), calls)
}

#[tokio::test]
async fn what_passes_is_tried_again_and_what_does_not_is_not() {
    let (router, calls) = failing(&[500, 503, 429]);
    let client_ = client(router, options()).await;
    assert_eq!(client_.send(at(&client_, "")).await.unwrap().body(), "[]");
    assert_eq!(calls.load(Ordering::Relaxed), 4);

    let (router, calls) = failing(&[403, 403]);
    let client_ = client(router, options()).await;
    assert_eq!(client_.send(at(&client_, "")).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_write_that_may_have_landed_is_not_repeated() {
    let (router, calls) = failing(&[429, 500, 500]);
    let client = client(router, options()).await;
    let write = Request::post(client.base().clone());
    let error = client.send(write.clone()).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Never));
    assert_eq!(calls.load(Ordering::Relaxed), 2, "after the 429 it was sent again, after the 500 it was not");
    client.send(write.idempotent()).await.unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_wait_longer_than_allowed_is_reported() {
    let slow = || async { (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "86400")]) };
    let client = client(Router::new().route("/", get(slow)), options()).await;
    let error = client.send(at(&client, "")).await.unwrap_err();
    assert_eq!(error.retry(), Retry::After(Duration::from_hours(24)));
}

#[tokio::test]
async fn an_answer_is_bounded_whether_or_not_it_says_its_length() {
    let endless = || async {
        Body::from_stream(futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![0; 4096]))))
    };
    let stated = || async { vec![0_u8; 200_000] };
    let router = Router::new().route("/endless", get(endless)).route("/stated", get(stated));
    let client = client(router, options().with_max_body_bytes(100_000)).await;
    for path in ["endless", "stated"] {
        assert_eq!(client.send(at(&client, path)).await.unwrap_err().kind(), ErrorKind::LimitExceeded, "{path}");
    }
}

#[tokio::test]
async fn a_page_larger_than_expected_waits_for_its_share() {
    let chunks = || async {
        Body::from_stream(futures::stream::iter(
            (0..200).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 4096]))),
        ))
    };
    let client = client(Router::new().route("/", get(chunks)), options()).await.with_budget(Budget::new(8, 600 * 1024));
    let pages = futures::stream::iter(0..4)
        .map(|_| client.send(at(&client, "")))
        .buffer_unordered(4)
        .map_ok(|page| page.body().len());
    assert_eq!(pages.try_collect::<Vec<_>>().await.unwrap(), [200 * 4096; 4]);
}

#[tokio::test]
async fn an_answer_that_grows_when_it_is_decompressed_is_bounded() {
    // A megabyte of zeros in a kilobyte: gzip of 2^20 zero bytes, made with `head -c 1048576 /dev/zero | gzip -9n`.
    let bomb = include_bytes!("zeros.gz");
    let packed = || async { ([(header::CONTENT_ENCODING, "gzip")], bomb.as_slice()) };
    let router = Router::new().route("/", get(packed));
    let roomy = client(router.clone(), options()).await;
    assert_eq!(roomy.send(at(&roomy, "")).await.unwrap().body().len(), 1 << 20);
    let tight = client(router, options().with_max_body_bytes(100_000)).await;
    assert_eq!(tight.send(at(&tight, "")).await.unwrap_err().kind(), ErrorKind::LimitExceeded);
}

#[tokio::test]
async fn redirects_end_and_never_lead_to_hosts_that_nobody_allowed() {
    let router = Router::new()
        .route("/loop", get(|| async { Redirect::to("/loop") }))
        .route("/metadata", get(|| async { Redirect::to("http://169.254.169.254/latest/meta-data") }))
        .route("/elsewhere", get(|| async { Redirect::to("http://10.0.0.1/") }))
        .route("/file", get(|| async { Redirect::to("file:///etc/passwd") }))
        .route("/once", get(|| async { Redirect::to("/end") }))
        .route("/end", get(|| async { "end" }))
        .route("/write", post(|| async { Redirect::temporary("/end") }));
    let client = client(router, options()).await;
    assert_eq!(client.send(at(&client, "once")).await.unwrap().body(), "end");
    for (path, kind) in [
        ("loop", ErrorKind::LimitExceeded),
        ("metadata", ErrorKind::PermissionDenied),
        ("elsewhere", ErrorKind::PermissionDenied),
        ("file", ErrorKind::Configuration),
    ] {
        assert_eq!(client.send(at(&client, path)).await.unwrap_err().kind(), kind, "{path}");
    }
    let write = client.send(Request::post(client.address("write").unwrap())).await;
    assert_eq!(write.unwrap_err().kind(), ErrorKind::Configuration);
}

#[tokio::test]
async fn private_addresses_are_refused_unless_allowed() {
    let base = serve(Router::new()).await;
    let strict = options().with_addresses(Addresses::new());
    assert!(Client::new(base, Authorization::none(), strict).is_err());
}

#[tokio::test]
async fn credentials_go_to_their_own_origin_alone() {
    let seen: Arc<Mutex<Vec<HeaderMap>>> = Arc::default();
    let other = serve(Router::new().fallback({
        let seen = Arc::clone(&seen);
        move |request: Incoming| {
            seen.lock().unwrap().push(request.headers().clone());
            async { "other" }
        }
    }))
    .await;
    let target = other.to_string();
    let router = Router::new().route("/", get(move || async move { Redirect::to(&target) }));
    let client = client(router, options()).await;
    let custom = HeaderName::from_static("x-custom");
    let request = at(&client, "").header(custom.clone(), "also-secret".parse().unwrap());
    assert_eq!(client.send(request).await.unwrap().body(), "other");
    let headers = &seen.lock().unwrap()[0];
    assert!(!headers.contains_key(header::AUTHORIZATION) && !headers.contains_key(custom));
    assert!(headers[header::USER_AGENT].to_str().unwrap().starts_with("saas-backup/"));
}

#[tokio::test]
async fn an_unchanged_page_is_not_sent_again() {
    let tagged = |headers: HeaderMap| async move {
        let same = headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag == "\"v1\"");
        if same {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(header::ETAG, "\"v1\"")], "page").into_response()
        }
    };
    let client = client(Router::new().route("/", get(tagged)), options()).await;
    let first = client.send(at(&client, "")).await.unwrap();
    let again = at(&client, "").if_none_match(first.etag().unwrap()).unwrap();
    assert_eq!(client.send(again).await.unwrap().status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn a_file_is_sent_whole_on_every_try() {
    let bodies: Arc<Mutex<Vec<usize>>> = Arc::default();
    let take = {
        let bodies = Arc::clone(&bodies);
        move |headers: HeaderMap, body: Bytes| {
            assert_eq!(headers[header::CONTENT_LENGTH], "300000");
            bodies.lock().unwrap().push(body.len());
            let status = if bodies.lock().unwrap().len() == 1 { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::OK };
            async move { status }
        }
    };
    let client = client(Router::new().route("/", post(take)), options()).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![7; 300_000]).unwrap();
    let body = Outgoing::File { path: file.path().to_owned(), length: 300_000 };
    client.send(Request::post(client.base().clone()).body(body)).await.unwrap();
    assert_eq!(*bodies.lock().unwrap(), [300_000, 300_000]);
}

#[tokio::test]
async fn errors_and_debug_output_hold_no_secret() {
    let echo = || async { (StatusCode::IM_A_TEAPOT, "you sent very-secret") };
    let client = client(Router::new().fallback(echo), options()).await;
    let error = client.send(at(&client, "x").query("token", "very-secret")).await.unwrap_err();
    let printed = format!("{error} {error:?} {client:?}");
    assert!(!printed.contains("very-secret"), "{printed}");
}

/// 100 KB that differ everywhere.
fn content() -> Bytes {
    (0..25_000_u32).flat_map(u32::to_be_bytes).collect()
}

/// Serves `content` by range, and cuts every answer after 30 KB.
fn cutting(
    ranges: bool,
    etag: impl Fn(u32) -> &'static str + Clone + Send + Sync + 'static,
) -> (Router, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&calls);
    let answer = move |headers: HeaderMap| {
        let call = counter.fetch_add(1, Ordering::Relaxed);
        let all = content();
        let asked = headers.get(header::RANGE).filter(|_| ranges).map(|range| {
            let text = range.to_str().unwrap().trim_start_matches("bytes=").to_owned();
            let (first, last) = text.split_once('-').unwrap();
            (first.parse().unwrap(), last.parse().map_or(all.len(), |last: usize| last + 1))
        });
        let (first, end) = asked.unwrap_or((0, all.len()));
        let part = all.slice(first..end);
        // Where there are no ranges, a cut would never get further than the last one.
        let cut = if ranges { 30_000 } else { 40_000 * (call as usize + 1) };
        let sent = part.slice(..part.len().min(cut));
        let cut = sent.len() < part.len();
        // The server sends what it has when it must wait: what stands before a failure would else be dropped with it.
        let broken = futures::stream::iter(cut.then_some(())).then(|()| async {
            tokio::task::yield_now().await;
            Err(std::io::Error::other("cut"))
        });
        let body = Body::from_stream(futures::stream::iter([Ok(sent)]).chain(broken));
        let response = Response::builder().header(header::CONTENT_LENGTH, part.len()).header(header::ETAG, etag(call));
        let response = match asked {
            Some(_) => response
                .status(StatusCode::PARTIAL_CONTENT)
                .header(header::CONTENT_RANGE, format!("bytes {first}-{}/{}", end - 1, all.len())),
            None => response,
        };
        async move { response.body(body).unwrap() }
    };
    (Router::new().route("/", get(answer)), calls)
}

async fn collect(stream: Result<ByteStream>) -> Result<Vec<u8>> {
    stream?
        .try_fold(Vec::new(), |mut all, chunk| async move {
            all.extend_from_slice(&chunk);
            Ok(all)
        })
        .await
}

#[tokio::test]
async fn bytes_that_are_cut_go_on_where_they_stopped() {
    let (router, calls) = cutting(true, |_| "\"v1\"");
    let client = client(router, options()).await;
    assert_eq!(collect(client.download(at(&client, ""), None).await).await.unwrap(), content());
    assert_eq!(calls.load(Ordering::Relaxed), 4);
    let part = collect(client.download(at(&client, ""), Some(1_000..75_001)).await).await.unwrap();
    assert_eq!(part, content()[1_000..75_001]);
}

#[tokio::test]
async fn a_server_without_ranges_serves_ranges_all_the_same() {
    let (router, _) = cutting(false, |_| "\"v1\"");
    let client = client(router, options()).await;
    let part = collect(client.download(at(&client, ""), Some(50_000..90_000)).await).await.unwrap();
    assert_eq!(part, content()[50_000..90_000]);
    assert_eq!(collect(client.download(at(&client, ""), Some(7..7)).await).await.unwrap(), b"");
    assert_eq!(collect(client.download(at(&client, ""), None).await).await.unwrap(), content());
}

#[tokio::test]
async fn bytes_that_change_while_they_are_read_are_not_mixed() {
    let (router, _) = cutting(true, |call| if call == 0 { "\"v1\"" } else { "\"v2\"" });
    let client = client(router, options()).await;
    let error = collect(client.download(at(&client, ""), None).await).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}
