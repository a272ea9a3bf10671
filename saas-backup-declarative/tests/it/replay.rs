use std::path::PathBuf;

use saas_backup_declarative::replay::{Mutation, replay};

/// The folder of recordings that the environment names (it is no part of the project; without one there is nothing to replay), and the part of manifests' names that it chooses.
fn recordings() -> Option<(PathBuf, String)> {
    let folder = std::env::var_os("SAAS_BACKUP_MANIFESTS").map(PathBuf::from)?;
    Some((folder, std::env::var("SAAS_BACKUP_REPLAY").unwrap_or_default()))
}

#[test]
fn recordings_of_airbytes_engine_replay() {
    let Some((folder, only)) = recordings() else { return };
    let report = replay(&folder, &only, Mutation::None).unwrap();
    println!("{report}");
    assert!(report.unreadable.is_empty(), "a manifest does not load");
    assert!(report.passed() * 100 >= report.verdicts.len() * 99, "fewer than 99 in 100 pass");
}

#[test]
fn a_changed_engine_fails_the_replay() {
    let Some((folder, only)) = recordings() else { return };
    let whole = replay(&folder, &only, Mutation::None).unwrap();
    for mutation in [Mutation::PageSize, Mutation::OnePage, Mutation::Filters] {
        let changed = replay(&folder, &only, mutation).unwrap();
        println!("{mutation:?}: {} of {} still pass", changed.passed(), whole.passed());
        assert!(changed.passed() < whole.passed(), "{mutation:?} is not found");
    }
}
