use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the mail is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MailConfig {
    /// The folder. It must not exist, be empty, or hold an export that the mode replaces.
    pub path: PathBuf,
    /// What stands before the flags in the names of a Maildir's files. Default: `semicolon`.
    #[serde(default)]
    pub separator: MaildirSeparator,
}

impl MailConfig {
    /// Mail in this folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), separator: MaildirSeparator::default() }
    }

    /// Sets what stands before the flags in the names of a Maildir's files.
    #[must_use]
    pub fn with_separator(mut self, separator: MaildirSeparator) -> Self {
        self.separator = separator;
        self
    }
}

/// What stands before the flags in the names of a Maildir's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum MaildirSeparator {
    /// `;2,S`: Windows, exFAT and archives take it; programs that read a Maildir take the messages for unread until the
    /// files are renamed.
    #[default]
    Semicolon,
    /// `:2,S`: what programs that read a Maildir know, and Windows refuses.
    Colon,
}

impl MaildirSeparator {
    pub(super) fn character(self) -> char {
        match self {
            Self::Semicolon => ';',
            Self::Colon => ':',
        }
    }
}
