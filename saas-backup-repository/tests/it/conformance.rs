use std::sync::Arc;

use saas_backup_core::memory::MemoryStore;
use saas_backup_core::{Connector, testkit};

use crate::support::{back_up_memory, both_forms, clock, key, note};

#[tokio::test]
async fn a_source_keeps_the_rules_of_a_connector_that_is_read() {
    let clock = clock();
    for repository in both_forms(&clock).await {
        let (store, source) = (MemoryStore::new(), repository.source("blog").unwrap());
        for id in 0..20 {
            store.put(note(&id.to_string(), "text"));
        }
        back_up_memory(&store, &source, &clock).await;
        store.put(note("3", "changed"));
        store.delete(key("4"));
        back_up_memory(&store, &source, &clock).await;
        for source in [source.clone(), source.with_history(true)] {
            testkit::connector(&source).await.assert_passed();
            testkit::snapshot(&source).await.assert_passed();
        }
    }
}

#[tokio::test]
async fn a_source_keeps_the_rules_of_a_mirror() {
    let clock = clock();
    for encrypted in [false, true] {
        let empty = async || {
            let [plain, sealed] = both_forms(&clock).await;
            let source = if encrypted { sealed } else { plain }.source("blog")?;
            // The kit looks at what each flush made durable.
            Ok(Arc::new(source.with_flush_bytes(0)) as Arc<dyn Connector>)
        };
        testkit::sink(empty).await.assert_passed();
    }
}
