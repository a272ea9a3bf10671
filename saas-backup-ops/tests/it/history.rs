use saas_backup_core::ErrorKind;
use saas_backup_ops::History;

#[test]
fn a_second_scheduler_on_one_folder_is_a_conflict() {
    let folder = tempfile::tempdir().unwrap();
    let first = History::open(folder.path()).unwrap();
    assert_eq!(History::open(folder.path()).unwrap_err().kind(), ErrorKind::Conflict);
    drop(first);
    History::open(folder.path()).unwrap();
}

#[test]
fn a_newer_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("schedule.json");
    std::fs::write(&path, "{\"version\": 2, \"jobs\": []}").unwrap();
    assert_eq!(History::open(folder.path()).unwrap_err().kind(), ErrorKind::UnsupportedVersion);
    assert_eq!(std::fs::read_to_string(path).unwrap(), "{\"version\": 2, \"jobs\": []}");
}

#[test]
fn without_a_file_nothing_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    assert!(History::read(folder.path()).unwrap().is_empty());
}
