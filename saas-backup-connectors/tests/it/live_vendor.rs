//! `examples/other-languages/minimal.py`: the profile `minimal`.

use saas_backup_connectors::open_export::OpenExportConnector;
use saas_backup_core::memory::MemoryStore;
use saas_backup_core::{Connector as _, ErrorKind, Key, testkit};

use super::vendor::Vendor;

fn todo(id: usize) -> Key {
    Key::parse("todos", id.to_string()).unwrap()
}

#[tokio::test]
#[ignore = "needs a server: testing/servers up vendor"]
async fn a_copy_follows_a_vendor_that_was_written_in_another_language() {
    let vendor = Vendor::running("vendor").await;
    for id in 0..2_100 {
        vendor.put(&format!("todos/{id}"), format!("To do {id}: naïve \u{2028} \"quoted\"")).await;
    }
    let store = MemoryStore::new();
    let text = |id| store.live()[&todo(id)].data.member::<String>("text").unwrap().unwrap();
    assert_eq!(vendor.backed_up_into(&store).await.len(), 2_100);
    assert_eq!(text(17), "To do 17: naïve \u{2028} \"quoted\"");

    vendor.put("todos/17", "another text").await;
    vendor.delete("todos/18").await;
    vendor.put("todos/3000", "new").await;
    let second = vendor.backed_up_into(&store).await;
    assert_eq!((second.len(), second.contains_key(&todo(18))), (2_100, false));
    assert_eq!((text(17).as_str(), text(3_000).as_str()), ("another text", "new"));
}

#[tokio::test]
#[ignore = "needs a server: testing/servers up vendor"]
async fn it_keeps_the_rules_for_connectors() {
    let vendor = Vendor::running("vendor").await;
    for id in 0..50 {
        vendor.put(&format!("todos/{id}"), "something to do").await;
    }
    testkit::connector(&vendor.connector()).await.assert_passed();
}

#[tokio::test]
#[ignore = "needs a server: testing/servers up vendor"]
async fn a_stranger_is_refused() {
    let vendor = Vendor::running("vendor").await;
    let mut config = vendor.config.clone();
    config.token = "tok_bob".into();
    let error = OpenExportConnector::new(config).unwrap().check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
}
