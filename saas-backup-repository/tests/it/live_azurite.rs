//! Azure Blob Storage, as Microsoft's emulator serves it; it checks every signature.

use crate::storage::{Place, keeps_two_writers_apart, keeps_up, keeps_what_it_is_given, prefix, refuses, variable};

fn place(key: &str) -> Place {
    let url = format!("az://{}/{}", variable("SAAS_BACKUP_TEST_AZURITE_CONTAINER"), prefix());
    Place::new(
        &url,
        &[
            ("azure_endpoint", &variable("SAAS_BACKUP_TEST_AZURITE_URL")),
            ("azure_allow_http", "true"),
            ("azure_storage_account_name", &variable("SAAS_BACKUP_TEST_AZURITE_ACCOUNT")),
            ("azure_storage_account_key", key),
        ],
    )
}

fn own() -> Place {
    place(&variable("SAAS_BACKUP_TEST_AZURITE_KEY"))
}

#[tokio::test]
#[ignore = "needs Azurite: ./test runs it"]
async fn it_keeps_what_it_is_given() {
    keeps_what_it_is_given(&own()).await;
}

#[tokio::test]
#[ignore = "needs Azurite: ./test runs it"]
async fn it_is_kept_up_and_copied() {
    keeps_up(&own(), &own()).await;
}

#[tokio::test]
#[ignore = "needs Azurite: ./test runs it"]
async fn two_writers_are_kept_apart() {
    keeps_two_writers_apart(&own()).await;
}

#[tokio::test]
#[ignore = "needs Azurite: ./test runs it"]
async fn a_wrong_key_is_refused() {
    let key = "d3Jvbmcga2V5IHdyb25nIGtleSB3cm9uZyBrZXkgd3Jvbmcga2V5IQ==";
    refuses(&place(key), key).await;
}
