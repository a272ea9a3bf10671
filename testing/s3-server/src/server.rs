use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::Path;
use std::sync::Arc;

use http::Method;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinSet;

/// Buckets in a folder, open to whoever signs with the one pair of keys.
#[derive(Clone)]
pub(crate) struct Server {
    service: S3Service,
    turns: Arc<Turns>,
}

impl Server {
    /// Makes the buckets that are not there.
    pub(crate) fn open(folder: &Path, buckets: &[String], id: &str, secret: &str) -> io::Result<Self> {
        for bucket in buckets {
            fs::create_dir_all(folder.join(bucket))?;
        }
        let files = FileSystem::new(folder).map_err(|error| io::Error::other(format!("{error:?}")))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(id, secret));
        Ok(Self { service: builder.build(), turns: Arc::default() })
    }

    /// Serves until the process ends or the listener fails.
    pub(crate) async fn serve(self, listener: TcpListener) -> io::Result<()> {
        let mut connections = JoinSet::new();
        loop {
            let (socket, _) = listener.accept().await?;
            let server = self.clone();
            connections.spawn(async move {
                let service = service_fn(|request| server.answer(request));
                // A client that goes away in the middle is its own business.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
            });
            while connections.try_join_next().is_some() {}
        }
    }

    async fn answer(&self, request: http::Request<Incoming>) -> Result<http::Response<s3s::Body>, s3s::HttpError> {
        let (head, body) = request.into_parts();
        // An answer to a body that was not read to its end closes the connection, and the client never sees it.
        let body = body.collect().await.map_err(|error| s3s::HttpError::new(Box::new(error)))?.to_bytes();
        let _turn = if is_conditional_write(&head) { Some(self.turns.take(head.uri.path()).await) } else { None };
        self.service.call(http::Request::from_parts(head, s3s::Body::from(body))).await
    }
}

/// Lets conditional writes of one object happen one after the other: the store behind it looks first and renames
/// afterwards, so that of two creations at the same time both would succeed.
#[derive(Default)]
struct Turns([Mutex<()>; 32]);

impl Turns {
    async fn take(&self, path: &str) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        self.0[hasher.finish() as usize % self.0.len()].lock().await
    }
}

fn is_conditional_write(request: &http::request::Parts) -> bool {
    [Method::PUT, Method::POST].contains(&request.method)
        && [IF_NONE_MATCH, IF_MATCH].iter().any(|condition| request.headers.contains_key(condition))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures::TryStreamExt as _;
    use futures::future::join_all;
    use object_store::aws::{AmazonS3, AmazonS3Builder};
    use object_store::path::Path as Key;
    use object_store::{Error, GetOptions, GetRange, ObjectStore as _, ObjectStoreExt as _, PutMode, PutPayload};
    use tempfile::TempDir;

    use super::*;

    struct Running {
        url: String,
        _folder: TempDir,
        _tasks: JoinSet<io::Result<()>>,
    }

    async fn start() -> Running {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::open(folder.path(), &["backup".to_owned()], "writer", "correct horse").unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(server.serve(listener));
        Running { url, _folder: folder, _tasks: tasks }
    }

    impl Running {
        fn client(&self, id: &str, secret: &str) -> AmazonS3Builder {
            AmazonS3Builder::new()
                .with_endpoint(&self.url)
                .with_allow_http(true)
                .with_region("us-east-1")
                .with_bucket_name("backup")
                .with_access_key_id(id)
                .with_secret_access_key(secret)
        }

        fn store(&self) -> AmazonS3 {
            self.client("writer", "correct horse").build().unwrap()
        }
    }

    /// Of a list the client only tells the status in its message.
    fn refused(error: &Error) -> bool {
        matches!(error, Error::PermissionDenied { .. }) || error.to_string().contains("403 Forbidden")
    }

    #[tokio::test]
    async fn unsigned_and_wrongly_signed_requests_are_refused() {
        let server = start().await;
        let key = Key::from("a/b");
        server.store().put(&key, PutPayload::from_static(b"ours")).await.unwrap();
        let strangers = [
            server.client("writer", "wrong horse"),
            server.client("somebody", "correct horse"),
            server.client("writer", "correct horse").with_skip_signature(true),
        ];
        for stranger in strangers {
            let stranger = stranger.build().unwrap();
            let read = stranger.get(&key).await.unwrap_err();
            assert!(refused(&read), "{read}");
            let written = stranger.put(&key, PutPayload::from_static(b"theirs")).await.unwrap_err();
            assert!(refused(&written), "{written}");
            let listed = stranger.list(None).try_collect::<Vec<_>>().await.unwrap_err();
            assert!(refused(&listed), "{listed}");
        }
        assert_eq!(server.store().get(&key).await.unwrap().bytes().await.unwrap(), "ours");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_of_many_creations_at_the_same_time_succeeds() {
        let server = start().await;
        let store = server.store();
        for round in 0..20 {
            let key = Key::from(format!("commits/{round}"));
            let creations =
                (0..8).map(|_| store.put_opts(&key, PutPayload::from(vec![b'x'; 100_000]), PutMode::Create.into()));
            let outcomes = join_all(creations).await;
            assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
            for outcome in outcomes {
                assert!(matches!(outcome, Ok(_) | Err(Error::AlreadyExists { .. })), "{outcome:?}");
            }
        }
    }

    #[tokio::test]
    async fn ranges_lists_and_deletions_work_as_the_store_needs_them() {
        let server = start().await;
        let store = server.store();
        for index in 0..5 {
            store
                .put(&Key::from(format!("runs/{index}/segment")), PutPayload::from_static(b"0123456789"))
                .await
                .unwrap();
        }
        let part = GetOptions { range: Some(GetRange::Bounded(2..5)), ..GetOptions::default() };
        let part = store.get_opts(&Key::from("runs/0/segment"), part).await.unwrap();
        assert_eq!(part.bytes().await.unwrap(), "234");
        assert!(matches!(store.get(&Key::from("runs/9/segment")).await, Err(Error::NotFound { .. })));

        let prefixes = store.list_with_delimiter(Some(&Key::from("runs"))).await.unwrap().common_prefixes;
        assert_eq!(prefixes.len(), 5);
        let later = store.list_with_offset(None, &Key::from("runs/2/segment")).try_collect::<Vec<_>>().await.unwrap();
        assert_eq!(later.len(), 2);
        store.delete(&Key::from("runs/0/segment")).await.unwrap();
        assert_eq!(store.list(None).try_collect::<Vec<_>>().await.unwrap().len(), 4);
    }
}
