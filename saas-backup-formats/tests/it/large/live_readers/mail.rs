//! Messages: an attachment is a part of one, in base64, and a file beside it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use saas_backup_core::{Digest, Kind};
use saas_backup_formats::mail::{MailConfig, MailConnector, MailLayout, MaildirSeparator, check};

use crate::large::{GIBIBYTE, assert_memory, attachment, digest_of, digest_told, large_files, noise, written};
use crate::support::{python_with, succeeded};

/// Writes a message with the attachment; gives the attachment's digest and the file of the message.
async fn message(layout: MailLayout, path: &Path) -> (Digest, PathBuf) {
    let config = MailConfig::new(path).with_separator(MaildirSeparator::Colon);
    let digest = written(&MailConnector::new(layout, config), Kind::Message, attachment(), noise(GIBIBYTE)).await;
    assert_eq!(check(path).unwrap().findings, []);
    assert_memory();
    let found = large_files(path);
    let (beside, messages) =
        found.into_iter().partition::<Vec<_>, _>(|file| file.starts_with(path.join("_attachments")));
    let ([beside], [message]) = (&beside[..], &messages[..]) else { panic!("{beside:?} {messages:?}") };
    assert_eq!(digest_of(File::open(beside).unwrap()), digest);
    (digest, message.clone())
}

// Debian's `notmuch`.
#[tokio::test]
#[ignore = "needs 4 GiB of room and notmuch"]
async fn notmuch_takes_a_gibibyte_out_of_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail");
    let (digest, message) = message(MailLayout::Eml, &path).await;
    let config = folder.path().join("config");
    fs::write(&config, format!("[database]\npath={}\n", message.parent().unwrap().display())).unwrap();
    let notmuch = |arguments: &[&str]| {
        let mut command = Command::new("notmuch");
        command.env("NOTMUCH_CONFIG", &config).args(arguments);
        command
    };
    succeeded(&mut notmuch(&["new"]));
    // The message is the first part, its text the second one.
    assert_eq!(digest_told(&mut notmuch(&["show", "--part=3", "--format=raw", "*"])), digest);
}

// Debian's `dovecot-core`.
#[tokio::test]
#[ignore = "needs 4 GiB of room and doveadm"]
async fn dovecot_takes_a_gibibyte_out_of_a_maildir() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail");
    let (digest, _) = message(MailLayout::Maildir, &path).await;
    assert_eq!(python_with("dovecot.py", &path.join("things"), &["2"]).trim(), digest.to_string());
}

/// An mbox is made of messages that are built as files first.
#[tokio::test]
#[ignore = "needs 5 GiB of room and doveadm"]
async fn dovecot_takes_a_gibibyte_out_of_an_mbox() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail");
    let (digest, mbox) = message(MailLayout::Mbox, &path).await;
    assert_eq!(python_with("dovecot.py", &mbox, &["2"]).trim(), digest.to_string());
}
