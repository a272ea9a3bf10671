//! Erasing what concerns a person, from every point in time.
//!
//! An erasure is a commit of maintenance. From then on readers leave out what it names, whatever still holds it. The
//! next compaction writes everything else anew, and the next collections remove what held it, with the keys.

mod erase;
mod find;
mod scan;
mod state;
mod subject;

pub use self::erase::EraseOptions;
pub use self::find::{Concerned, FoundAttachment, FoundRecord};
pub use self::scan::Scanned;
pub use self::state::{Erasure, ErasureProgress, ErasureStatement};
pub use self::subject::{Reason, Subject};
