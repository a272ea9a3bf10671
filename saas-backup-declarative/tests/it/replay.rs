use std::path::{Path, PathBuf};

use saas_backup_declarative::replay::{Mutation, Verdict, replay};

/// The recordings that `testing/declarative/record.py` made.
fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/recordings")
}

/// The folder of recordings that `SAAS_BACKUP_MANIFESTS` names, if any: more of them than the project holds.
fn further() -> Option<(PathBuf, String)> {
    let folder = std::env::var_os("SAAS_BACKUP_MANIFESTS").map(PathBuf::from)?;
    Some((folder, std::env::var("SAAS_BACKUP_REPLAY").unwrap_or_default()))
}

#[test]
fn recordings_of_airbytes_engine_replay() {
    let report = replay(&own(), "", Mutation::None).unwrap();
    assert_eq!(report.verdicts.len(), 4);
    assert!(report.verdicts.values().all(|verdict| *verdict == Verdict::Same), "{report}");
    let Some((folder, only)) = further() else { return };
    let report = replay(&folder, &only, Mutation::None).unwrap();
    println!("{report}");
    assert!(report.unreadable.is_empty(), "a manifest does not load");
    assert!(report.passed() * 100 >= report.verdicts.len() * 99, "fewer than 99 in 100 pass");
}

#[test]
fn a_changed_engine_fails_the_replay() {
    for (folder, only) in [Some((own(), String::new())), further()].into_iter().flatten() {
        let whole = replay(&folder, &only, Mutation::None).unwrap();
        for mutation in [Mutation::PageSize, Mutation::OnePage, Mutation::Filters] {
            let changed = replay(&folder, &only, mutation).unwrap();
            println!("{mutation:?}: {} of {} still pass", changed.passed(), whole.passed());
            assert!(changed.passed() < whole.passed(), "{mutation:?} is not found");
        }
    }
}
