use serde::{Deserialize, Serialize};

use crate::{Cursor, Result};

const CURSOR_VERSION: u32 = 1;

/// What a cursor of the fake provider says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Position {
    /// In the pages of a full read that took its log position at `start`.
    Full { generation: u64, start: Option<usize>, after: Option<String>, offset: usize },
    /// After the pages of a full read: the changes that happened meanwhile are still to come.
    Replay { generation: u64, at: usize },
    /// In the change log.
    Since { generation: u64, at: usize },
    /// The head of the change log at the time of use: what a provider gives that takes positions too late.
    Later { generation: u64 },
}

impl Position {
    pub(super) fn generation(&self) -> u64 {
        match self {
            Self::Full { generation, .. }
            | Self::Replay { generation, .. }
            | Self::Since { generation, .. }
            | Self::Later { generation } => *generation,
        }
    }

    pub(super) fn is_full_read(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Replay { .. })
    }

    pub(super) fn to_cursor(&self) -> Result<Cursor> {
        Cursor::encode(CURSOR_VERSION, self)
    }

    pub(super) fn from_cursor(cursor: &Cursor) -> Result<Self> {
        cursor.decode(CURSOR_VERSION)
    }
}
