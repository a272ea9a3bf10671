//! Google Cloud Storage, as fake-gcs-server serves it; it checks no credentials.

use crate::storage::{Place, keeps_two_writers_apart, keeps_up, keeps_what_it_is_given, prefix, variable};

/// A service account that asks nobody for a token.
const ACCOUNT: &str = r#"{"disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""}"#;

fn place() -> Place {
    let url = format!("gs://{}/{}", variable("SAAS_BACKUP_TEST_FAKEGCS_BUCKET"), prefix());
    let address = variable("SAAS_BACKUP_TEST_FAKEGCS_URL");
    Place::new(&url, &[("google_base_url", &address), ("google_service_account_key", ACCOUNT), ("allow_http", "true")])
}

#[tokio::test]
#[ignore = "needs fake-gcs-server: ./test runs it"]
async fn it_keeps_what_it_is_given() {
    keeps_what_it_is_given(&place()).await;
}

#[tokio::test]
#[ignore = "needs fake-gcs-server: ./test runs it"]
async fn it_is_kept_up_and_copied() {
    keeps_up(&place(), &place()).await;
}

#[tokio::test]
#[ignore = "needs fake-gcs-server: ./test runs it"]
async fn two_writers_are_kept_apart() {
    keeps_two_writers_apart(&place()).await;
}
