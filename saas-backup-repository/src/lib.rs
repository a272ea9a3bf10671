//! The durable store: points in time on any object store, in standard parts.
//!
//! A [`Repository`] holds any number of [`Source`]s. Each is a [`Connector`](saas_backup_core::Connector) that keeps the
//! mirror of an account, and whose snapshots are points in time that never change. The objects are age files and
//! Zstandard frames of sorted lines: `age`, `zstd`, `sed`, `jq` and `sha256sum` read them without this crate.
//! `docs/repository-format.md` is the specification.
//!
//! ```
//! use saas_backup_core::At;
//! use saas_backup_repository::{Identity, Keys, Repository, RepositoryOptions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> saas_backup_core::Result<()> {
//! let identity = Identity::generate();
//! let options = RepositoryOptions::parse("memory://example")?.with_keys(Keys::owner(identity));
//! let repository = Repository::init(options).await?;
//! let blog = repository.source("blog")?;
//! // `backup(&wordpress, &blog, …)` fills it; then:
//! for point in blog.points().await? {
//!     println!("{} {}", point.sequence, point.finished);
//! }
//! assert!(blog.point(&At::Now).await.is_err());
//! # Ok(())
//! # }
//! ```
//!
//! | feature | what it adds |
//! |---|---|
//! | `fs` (default) | `file://` |
//! | `encryption` (default) | repositories whose objects are age files |
//! | `s3`, `gcs`, `azure`, `webdav` | `s3://`, `gs://`, `az://`, `http(s)://` |
#![cfg_attr(docsrs, feature(doc_cfg))]

mod commit;
mod committer;
mod config;
mod crypto;
mod diff;
mod drill;
mod erasure;
mod follow;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod layout;
mod mend;
mod object;
mod options;
mod points;
mod proof;
mod read;
mod replica;
mod repository;
mod reserved;
mod retention;
mod roles;
mod signed;
mod sink;
mod source;
mod stats;
mod store;
mod upkeep;
mod verify;
mod writers;

pub use self::crypto::{AgentKey, Identity, Keys, Recipient, RootKey};
pub use self::diff::{Change, ChangeKind};
pub use self::drill::Drill;
pub use self::erasure::{
    Concerned, EraseOptions, Erasure, ErasureProgress, ErasureStatement, FoundAttachment, FoundRecord, Reason, Scanned,
    Subject,
};
pub use self::follow::{FollowOptions, Followed, FollowedPoint, FollowedSource};
pub use self::mend::{MendOptions, Mended};
pub use self::options::RepositoryOptions;
pub use self::points::Point;
pub use self::replica::{Repaired, Replicated};
pub use self::repository::Repository;
pub use self::retention::{
    RetentionDecision, RetentionInterval, RetentionPlan, RetentionPolicy, RetentionReason, RetentionWarning,
};
pub use self::roles::{Escrow, KeyProblem, KeyProblemKind, KeyReport, RewrapOptions, Rewrapped, Writer};
pub use self::source::Source;
pub use self::stats::{SourceStats, StoredBytes, StoredKind};
pub use self::store::{Creation, Entry, LockMode, Store};
pub use self::upkeep::{
    CollectOptions, Collected, CompactOptions, Compacted, Forgotten, GivenUp, LockOptions, Locked, LostCount,
};
pub use self::verify::{Anchor, VerifyOptions, VerifyProblem, VerifyReport};
