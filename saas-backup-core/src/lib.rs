//! The contracts, the line format and the transfer engine of saas-backup.
//!
//! Everything that can be opened is a [`Connector`]: a provider account, a repository, a folder in an open format. It
//! opens a [`Snapshot`] to read or a [`Sink`] to write, and [`transfer`] moves the one into the other. Backup,
//! restore, export, import, replication and migration are the same code with other ends.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod budget;
mod catalog;
mod changes;
mod check;
mod clock;
mod connector;
mod coverage;
mod cursor;
mod drift;
mod emit;
mod erasure;
mod error;
mod event;
mod feed;
mod ids;
mod json;
mod line;
pub mod memory;
mod name;
mod overlay;
mod period;
mod progress;
mod record;
mod report;
mod scan;
mod sink;
mod snapshot;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
mod transfer;

pub use async_trait::async_trait;
pub use budget::{Budget, Permit};
pub use catalog::{Body, Catalog, Collection, FieldMapping, Kind, Markup, RefRule};
pub use changes::FieldChange;
pub use check::{CheckReport, Finding};
pub use clock::{Clock, ManualClock, SystemClock};
pub use connector::{At, Capabilities, Connector, SinkOptions, SnapshotOptions, WriteMode};
pub use coverage::{Account, CollectionCompleteness, CollectionCoverage, Completeness, Coverage, Visibility};
pub use cursor::{Cursor, MAX_CURSOR_BYTES};
pub use drift::DriftSum;
pub use emit::{Emitter, events};
pub use erasure::{ErasureEnd, ErasureEvent, ErasureReceipt, ErasureRequest, ErasureState, ErasureTarget, Erasures};
pub use error::{Error, ErrorKind, Result, Retry};
pub use event::{
    Deletion, DeletionReason, Done, Event, Extent, Gap, Problem, Reset, ResetReason, SchemaChange, Scope, Seen,
};
pub use feed::{Feed, FeedKind};
pub use ids::IdMap;
pub use json::{Json, MAX_JSON_DEPTH, page_items};
pub use line::{
    Consistency, End, ImportResult, ImportStatus, Item, Line, LineCodec, LineCounts, LineHead, LineKind, LineLimits,
    LineReader, Profile, SnapshotHeader, Start, StreamCheck, StreamKind, StreamWriter, data_of, sequence_place,
};
pub use name::{BlobId, CollectionName, FeedId, Key, MAX_COLLECTION_BYTES, MAX_ID_BYTES, PartitionId, RecordId, RunId};
pub use overlay::{CollectionOverlay, Overlaid, Overlay};
pub use period::Period;
pub use progress::{NoProgress, Progress, ProgressEvent};
pub use record::{Access, BlobRef, BlobStatus, Digest, Principal, Record, RecordState, Reference, References};
pub use report::{Counts, FeedReport, FeedStatus, Refusal, RunReport, RunStatus};
pub use sink::{
    BlobSlot, BlobWriter, Candidates, Epoch, FeedState, Held, Loss, OpenGap, Outcome, Receipt, Review, RunStart, Sink,
    State, StoredBlob, Verdict, Writer, Written,
};
pub use snapshot::{ByteStream, EventStream, FeedStream, Only, ReadRequest, Snapshot};
pub use tokio_util::sync::CancellationToken;
pub use transfer::{DeletionGuard, TransferOptions, Transferred, transfer};
