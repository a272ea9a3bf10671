//! A store by its URL.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use object_store::memory::InMemory;
use object_store::path::Path;
use saas_backup_core::{Error, ErrorKind, Result};
use secrecy::SecretString;
use url::Url;

use super::Store;
use super::object::{Conditional, Objects};

/// What a store is opened with.
#[derive(Debug)]
#[cfg_attr(
    not(any(feature = "s3", feature = "gcs", feature = "azure", feature = "webdav")),
    expect(dead_code, reason = "what only the stores behind a network ask")
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub(crate) struct Opening<'a> {
    /// The address.
    pub(crate) url: &'a Url,
    /// The backend's own options; checked, and stronger than the environment.
    pub(crate) options: &'a BTreeMap<String, SecretString>,
    /// Whether the backend's environment variables count.
    pub(crate) environment: bool,
    /// Whether the user promises that nobody else writes.
    pub(crate) single_writer: bool,
    /// Whether the storage keeps versions of objects, and they are to be removed with them.
    pub(crate) versioned: bool,
    /// Whether a local folder may be made.
    #[cfg_attr(
        all(not(feature = "fs"), any(feature = "s3", feature = "gcs", feature = "azure", feature = "webdav")),
        expect(dead_code, reason = "what only a local folder asks")
    )]
    pub(crate) create: bool,
}

/// Opens the store of a URL.
///
/// # Errors
///
/// [`ErrorKind::Configuration`] for a scheme or an option that is not known, or whose feature is not compiled in.
pub(crate) fn open(opening: &Opening<'_>) -> Result<Arc<dyn Store>> {
    if opening.versioned && !matches!(opening.url.scheme(), "s3" | "s3a") {
        return Err(Error::new(
            ErrorKind::Configuration,
            "versions of objects are only known of s3://: leave `versioned` and locks out",
        ));
    }
    match opening.url.scheme() {
        "memory" => memory(opening),
        "file" => file(opening),
        "s3" | "s3a" => s3(opening),
        "gs" => gcs(opening),
        "az" | "azure" | "abfs" | "abfss" | "adl" => azure(opening),
        "http" | "https" => webdav(opening),
        scheme => Err(Error::new(
            ErrorKind::Configuration,
            "an unknown kind of storage; known are file, memory, s3, gs, az and http(s) for WebDAV",
        )
        .with_context("scheme", scheme)),
    }
}

/// A named memory store is the same one for the whole process; one without a name is its opener's own.
static MEMORY: LazyLock<Mutex<HashMap<String, Arc<InMemory>>>> = LazyLock::new(Mutex::default);

fn memory(opening: &Opening<'_>) -> Result<Arc<dyn Store>> {
    no_options(opening)?;
    let name = format!("{}{}", opening.url.host_str().unwrap_or_default(), opening.url.path());
    let store = match name.trim_matches('/') {
        "" => Arc::new(InMemory::new()),
        name => {
            let mut stores = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(stores.entry(name.to_owned()).or_default())
        }
    };
    Ok(Arc::new(Objects::new(store, Path::default(), Conditional::Native)))
}

#[cfg(feature = "fs")]
fn file(opening: &Opening<'_>) -> Result<Arc<dyn Store>> {
    use object_store::local::LocalFileSystem;

    no_options(opening)?;
    let folder = opening
        .url
        .to_file_path()
        .map_err(|()| Error::new(ErrorKind::Configuration, "the URL does not name a local folder"))?;
    if opening.create {
        std::fs::create_dir_all(&folder)?;
    }
    let store = LocalFileSystem::new_with_prefix(&folder)
        .map_err(|error| super::error::classify(&error, "repo.json"))?
        .with_fsync(true);
    // Reading needs no links, and a folder that cannot be written is still read.
    let links = super::local::has_hard_links(&folder).unwrap_or(true);
    let conditional = if links { Conditional::Native } else { Conditional::Exclusive(folder) };
    Ok(Arc::new(Objects::new(Arc::new(store), Path::default(), conditional)))
}

#[cfg(not(feature = "fs"))]
fn file(_opening: &Opening<'_>) -> Result<Arc<dyn Store>> {
    Err(without("fs"))
}

#[cfg(feature = "s3")]
fn s3(opening: &Opening<'_>) -> Result<Arc<dyn Store>> {
    use http::HeaderValue;
    use object_store::ClientOptions;
    use object_store::aws::{AmazonS3Builder, Checksum};

    use super::error::classify;
    use super::versions::{ALGORITHM, SharedClient, Versions};

    let client = SharedClient::default();
    let built = |checked: bool| {
        let mut builder = AmazonS3Builder::new().with_url(opening.url.as_str()).with_retry(cloud::retry());
        if opening.versioned {
            builder = builder.with_http_connector(client.clone());
        }
        if checked {
            let headers = [(ALGORITHM, HeaderValue::from_static("SHA256"))].into_iter().collect();
            let options = ClientOptions::new().with_default_headers(headers);
            builder = builder.with_client_options(options).with_checksum_algorithm(Checksum::SHA256);
        }
        cloud::configure(opening, "AWS_", builder, AmazonS3Builder::with_config).map(AmazonS3Builder::build)
    };
    let store = built(false)?;
    let versions =
        store.as_ref().ok().filter(|_| opening.versioned).and_then(|store| Versions::new(store.clone(), &client));
    let objects = cloud::finish(opening, store, conditional(opening))?.with_versions(versions);
    if !opening.versioned {
        return Ok(Arc::new(objects));
    }
    // Where a bucket locks by default, S3 takes no object without a checksum, and wants it announced by a header that
    // requests without content may not bear.
    let uploads = built(true)?.map_err(|error| classify(&error, "repo.json"))?;
    Ok(Arc::new(objects.with_uploads(Arc::new(uploads))))
}

#[cfg(not(feature = "s3"))]
fn s3(_opening: &Opening<'_>) -> Result<Arc<dyn Store>> {
    Err(without("s3"))
}

#[cfg(feature = "gcs")]
fn gcs(opening: &Opening<'_>) -> Result<Arc<dyn Store>> {
    use object_store::gcp::GoogleCloudStorageBuilder;

    let builder = GoogleCloudStorageBuilder::new().with_url(opening.url.as_str()).with_retry(cloud::retry());
    let builder = cloud::configure(opening, "GOOGLE_", builder, GoogleCloudStorageBuilder::with_config)?;
    Ok(Arc::new(cloud::finish(opening, builder.build(), conditional(opening))?))
}

#[cfg(not(feature = "gcs"))]
fn gcs(_opening: &Opening<'_>) -> Result<Arc<dyn Store>> {
    Err(without("gcs"))
}

#[cfg(feature = "azure")]
fn azure(opening: &Opening<'_>) -> Result<Arc<dyn Store>> {
    use object_store::azure::MicrosoftAzureBuilder;

    let builder = MicrosoftAzureBuilder::new().with_url(opening.url.as_str()).with_retry(cloud::retry());
    let builder = cloud::configure(opening, "AZURE_", builder, MicrosoftAzureBuilder::with_config)?;
    Ok(Arc::new(cloud::finish(opening, builder.build(), conditional(opening))?))
}

#[cfg(not(feature = "azure"))]
fn azure(_opening: &Opening<'_>) -> Result<Arc<dyn Store>> {
    Err(without("azure"))
}

#[cfg(feature = "webdav")]
fn webdav(opening: &Opening<'_>) -> Result<Arc<dyn Store>> {
    use object_store::http::HttpBuilder;

    if !opening.single_writer {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "WebDAV has no conditional creation; promise a single writer to use it",
        ));
    }
    let origin = &opening.url[..url::Position::BeforePath];
    let builder = HttpBuilder::new().with_url(origin).with_retry(cloud::retry());
    let builder = cloud::configure(opening, "", builder, HttpBuilder::with_config)?;
    Ok(Arc::new(cloud::finish(opening, builder.build(), Conditional::Promised)?))
}

#[cfg(not(feature = "webdav"))]
fn webdav(_opening: &Opening<'_>) -> Result<Arc<dyn Store>> {
    Err(without("webdav"))
}

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure", feature = "webdav"))]
mod cloud {
    use std::str::FromStr;
    use std::time::Duration;

    use object_store::{BackoffConfig, ObjectStore, RetryConfig};
    use secrecy::ExposeSecret as _;

    use super::{Arc, Conditional, Error, ErrorKind, Objects, Opening, Path, Result};

    /// A backup outlives an outage of minutes: the library's own limit is three.
    pub(super) fn retry() -> RetryConfig {
        RetryConfig { backoff: BackoffConfig::default(), max_retries: 12, retry_timeout: Duration::from_mins(10) }
    }

    /// Applies the environment's variables that begin with `prefix`, and then the options, each checked.
    pub(super) fn configure<B, K: FromStr>(
        opening: &Opening<'_>,
        prefix: &str,
        mut builder: B,
        set: impl Fn(B, K, String) -> B,
    ) -> Result<B> {
        if opening.environment && !prefix.is_empty() {
            let mut variables: Vec<_> = std::env::vars().filter(|(name, _)| name.starts_with(prefix)).collect();
            variables.sort();
            for (name, value) in variables {
                // Other programs' variables share the prefix; only an option that somebody set here must be known.
                if let Ok(key) = name.to_ascii_lowercase().parse() {
                    builder = set(builder, key, value);
                }
            }
        }
        for (name, value) in opening.options {
            let key = name.to_ascii_lowercase().parse().map_err(|_| super::unknown(name))?;
            builder = set(builder, key, value.expose_secret().to_owned());
        }
        Ok(builder)
    }

    pub(super) fn finish<S: ObjectStore>(
        opening: &Opening<'_>,
        built: object_store::Result<S>,
        conditional: Conditional,
    ) -> Result<Objects> {
        // The builder's own message may quote what it was given.
        let store = built.map_err(|_| {
            Error::new(ErrorKind::Configuration, "the storage's options are incomplete or contradict each other")
                .with_context("scheme", opening.url.scheme())
        })?;
        let prefix = Path::from_url_path(opening.url.path())
            .map_err(|_| Error::new(ErrorKind::Configuration, "the URL's path is not one of an object"))?;
        Ok(Objects::new(Arc::new(store), prefix, conditional))
    }
}

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
fn conditional(opening: &Opening<'_>) -> Conditional {
    if opening.single_writer { Conditional::Promised } else { Conditional::Native }
}

fn no_options(opening: &Opening<'_>) -> Result<()> {
    match opening.options.keys().next() {
        None => Ok(()),
        Some(name) => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Error {
    Error::new(ErrorKind::Configuration, "an unknown option of the storage").with_context("option", name)
}

#[cfg(not(all(feature = "fs", feature = "s3", feature = "gcs", feature = "azure", feature = "webdav")))]
fn without(feature: &'static str) -> Error {
    Error::new(ErrorKind::Configuration, "this kind of storage is not compiled in; switch its feature on")
        .with_context("feature", feature)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening<'a>(url: &'a Url, options: &'a BTreeMap<String, SecretString>) -> Opening<'a> {
        Opening { url, options, environment: false, single_writer: false, versioned: false, create: true }
    }

    fn refusal(url: &str, options: &[(&str, &str)]) -> Error {
        let url = Url::parse(url).unwrap();
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), SecretString::from(*value))).collect();
        open(&opening(&url, &options)).unwrap_err()
    }

    #[test]
    fn an_unknown_option_is_refused_and_its_value_not_shown() {
        let error = refusal("memory://x", &[("acces_key", "hunter2")]);
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("acces_key") && !format!("{error:?}").contains("hunter2"));
    }

    #[cfg(feature = "s3")]
    #[test]
    fn an_unknown_option_of_a_cloud_store_is_refused() {
        assert!(refusal("s3://bucket/x", &[("regoin", "eu")]).to_string().contains("regoin"));
    }

    #[test]
    fn an_unknown_scheme_is_refused() {
        assert_eq!(refusal("ftp://host/x", &[]).kind(), ErrorKind::Configuration);
    }

    #[tokio::test]
    async fn a_named_memory_store_is_shared_and_an_unnamed_one_is_not() {
        let options = BTreeMap::new();
        for (url, shared) in [("memory://shared-test", true), ("memory:///", false)] {
            let url = Url::parse(url).unwrap();
            let one = open(&opening(&url, &options)).unwrap();
            let two = open(&opening(&url, &options)).unwrap();
            one.put("a", bytes::Bytes::from_static(b"1")).await.unwrap();
            assert_eq!(two.get("a", None).await.is_ok(), shared);
        }
    }
}
