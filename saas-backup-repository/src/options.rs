use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use saas_backup_core::{Clock, Error, ErrorKind, Result, SystemClock};
use secrecy::SecretString;
use url::Url;

use crate::crypto::Keys;

/// Where a repository lies and how it is opened.
///
/// ```
/// use saas_backup_repository::{Identity, Keys, RepositoryOptions};
///
/// # fn main() -> saas_backup_core::Result<()> {
/// let options = RepositoryOptions::parse("s3://bucket/backups")?
///     .with_option("region", "eu-central-1")
///     .with_keys(Keys::owner(Identity::generate()));
/// assert_eq!(options.url.scheme(), "s3");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct RepositoryOptions {
    /// `file://`, `memory://`, `s3://`, `gs://`, `az://`, or `http(s)://` for WebDAV.
    pub url: Url,
    /// Options of the storage, such as `region` or `access_key_id`; stronger than the environment. One that the
    /// storage does not know is refused.
    pub storage: BTreeMap<String, SecretString>,
    /// Whether the storage's environment variables (`AWS_…`, `GOOGLE_…`, `AZURE_…`) count. Default: yes.
    pub environment: bool,
    /// What the opener holds of the repository's keys. Default: none.
    pub keys: Keys,
    /// The promise that nobody else writes at the same time, for storage without conditional creation. Default: no.
    pub single_writer: bool,
    /// Whether the bucket keeps versions of objects, as those with object lock do: then what upkeep removes is removed in all
    /// its versions, and objects can be locked. For `s3://` alone. Default: no.
    pub versioned: bool,
    /// Tells the time of commits.
    pub clock: Arc<dyn Clock>,
}

impl RepositoryOptions {
    /// A repository at an address.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            storage: BTreeMap::new(),
            environment: true,
            keys: Keys::none(),
            single_writer: false,
            versioned: false,
            clock: Arc::new(SystemClock),
        }
    }

    /// Reads an address; what is no URL is a local folder.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if it is neither.
    pub fn parse(address: &str) -> Result<Self> {
        let wrong = || Error::new(ErrorKind::Configuration, "neither a URL nor the path of a folder");
        // A drive letter is no scheme.
        let is_url = address.split_once(':').is_some_and(|(scheme, _)| scheme.len() > 1);
        if is_url {
            return Ok(Self::new(Url::parse(address).map_err(|_| wrong())?));
        }
        if address.is_empty() {
            return Err(wrong());
        }
        let folder = std::path::absolute(address)?;
        Url::from_file_path(folder).map(Self::new).map_err(|()| wrong())
    }

    /// Sets an option of the storage.
    #[must_use]
    pub fn with_option(mut self, name: impl Into<String>, value: impl Into<SecretString>) -> Self {
        self.storage.insert(name.into(), value.into());
        self
    }

    /// Says whether the storage's environment variables count.
    #[must_use]
    pub fn with_environment(mut self, environment: bool) -> Self {
        self.environment = environment;
        self
    }

    /// Sets the keys.
    #[must_use]
    pub fn with_keys(mut self, keys: Keys) -> Self {
        self.keys = keys;
        self
    }

    /// Promises that nobody else writes at the same time.
    #[must_use]
    pub fn with_single_writer(mut self, single_writer: bool) -> Self {
        self.single_writer = single_writer;
        self
    }

    /// Says whether the bucket keeps versions of objects.
    #[must_use]
    pub fn with_versioned(mut self, versioned: bool) -> Self {
        self.versioned = versioned;
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

/// Prints neither the values of options nor what a URL may hide.
impl fmt::Debug for RepositoryOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RepositoryOptions")
            .field("scheme", &self.url.scheme())
            .field("storage", &self.storage.keys().collect::<Vec<_>>())
            .field("keys", &self.keys)
            .field("single_writer", &self.single_writer)
            .field("versioned", &self.versioned)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_folder_and_a_drive_letter_no_scheme() {
        assert_eq!(RepositoryOptions::parse("/tmp/backups").unwrap().url.as_str(), "file:///tmp/backups");
        assert_eq!(RepositoryOptions::parse("backups").unwrap().url.scheme(), "file");
        assert_eq!(RepositoryOptions::parse("memory://x").unwrap().url.scheme(), "memory");
        assert!(RepositoryOptions::parse("").is_err());
    }

    #[test]
    fn debug_shows_no_secret() {
        let options =
            RepositoryOptions::parse("https://user:hunter2@host/dav").unwrap().with_option("token", "hunter3");
        let shown = format!("{options:?}");
        assert!(!shown.contains("hunter"), "{shown}");
    }
}
