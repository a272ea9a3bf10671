//! An HTTP server in this process.

use axum::Router;
use url::Url;

/// Serves until the test's runtime ends.
pub(crate) async fn serve(router: Router) -> Url {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/").parse().unwrap()
}
