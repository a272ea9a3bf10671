use std::collections::HashSet;
use std::fmt::Write as _;

use saas_backup_core::Digest;
use unicode_normalization::UnicodeNormalization as _;

use super::safe::{MAX_NAME_BYTES, safe_name};

/// Gives out names that differ on every file system, also where upper and lower case or the forms of an accent are
/// the same name.
///
/// The first to ask for a name gets it; who asks later gets `~` and six hexadecimal digits of its id behind it. Asked
/// in the same order it gives the same names. It keeps 8 bytes a name.
#[derive(Clone, Debug, Default)]
pub struct Names {
    taken: HashSet<u64>,
}

impl Names {
    /// No names are taken.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a name that the format itself needs.
    pub fn reserve(&mut self, folder: &str, name: &str) {
        self.taken.insert(fingerprint(folder, name));
    }

    /// Gives a free name in `folder` for a title, at most `limit` bytes with its extension.
    ///
    /// `extension` comes with its dot, or is empty; `id` decides the suffix on a collision.
    pub fn give(&mut self, folder: &str, title: &str, extension: &str, id: &str, limit: usize) -> String {
        let limit = limit.clamp(extension.len() + 16, MAX_NAME_BYTES);
        let name = format!("{}{extension}", safe_name(title, limit - extension.len()));
        if self.taken.insert(fingerprint(folder, &name)) {
            return name;
        }
        let digest = Digest::of(id.as_bytes()).to_string();
        // Six digits are enough for nearly everything; more are taken until the name is free.
        for digits in (6..=digest.len()).step_by(6) {
            let suffix = format!("~{}", digest.get(..digits).unwrap_or(&digest));
            let room = limit.saturating_sub(extension.len() + suffix.len()).max(1);
            let name = format!("{}{suffix}{extension}", safe_name(title, room));
            if self.taken.insert(fingerprint(folder, &name)) {
                return name;
            }
        }
        let mut name = digest;
        let mut count = 0_u64;
        loop {
            name.truncate(64);
            let _ = write!(name, "~{count}{extension}");
            if self.taken.insert(fingerprint(folder, &name)) {
                return name;
            }
            count += 1;
        }
    }
}

/// Equal for names that some file system takes for one.
pub(crate) fn fingerprint(folder: &str, name: &str) -> u64 {
    let fold =
        |text: &str| text.nfc().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfc().collect::<String>();
    short_hash(format!("{}\0{}", fold(folder), fold(name)).as_bytes())
}

/// The first eight bytes of the SHA-256: nobody can choose ids that collide on purpose.
pub(crate) fn short_hash(bytes: &[u8]) -> u64 {
    let digest = Digest::of(bytes);
    digest.as_bytes().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_only_in_case_or_form_get_a_suffix() {
        let mut names = Names::new();
        assert_eq!(names.give("d", "Report", ".md", "1", 80), "Report.md");
        assert_eq!(names.give("d", "REPORT", ".md", "2", 80), "REPORT~d4735e.md");
        assert_eq!(names.give("d", "straße", ".md", "1", 80), "straße.md");
        assert_eq!(names.give("d", "STRASSE", ".md", "2", 80), "STRASSE~d4735e.md");
        assert_eq!(names.give("e", "Report", ".md", "3", 80), "Report.md");
        assert_eq!(names.give("D", "report", ".md", "4", 80), "report~4b2277.md");
    }

    #[test]
    fn the_suffix_grows_until_the_name_is_free_and_the_limit_holds() {
        let mut names = Names::new();
        let mut seen = HashSet::new();
        for _ in 0..20 {
            let name = names.give("", &"x".repeat(400), ".md", "same id", 255);
            assert!(name.len() <= 255, "{}", name.len());
            assert!(seen.insert(name));
        }
    }
}
