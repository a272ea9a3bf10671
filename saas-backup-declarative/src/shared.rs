use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use saas_backup_core::{Clock, Error, ErrorKind, Result};
use url::Url;

use crate::request::{Cache, Transport};
use crate::template::{Scope, Value};

/// What all collections of one snapshot share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The settings, as templates see them.
    pub(crate) config: Value,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) cache: Cache,
    pub(crate) hosts: Hosts,
    pub(crate) settings: Arc<dyn KeepSetting>,
    /// What was replaced in the settings since: refresh tokens.
    pub(crate) replaced: Mutex<Option<Value>>,
}

/// Where a setting that a provider replaced is kept.
pub(crate) trait KeepSetting: std::fmt::Debug + Send + Sync {
    /// Keeps it; durable when this returns. Gives the settings as they are now.
    fn keep(&self, path: &[String], value: &str) -> Result<Value>;
}

impl Shared {
    pub(crate) fn scope(&self) -> Scope {
        Scope::new(Arc::clone(&self.clock)).with("config", self.config()).with("parameters", crate::request::empty())
    }

    /// The settings as they are now.
    pub(crate) fn config(&self) -> Value {
        self.replaced.lock().unwrap_or_else(PoisonError::into_inner).as_ref().unwrap_or(&self.config).clone()
    }

    pub(crate) fn keep_setting(&self, path: &[String], value: &str) -> Result<()> {
        let config = self.settings.keep(path, value)?;
        *self.replaced.lock().unwrap_or_else(PoisonError::into_inner) = Some(config);
        Ok(())
    }

    /// Refuses an address on a host that the manifest does not name: a link in an answer may be anybody's, and the
    /// request carries the account's credentials.
    pub(crate) fn check_host(&self, url: &Url, base: &str) -> Result<()> {
        let home = base.trim().parse::<Url>().ok();
        let same = home.is_some_and(|home| home.host() == url.host());
        if same || url.host_str().is_some_and(|host| self.hosts.allow(host)) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::PermissionDenied,
            "an answer leads to a host that the manifest does not name: add it to `hosts`, if it is the provider's",
        )
        .with_context("host", url.host_str().unwrap_or_default()))
    }
}

/// Which hosts requests may go to, besides those that the manifest names.
#[derive(Debug)]
pub(crate) enum Hosts {
    /// A recording answers, whoever is asked.
    #[cfg(feature = "replay")]
    Any,
    These(BTreeSet<String>),
}

impl Hosts {
    fn allow(&self, host: &str) -> bool {
        match self {
            #[cfg(feature = "replay")]
            Self::Any => true,
            Self::These(known) => known.contains(host),
        }
    }
}
