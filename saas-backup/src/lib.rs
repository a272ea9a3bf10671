//! Back up SaaS accounts: connectors, repository and open formats behind one door.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builtin;
mod config;
mod registry;

pub use config::{Config, Encryption, Period, RepositoryConfig, Settings, SourceConfig, Text};
pub use registry::{ConnectorEntry, Context, FormatEntry, Registry};
pub use saas_backup_core as core;
pub use saas_backup_ops as ops;
