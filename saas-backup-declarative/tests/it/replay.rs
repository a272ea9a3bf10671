use std::path::PathBuf;

use saas_backup_declarative::replay::{Mutation, replay};

/// Replays the recordings in `SAAS_BACKUP_MANIFESTS`; `SAAS_BACKUP_REPLAY` chooses manifests by a part of their name.
#[test]
fn recordings_of_airbytes_engine_replay() {
    let Some(folder) = std::env::var_os("SAAS_BACKUP_MANIFESTS").map(PathBuf::from) else { return };
    let only = std::env::var("SAAS_BACKUP_REPLAY").unwrap_or_default();
    let report = replay(&folder, &only, Mutation::None).unwrap();
    println!("{report}");
    assert!(report.unreadable.is_empty());
    assert!(report.passed() * 100 >= report.verdicts.len() * 99, "fewer than 99 in 100 pass");
}
