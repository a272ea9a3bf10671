use chrono::{DateTime, Utc};
use saas_backup_core::{Error, ErrorKind, Result};
use serde::Serialize;

use super::Project;

/// What a configuration comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Configured {
    /// The names of the sources.
    pub sources: Vec<String>,
    /// What `serve` would do, and when first.
    pub jobs: Vec<ConfiguredJob>,
    /// Who would be told what is wrong: the names of routes and heartbeats.
    pub alerts: Vec<String>,
    /// Other storage that would hold copies.
    pub replicas: u64,
    /// What is not wrong, and not what a person should want.
    pub warnings: Vec<String>,
}

/// Something that has a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConfiguredJob {
    /// Its name.
    pub job: String,
    /// When it would start first, if `serve` began now.
    pub starts: Option<DateTime<Utc>>,
}

impl Project {
    /// Reads everything that a configuration says, as far as that takes neither the repository nor an account: the settings of
    /// each connector and of each alert, with what stands in other files and in the answers of programs, and what drills are
    /// restored into.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] for the first thing that does not do, with the source or the alert that it belongs to.
    pub async fn configured(&self) -> Result<Configured> {
        let config = self.config();
        let mut warnings = Vec::new();
        for source in &config.sources {
            let named = |error: Error| error.with_context("source", &source.name);
            self.account(&source.name).await.map_err(named)?;
            let into = self.drill_config(&source.name).into;
            match config.sources.iter().find(|other| other.name == into) {
                Some(other) if !other.scratch => {
                    let error = Error::new(
                        ErrorKind::Configuration,
                        "drills write into this account: mark it with scratch = true if it is one for rehearsals",
                    );
                    return Err(named(error.with_context("into", into)));
                }
                Some(_) => {}
                None => drop(self.registry().find_format(&into).map_err(named)?),
            }
            if source.schedule.is_none() && !source.scratch {
                warnings.push(format!("{}: nothing backs it up by itself: it has no schedule", source.name));
            }
            if source.rpo.is_none() && !source.scratch {
                warnings.push(format!("{}: nobody is told when its copies are too old: it has no rpo", source.name));
            }
        }
        self.routes().await?;
        let alerts: Vec<String> = config.alerts.iter().map(|alert| alert.name.clone()).collect();
        if alerts.is_empty() {
            warnings.push("nobody is told what is wrong: there is no [[alert]]".to_owned());
        }
        let now = self.clock().now();
        let job = |job: saas_backup_ops::Job| {
            let starts = job.schedule.next_after(now).and_then(|due| job.schedule.starts(&job.name, due));
            ConfiguredJob { job: job.name, starts }
        };
        Ok(Configured {
            sources: config.sources.iter().map(|source| source.name.clone()).collect(),
            jobs: self.jobs().into_iter().map(job).collect(),
            alerts,
            replicas: config.replicas.len() as u64,
            warnings,
        })
    }
}
