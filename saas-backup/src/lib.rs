//! Back up SaaS accounts: connectors, repository and open formats behind one door.
//!
//! A [`Project`] is a configuration at work; each of its calls is a command of the `saas-backup` program.
//!
//! ```no_run
//! use saas_backup::core::TransferOptions;
//! use saas_backup::{Config, ExportRequest, Project};
//!
//! # async fn example() -> saas_backup::core::Result<()> {
//! let project = Project::open(Config::load("saas-backup.toml")?)?;
//! let done = project.backup("blog", TransferOptions::backup()).await?;
//! println!("{} records written, {:?}", done.report.totals().written, done.report.status);
//! project.export(ExportRequest::new("blog", "markdown", "vault")).await?;
//! # Ok(())
//! # }
//! ```
//!
//! - A [`Config`] names a repository and sources: from a file, or made by a program.
//! - A [`Registry`] knows the connectors and formats that a configuration can name; programs add their own.
//! - Below stand the crates that it is made of: [`core`] with the contracts and the transfer engine, [`repository`],
//!   `connectors`, `formats`, [`ops`] with the scheduler, and `export_api`, the vendor's half.
//!
//! | feature | what it adds |
//! |---|---|
//! | `declarative` | whatever a low-code manifest of Airbyte describes, and providers that come with it |
//! | `open-export` | the connector to services that speak the Open Export Protocol |
//! | `wordpress` | the connector to WordPress sites, for backup and restore |
//! | `tls` (default) | HTTPS for connectors and alerts |
//! | `alert-mail`, `alert-cloudwatch` | alerts of these kinds |
//! | `jsonl` (default), `bagit`, `csv`, `files`, `git`, `html`, `ics`, `mail`, `markdown`, `parquet`, `sqlite`, `vcf`, `wxr` | open formats |
//! | `auto` | each collection in the form that fits it |
//! | `packed` | any of them as one file: `.zip`, `.tar.zst` |
//! | `encryption` (default) | repositories whose objects are age files |
//! | `fs` (default), `s3`, `gcs`, `azure`, `webdav` | where repositories lie |
//! | `export-api` | the server kit of the Open Export Protocol |
#![cfg_attr(docsrs, feature(doc_cfg))]

mod at;
mod builtin;
mod config;
mod project;
mod provider;
mod registry;
mod state;

pub use at::parse_at;
pub use config::{
    AlertConfig, AlertKind, ChoresConfig, Config, DrillConfig, Encryption, LockConfig, ReplicaBy, ReplicaConfig,
    RepositoryConfig, Settings, SourceConfig, StoreConfig, Text, load_overlay,
};
pub use project::{
    AlertTried, Change, ChangeKind, Checked, CollectionPlan, CollectionStatus, CollectionSummary, Configured,
    ConfiguredJob, DrillPoint, DrillRequest, DrillStatus, Drilled, Erased, ErasedRequests, ErasureStep, Escrowed,
    ExportRequest, Exported, Failure, ForgetOptions, Forgot, Initialised, InventoryCopies, InventoryItem, KeyCheck,
    KeyHolders, KeyOptions, KeysChanged, KeysChecked, Listing, MaintainOptions, Maintained, Mended, NewKey, Plan,
    Point, Problem, Project, RecordSummary, Reloaded, Repaired, Replicated, ReplicatedSource, RequestOptions,
    RequestOutcome, Restored, ServeOptions, Serving, ServingHandle, SourceStatus, Stats, Verified, VerifyRead, Version,
    keygen, keygen_to, write_starter_config,
};
pub use provider::OwnBackup;
pub use registry::{ConnectorEntry, Context, FormatEntry, Registry};
#[cfg(any(feature = "open-export", feature = "wordpress"))]
pub use saas_backup_connectors as connectors;
pub use saas_backup_core as core;
#[cfg(feature = "declarative")]
pub use saas_backup_declarative as declarative;
#[cfg(feature = "export-api")]
pub use saas_backup_export_api as export_api;
#[cfg(feature = "_formats")]
pub use saas_backup_formats as formats;
pub use saas_backup_ops as ops;
pub use saas_backup_repository as repository;
pub use state::{LastRuns, Run};
