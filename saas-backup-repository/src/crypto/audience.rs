use saas_backup_core::Digest;

use super::DomainKind;

/// To whom keys are encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Audience {
    /// The public keys of all who read; empty in a repository that is not encrypted.
    pub(crate) owners: Vec<String>,
    /// The public keys of all who write.
    pub(crate) writers: Vec<String>,
}

impl Audience {
    /// Who opens keys of a kind, sorted.
    pub(crate) fn of(&self, kind: DomainKind) -> Vec<&str> {
        let writers = if kind == DomainKind::Meta { self.writers.as_slice() } else { &[] };
        let mut all: Vec<&str> = self.owners.iter().chain(writers).map(String::as_str).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// What a list of public keys is known by in the keys that are encrypted to it.
pub(super) fn mark(recipients: &[&str]) -> String {
    let lines: String = recipients.iter().flat_map(|one| [*one, "\n"]).collect();
    Digest::of(lines.as_bytes()).to_string().chars().take(16).collect()
}
