//! A project of the demo service, with a clock that the program moves.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use saas_backup::core::{At, Key, ManualClock, Result, SnapshotOptions};
use saas_backup::repository::RetentionPolicy;
use saas_backup::{Config, Project, RepositoryConfig, Settings, SourceConfig, Text, keygen_to};
use secrecy::ExposeSecret as _;

use crate::demo::Demo;
use crate::held;

/// The configuration that a TOML file would hold, made by the program, and its repository: the source `notes`.
///
/// # Errors
///
/// If the folder cannot be written to.
pub async fn open(
    folder: &Path,
    service: &Demo,
    clock: ManualClock,
    retention: Option<RetentionPolicy>,
) -> Result<Project> {
    let key = folder.join("me.key");
    keygen_to(&key)?;
    let mut repository = RepositoryConfig::new(folder.join("repository").display().to_string());
    repository.identity = Some(Text::File(key.display().to_string()));
    let settings = Settings::new()
        .with("url", service.url())
        .with("token", service.token().expose_secret())
        .with("allow_private_addresses", true);
    let mut config = Config::new(repository, vec![SourceConfig::new("notes", "open-export", settings)?]);
    config.state = Some(folder.join("state"));
    config.retention = retention;
    let project = Project::open(config)?.with_clock(Arc::new(clock));
    project.init().await?;
    Ok(project)
}

/// Everything that a point of `notes` holds.
///
/// # Errors
///
/// If there is no such point.
pub async fn read(project: &Project, point: u64) -> Result<BTreeMap<Key, String>> {
    let snapshot = project.copies("notes").await?.snapshot(SnapshotOptions::at(At::Sequence(point))).await?;
    held::records(&*snapshot).await
}
