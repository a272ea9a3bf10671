//! Exports as one file: any format's folder in a `.zip` or a `.tar.zst`.
//!
//! ```text
//! notes.zip
//! └── notes/                       the folder of the format, as it would lie there unpacked
//! ```
//!
//! The same records give the same bytes: entries are sorted and carry no time, and the report of the run stays outside. What is unpacked is not trusted: a path
//! that leads out, a link, a device, the same name twice, or far more bytes than such a file can honestly hold are
//! refused.

mod connector;
mod pack;
mod unpack;

use std::path::Path;

pub use connector::{Packed, check};

/// How an export becomes one file; the ending of its name says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Packing {
    /// `.zip`, which every system opens; the list of its files is kept in memory, so `.tar.zst` is better for millions.
    Zip,
    /// `.tar.zst`, smaller and quicker.
    TarZst,
}

impl Packing {
    /// The packing of a file of this name; `None` for a folder.
    pub fn of(path: &Path) -> Option<Self> {
        Self::split(path.file_name()?.to_str()?).map(|(_, packing)| packing)
    }

    /// The name without its ending.
    fn split(name: &str) -> Option<(&str, Self)> {
        [(".zip", Self::Zip), (".tar.zst", Self::TarZst)].into_iter().find_map(|(ending, packing)| {
            let (stem, end) = name.split_at_checked(name.len().checked_sub(ending.len())?)?;
            (!stem.is_empty() && end.eq_ignore_ascii_case(ending)).then_some((stem, packing))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_the_name_says_how() {
        for (name, packing) in [
            ("a.zip", Some(Packing::Zip)),
            ("x/a.b.ZIP", Some(Packing::Zip)),
            ("a.tar.zst", Some(Packing::TarZst)),
            ("a.tar", None),
            (".zip", None),
            ("a", None),
            ("zip", None),
        ] {
            assert_eq!(Packing::of(Path::new(name)), packing, "{name}");
        }
    }
}
