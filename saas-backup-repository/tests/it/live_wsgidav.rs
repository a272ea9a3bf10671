//! A WebDAV server: it has no conditional creation, so that one writer has to be promised.

use saas_backup_core::ErrorKind;
use saas_backup_repository::{Repository, RepositoryOptions};

use crate::storage::{Place, keeps_up, keeps_what_it_is_given, prefix, variable};

fn url() -> String {
    format!("{}{}", variable("SAAS_BACKUP_TEST_WSGIDAV_URL"), prefix())
}

fn place() -> Place {
    Place::new(&url(), &[("allow_http", "true")]).for_a_single_writer()
}

#[tokio::test]
#[ignore = "needs WsgiDAV: ./test runs it"]
async fn it_keeps_what_a_single_writer_gives() {
    keeps_what_it_is_given(&place()).await;
}

#[tokio::test]
#[ignore = "needs WsgiDAV: ./test runs it"]
async fn it_is_kept_up_and_copied() {
    keeps_up(&place(), &place()).await;
}

#[tokio::test]
#[ignore = "needs WsgiDAV: ./test runs it"]
async fn without_the_promise_of_a_single_writer_it_is_refused() {
    let options = RepositoryOptions::parse(&url()).unwrap().with_option("allow_http", "true".to_owned());
    assert_eq!(Repository::init(options).await.unwrap_err().kind(), ErrorKind::Unsupported);
}
