use saas_backup_core::{Record, RecordState};

use crate::beside::{Properties, text_of};

/// What somebody did with a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Flags {
    seen: bool,
    answered: bool,
    flagged: bool,
    draft: bool,
    forwarded: bool,
}

impl Flags {
    /// Reads the properties `flags` and `read`, and the labels that Gmail has in their place.
    pub(super) fn of(properties: Properties<'_>, labels: &[String]) -> Self {
        let mut flags = Self { seen: properties.is_true("read"), ..Self::default() };
        for flag in properties.items("flags").iter().filter_map(text_of) {
            match flag.trim_start_matches(['\\', '$']).to_ascii_lowercase().as_str() {
                "seen" | "read" => flags.seen = true,
                "answered" | "replied" => flags.answered = true,
                "flagged" | "starred" => flags.flagged = true,
                "draft" => flags.draft = true,
                "forwarded" | "passed" => flags.forwarded = true,
                _ => {}
            }
        }
        for label in labels {
            match label.as_str() {
                "UNREAD" => flags.seen = false,
                "STARRED" => flags.flagged = true,
                "DRAFT" => flags.draft = true,
                _ => {}
            }
        }
        flags
    }

    /// The letters that a Maildir has for them.
    pub(super) fn letters(self) -> String {
        let all =
            [(self.draft, 'D'), (self.flagged, 'F'), (self.forwarded, 'P'), (self.answered, 'R'), (self.seen, 'S')];
        all.iter().filter(|(set, _)| *set).map(|(_, letter)| letter).collect()
    }

    /// Their names.
    pub(super) fn names(self) -> Vec<&'static str> {
        let all = [
            (self.answered, "answered"),
            (self.draft, "draft"),
            (self.flagged, "flagged"),
            (self.forwarded, "forwarded"),
            (self.seen, "seen"),
        ];
        all.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect()
    }
}

/// Labels that say how a message is, not where it lies.
pub(super) fn is_place(label: &str) -> bool {
    !matches!(label, "UNREAD" | "STARRED" | "IMPORTANT" | "CHAT") && !label.starts_with("CATEGORY_")
}

/// What a message is called that is not in use.
pub(super) fn state_of(record: &Record) -> Option<&'static str> {
    match record.state {
        RecordState::Trashed => Some("trashed"),
        RecordState::Archived => Some("archived"),
        _ => None,
    }
}
