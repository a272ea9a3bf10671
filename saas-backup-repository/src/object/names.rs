use std::sync::Arc;

use chrono::{DateTime, Utc};
use saas_backup_core::{Clock, Error, ErrorKind, Result};
use ulid::Ulid;

/// Longest name of a source, in bytes.
const MAX_SOURCE_BYTES: usize = 64;

/// The names of one source's objects.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    clock: Arc<dyn Clock>,
    prefix: String,
    /// Added to the names of objects that are age files.
    suffix: &'static str,
}

impl Names {
    pub(crate) fn new(source: &str, encrypted: bool, clock: Arc<dyn Clock>) -> Self {
        Self { clock, prefix: format!("source/{source}/"), suffix: if encrypted { ".age" } else { "" } }
    }

    /// A new ULID, which tells when it was made.
    pub(crate) fn ulid(&self) -> Ulid {
        Ulid::from_datetime(self.clock.now().into())
    }

    /// The time by the clock that makes names.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn keys(&self) -> String {
        format!("{}keys/", self.prefix)
    }

    pub(crate) fn segment(&self) -> String {
        format!("{}data/{}.jsonl.zst{}", self.prefix, self.ulid(), self.suffix)
    }

    pub(crate) fn meta_segment(&self) -> String {
        format!("{}state/{}.jsonl.zst{}", self.prefix, self.ulid(), self.suffix)
    }

    /// Random beside the digest: two runs that store the same bytes never write one name.
    pub(crate) fn blob(&self, digest: &str, zstd: bool) -> String {
        let folder = digest.get(..2).unwrap_or("00");
        let zst = if zstd { ".zst" } else { "" };
        format!("{}blob/{folder}/{digest}-{}{zst}{}", self.prefix, self.ulid(), self.suffix)
    }

    pub(crate) fn pack(&self) -> String {
        format!("{}pack/{}{}", self.prefix, self.ulid(), self.suffix)
    }

    pub(crate) fn bundle(&self) -> String {
        format!("{}bundle/{}", self.prefix, self.ulid())
    }

    pub(crate) fn is_bundle(&self, name: &str) -> bool {
        name.strip_prefix(&self.prefix).is_some_and(|name| name.starts_with("bundle/"))
    }

    pub(crate) fn proofs(&self) -> String {
        format!("{}proof", self.prefix)
    }

    pub(crate) fn proof(&self, id: &str) -> String {
        format!("{}proof/{id}", self.prefix)
    }

    pub(crate) fn drills(&self) -> String {
        format!("{}drill", self.prefix)
    }

    pub(crate) fn drill(&self, id: &str) -> String {
        format!("{}drill/{id}", self.prefix)
    }

    /// What lies beside the timeline and says what was found out about it: nothing else names it.
    pub(crate) fn is_evidence(&self, name: &str) -> bool {
        name.strip_prefix(&self.prefix).is_some_and(|name| name.starts_with("proof/") || name.starts_with("drill/"))
    }

    pub(crate) fn merging_folder(&self) -> String {
        format!("{}merging", self.prefix)
    }

    /// A step of a merge that is under way.
    pub(crate) fn merging(&self, id: &str) -> String {
        format!("{}merging/{id}", self.prefix)
    }

    pub(crate) fn commits(&self) -> String {
        format!("{}commit", self.prefix)
    }

    pub(crate) fn commit(&self, sequence: u64) -> String {
        format!("{}commit/{sequence:020}", self.prefix)
    }

    pub(crate) fn layouts(&self) -> String {
        format!("{}layout", self.prefix)
    }

    pub(crate) fn layout(&self, sequence: u64) -> String {
        format!("{}layout/{sequence:020}", self.prefix)
    }
}

/// The number at the end of the name of a commit or a layout; other names have none.
pub(crate) fn sequence_of(name: &str) -> Option<u64> {
    let digits = name.rsplit('/').next()?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// The ULID in the name of an object, which tells when the name was made; commits, layouts and naming keys have none.
pub(crate) fn ulid_of(name: &str) -> Option<&str> {
    let file = name.rsplit('/').next()?.split('.').next()?;
    let ulid = file.rsplit('-').next()?;
    Ulid::from_string(ulid).is_ok().then_some(ulid)
}

/// The month that shares one domain.
pub(crate) fn month(now: DateTime<Utc>) -> String {
    now.format("%Y-%m").to_string()
}

/// The name of a source is a folder's name everywhere.
///
/// # Errors
///
/// [`ErrorKind::Configuration`] unless it is 1 to 64 lower-case letters, digits, `-`, `_` or `.`, and begins with a
/// letter or a digit.
pub(crate) fn check_source_name(name: &str) -> Result<()> {
    let fits = !name.is_empty() && name.len() <= MAX_SOURCE_BYTES;
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let clean = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte));
    if fits && begins && clean {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Configuration,
        "the name of a source is 1 to 64 lower-case letters, digits, `-`, `_` or `.`, and begins with a letter or a digit",
    ))
}

#[cfg(test)]
mod tests {
    use saas_backup_core::SystemClock;

    use super::*;

    #[test]
    fn the_names_of_sources_cannot_leave_their_folder() {
        for good in ["blog", "acme-2.eu", "0"] {
            assert!(check_source_name(good).is_ok(), "{good}");
        }
        for bad in ["", "..", "../x", "a/b", "Blog", "-x", "a b", &"x".repeat(65)] {
            assert!(check_source_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sequences_are_read_back_and_strangers_passed_over() {
        let names = Names::new("blog", true, Arc::new(SystemClock));
        assert_eq!(sequence_of(&names.commit(42)), Some(42));
        assert_eq!(sequence_of("source/blog/commit/42"), None);
        assert_eq!(sequence_of("source/blog/commit/0000000000000000004x"), None);
    }

    #[test]
    fn the_name_of_an_object_tells_its_ulid() {
        let names = Names::new("blog-1.eu", true, Arc::new(SystemClock));
        for name in [names.segment(), names.meta_segment(), names.blob("abcdef", true), names.pack(), names.bundle()] {
            assert_eq!(ulid_of(&name).map(str::len), Some(26), "{name}");
        }
        for name in [names.commit(7), names.layout(7), "source/blog/keys/naming.age".to_owned()] {
            assert_eq!(ulid_of(&name), None, "{name}");
        }
    }
}
