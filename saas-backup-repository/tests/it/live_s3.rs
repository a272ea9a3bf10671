//! A server that checks every signature and honours conditional creation.

use crate::storage::{
    Place, asks_for_locks, keeps_two_writers_apart, keeps_up, keeps_what_it_is_given, prefix, refuses, variable,
};

fn place(secret: &str) -> Place {
    let url = format!("s3://{}/{}", variable("SAAS_BACKUP_TEST_S3_BUCKET"), prefix());
    Place::new(
        &url,
        &[
            ("aws_endpoint", &variable("SAAS_BACKUP_TEST_S3_URL")),
            ("aws_allow_http", "true"),
            ("aws_region", &variable("SAAS_BACKUP_TEST_S3_REGION")),
            ("aws_access_key_id", &variable("SAAS_BACKUP_TEST_S3_ACCESS_KEY_ID")),
            ("aws_secret_access_key", secret),
        ],
    )
}

fn own() -> Place {
    place(&variable("SAAS_BACKUP_TEST_S3_SECRET_ACCESS_KEY"))
}

#[tokio::test]
#[ignore = "needs an S3 server: ./test runs it"]
async fn it_keeps_what_it_is_given() {
    keeps_what_it_is_given(&own()).await;
}

#[tokio::test]
#[ignore = "needs an S3 server: ./test runs it"]
async fn it_is_kept_up_and_copied() {
    keeps_up(&own(), &own()).await;
}

#[tokio::test]
#[ignore = "needs an S3 server: ./test runs it"]
async fn two_writers_are_kept_apart() {
    keeps_two_writers_apart(&own()).await;
}

#[tokio::test]
#[ignore = "needs an S3 server: ./test runs it"]
async fn a_wrong_signature_is_refused() {
    refuses(&place("wrong-secret"), "wrong-secret").await;
}

/// The requests that the object store does not make itself: the server checks their signature, whatever they ask for.
#[tokio::test]
#[ignore = "needs an S3 server: ./test runs it"]
async fn what_is_asked_beside_objects_is_signed() {
    asks_for_locks(&own()).await;
}
