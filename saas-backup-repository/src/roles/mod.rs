//! Who reads and who writes, as the owner states it after the repository was made.
//!
//! Statements are numbered objects, made by conditional creation and signed by the root; the newest that is valid
//! counts. What they say of keys is carried out by [`rewrap`](crate::Repository::rewrap).

mod check;
mod escrow;
mod key_objects;
mod recipients;
mod rewrap;
mod statement;
mod writers;

pub use self::check::{KeyProblem, KeyProblemKind, KeyReport};
pub use self::escrow::Escrow;
pub(crate) use self::key_objects::is_rewriting;
pub(crate) use self::rewrap::settle;
pub use self::rewrap::{RewrapOptions, Rewrapped};
pub(crate) use self::statement::{Roles, check_statement, refresh, statements};
pub use self::writers::Writer;
