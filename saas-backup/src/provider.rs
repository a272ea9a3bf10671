//! What a provider's own backups are worth.

use serde::Serialize;

/// What the place where data lives does for it by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OwnBackup {
    /// In a sentence or two.
    pub says: &'static str,
    /// The provider's own words.
    pub source: &'static str,
}

/// The kinds that something is known of, and what.
const KNOWN: [(&[&str], OwnBackup); 10] = [
    (
        &["rds"],
        OwnBackup {
            says: "Automated backups reach back 35 days at most, and go with the instance unless they are retained, which lasts \
                   no longer. They stay with the provider, in its own form; a restore makes another instance.",
            source: "https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_WorkingWithAutomatedBackups.html",
        },
    ),
    (
        &["aurora"],
        OwnBackup {
            says: "Automated backups reach back 35 days at most, and go with the cluster unless they are retained, which lasts \
                   no longer. They stay with the provider, in its own form; a restore makes another cluster.",
            source: "https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Aurora.Managing.Backups.html",
        },
    ),
    (
        &["cloud-sql"],
        OwnBackup {
            says: "Backups belong to the instance: unless they are retained, or a final one is taken, they are gone days after \
                   it. They stay with the provider, in its own form.",
            source: "https://cloud.google.com/sql/docs/postgres/backup-recovery/backups",
        },
    ),
    (
        &["dynamodb"],
        OwnBackup {
            says: "Point-in-time recovery reaches back 35 days at most, if it is switched on; of a table that is deleted its last \
                   state stays for 35 days. A restore makes another table, with the same provider.",
            source: "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Point-in-time-recovery.html",
        },
    ),
    (
        &["mongodb-atlas"],
        OwnBackup {
            says: "Snapshots belong to the cluster, and by default go when it is terminated; who owns the project can delete them.",
            source: "https://www.mongodb.com/docs/atlas/backup/cloud-backup/overview/",
        },
    ),
    (
        &["google-drive"],
        OwnBackup {
            says: "The trash is emptied after 30 days. A deletion or an overwritten file is in every copy that Drive keeps in step.",
            source: "https://support.google.com/drive/answer/2375102",
        },
    ),
    (
        &["dropbox"],
        OwnBackup {
            says: "Deleted files and earlier versions stay for 30 to 365 days, by the plan; then nobody can bring them back.",
            source: "https://help.dropbox.com/security/data-retention-policy",
        },
    ),
    (
        &["notion"],
        OwnBackup {
            says: "The trash and the history of pages are kept for a time that depends on the plan. An export is made by hand, and \
                   cannot be put back as it was.",
            source: "https://www.notion.com/help/duplicate-delete-and-restore-content",
        },
    ),
    (
        &["wordpress"],
        OwnBackup {
            says: "None by itself: revisions and the trash are rows of the same database. What a host does beside it is the \
                   host's word, and goes with the account.",
            source: "https://developer.wordpress.org/advanced-administration/security/backup/",
        },
    ),
    (
        &["postgres", "mysql"],
        OwnBackup {
            says: "None by itself: a replica repeats every mistake, and the log alone restores nothing. For one that a provider \
                   runs, say which: provider = \"rds\", \"aurora\" or \"cloud-sql\".",
            source: "https://www.postgresql.org/docs/current/backup.html",
        },
    ),
];

impl OwnBackup {
    /// What is known of a kind of store, such as `rds`, `notion` or the name of a connector.
    pub fn of(kind: &str) -> Option<Self> {
        KNOWN.iter().find(|(names, _)| names.contains(&kind)).map(|(_, known)| *known)
    }

    /// The kinds that something is known of.
    pub fn kinds() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().flat_map(|(names, _)| names.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_is_known_once() {
        let kinds: Vec<&str> = OwnBackup::kinds().collect();
        assert_eq!(kinds.iter().collect::<BTreeSet<_>>().len(), kinds.len());
        assert!(kinds.iter().all(|kind| OwnBackup::of(kind).is_some_and(|known| known.says.ends_with('.'))));
        assert_eq!(OwnBackup::of("a shoe box"), None);
    }
}
