use super::*;
use crate::memory::{MemoryConnector, MemoryStore};

/// Lives that are tried: 300, or as many as `SAAS_BACKUP_TEST_SEEDS` says.
fn seeds() -> u64 {
    std::env::var("SAAS_BACKUP_TEST_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(300)
}

/// The rarest divergences show in one life of a hundred: the search goes on until it has found one.
const RARE: u64 = 10;

async fn live(model: Model) -> Vec<String> {
    model.run(MemoryConnector::new(MemoryStore::new())).await.unwrap()
}

/// The first seed below a limit whose copy diverges, and how.
async fn first_divergence(limit: u64, change: impl Fn(Model) -> Model) -> Option<(u64, Vec<String>)> {
    for seed in 0..limit {
        let differences = live(change(Model::new(seed))).await;
        if !differences.is_empty() {
            return Some((seed, differences));
        }
    }
    None
}

#[tokio::test(start_paused = true)]
async fn a_copy_converges_whatever_happens() {
    assert_eq!(first_divergence(seeds(), |model| model).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_copy_diverges_without_any_rule_of_the_source() {
    let mut needless = Vec::new();
    for rule in Rule::ALL {
        if first_divergence(RARE * seeds(), |model| model.breaking(*rule)).await.is_none() {
            needless.push(*rule);
        }
    }
    assert_eq!(needless, []);
}

#[tokio::test(start_paused = true)]
async fn a_copy_diverges_without_any_rule_of_the_reader() {
    let mut needless = Vec::new();
    for mutant in Mutant::ALL {
        if first_divergence(RARE * seeds(), |model| model.with_mutant(*mutant)).await.is_none() {
            needless.push(*mutant);
        }
    }
    assert_eq!(needless, []);
}
