use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use saas_backup_core::{Clock, Error, ErrorKind, Result};

use crate::config::Config;
use crate::crypto::{Keyring, Keys, Recipient, RootKey};
use crate::layout::{Loader, Trust};
use crate::object::{Names, check_source_name};
use crate::options::RepositoryOptions;
use crate::read::Access;
use crate::roles::{Roles, refresh};
use crate::source::{Shared, Source};
use crate::store::{self, Opening, Store};
use crate::writers;

/// A durable store of any number of sources on any object store.
///
/// ```
/// use saas_backup_repository::{Repository, RepositoryOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> saas_backup_core::Result<()> {
/// let repository = Repository::init(RepositoryOptions::parse("memory://doc-example")?).await?;
/// let blog = repository.source("blog")?;
/// assert!(blog.points().await?.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Repository {
    store: Arc<dyn Store>,
    config: Arc<Config>,
    keys: Keys,
    trust: Arc<Trust>,
    clock: Arc<dyn Clock>,
    sources: Arc<Mutex<HashMap<String, Source>>>,
}

impl Repository {
    /// Makes a repository and opens it: encrypted if the keys hold an identity, else not.
    ///
    /// Proves first that the storage honours conditional creation, unless a single writer is promised.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if there is one already; [`ErrorKind::Unsupported`] if the storage does not honour
    /// conditional creation; [`ErrorKind::Configuration`] for an unknown scheme or option, or keys without an identity.
    pub async fn init(options: RepositoryOptions) -> Result<Self> {
        let store = open_store(&options, true).await?;
        Self::init_on(store, options).await
    }

    /// Opens a repository. Reads two objects, and lists one folder. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is none; [`ErrorKind::PermissionDenied`] if the identity is not one of those who
    /// read, or not any more;
    /// [`ErrorKind::UnsupportedVersion`] if it is newer than this version; [`ErrorKind::Integrity`] if `repo.json` was
    /// changed or the owner is not the pinned one.
    pub async fn open(options: RepositoryOptions) -> Result<Self> {
        let store = open_store(&options, false).await?;
        Self::open_on(store, options).await
    }

    /// As [`init`](Self::init), on storage of the caller's own; the options' URL does not count.
    pub async fn init_on(store: Arc<dyn Store>, options: RepositoryOptions) -> Result<Self> {
        if store.size("repo.json").await.is_ok() {
            return Err(Error::new(ErrorKind::Conflict, "there is a repository already"));
        }
        if !options.single_writer {
            store::probe(&*store).await?;
        }
        let config = Config::new(&options.keys, options.clock.now())?;
        if let Some(identity) = &options.keys.identity {
            let owner = identity.signer();
            writers::add_writer(&*store, &owner, &identity.as_agent(), true).await?;
            if let Some(agent) = &options.keys.agent {
                writers::add_writer(&*store, &owner, agent, false).await?;
            }
        }
        // Last, because it is what makes the rest a repository.
        config.create(&*store, options.keys.identity.as_ref()).await?;
        Self::open_on(store, options).await
    }

    /// As [`open`](Self::open), on storage of the caller's own; the options' URL does not count.
    pub async fn open_on(store: Arc<dyn Store>, options: RepositoryOptions) -> Result<Self> {
        let config = Config::read(&*store, &options.keys).await?;
        let trust = Arc::new(Trust::new(config.root_key()?));
        trust.set_roles(Roles::first(config.recipients.clone()));
        let roles = refresh(&*store, &config.id, &trust).await?;
        if let Some(identity) = &options.keys.identity
            && !roles.recipients.is_empty()
            && !roles.reads(identity.recipient())
        {
            let was = config.recipients.iter().any(|one| one == identity.recipient().as_str());
            let refused = if was {
                "the identity is not an owner's of this repository any more"
            } else {
                "the identity is not an owner's of this repository"
            };
            return Err(Error::new(ErrorKind::PermissionDenied, refused));
        }
        Ok(Self {
            store,
            config: Arc::new(config),
            keys: options.keys,
            trust,
            clock: options.clock,
            sources: Arc::default(),
        })
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn made(&self) -> DateTime<Utc> {
        self.config.created
    }

    /// A source that nothing was read of yet.
    pub(crate) fn unread(&self, name: &str) -> Source {
        self.build(name)
    }

    /// Its own name: a ULID.
    pub fn id(&self) -> &str {
        &self.config.id
    }

    /// Whether its objects are encrypted.
    pub fn is_encrypted(&self) -> bool {
        !self.config.recipients.is_empty()
    }

    /// The owner's public key: what a writer without an identity should pin.
    pub fn root_key(&self) -> Option<RootKey> {
        self.trust.root().copied()
    }

    /// The public keys that its data is encrypted to, as the owner stated it last.
    pub fn recipients(&self) -> Result<Vec<Recipient>> {
        self.trust.roles().recipients.iter().map(|text| Recipient::parse(text)).collect()
    }

    /// The number of the owner's newest statement of who reads and writes; 0 if nothing was stated since it was made. Who
    /// keeps it elsewhere notices if somebody removes the newest statements.
    pub fn statement(&self) -> u64 {
        self.trust.roles().number
    }

    /// A source by its name; one that was never written to is empty.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] unless the name is 1 to 64 lower-case letters, digits, `-`, `_` or `.`, and begins
    /// with a letter or a digit.
    pub fn source(&self, name: &str) -> Result<Source> {
        check_source_name(name)?;
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sources.get(name) {
            return Ok(known.clone());
        }
        let source = self.build(name);
        sources.insert(name.to_owned(), source.clone());
        Ok(source)
    }

    fn build(&self, name: &str) -> Source {
        let names = Names::new(name, self.is_encrypted(), Arc::clone(&self.clock));
        let (store, encrypted) = (Arc::clone(&self.store), self.is_encrypted());
        let keyring = Arc::new(Keyring::new(store, names.keys(), self.keys.clone(), encrypted));
        let loader = Loader {
            store: Arc::clone(&self.store),
            names: names.clone(),
            trust: Arc::clone(&self.trust),
            repository: self.config.id.clone(),
            source: name.to_owned(),
        };
        Source {
            shared: Arc::new(Shared {
                repository: self.config.id.clone(),
                name: name.to_owned(),
                store: Arc::clone(&self.store),
                access: Arc::new(Access::new(Arc::clone(&self.store), Arc::clone(&keyring))),
                names,
                keys: self.keys.clone(),
                keyring,
                loader,
                clock: Arc::clone(&self.clock),
                flush_bytes: Source::flush_bytes(),
                labels: Vec::new(),
                history: false,
                map: Arc::default(),
                session: Arc::default(),
            }),
        }
    }

    /// The names of all sources, sorted. Lists the whole repository. Cancel safe.
    pub async fn sources(&self) -> Result<Vec<String>> {
        let names: BTreeSet<String> = self
            .store
            .list("source", None)
            .try_filter_map(|entry| async move {
                let name = entry.name.strip_prefix("source/").and_then(|rest| rest.split('/').next());
                Ok(name.map(str::to_owned))
            })
            .try_collect()
            .await?;
        Ok(names.into_iter().collect())
    }
}

pub(crate) async fn open_store(options: &RepositoryOptions, create: bool) -> Result<Arc<dyn Store>> {
    let options = options.clone();
    crate::read::blocking(move || {
        store::open(&Opening {
            url: &options.url,
            options: &options.storage,
            environment: options.environment,
            single_writer: options.single_writer,
            versioned: options.versioned,
            create,
        })
    })
    .await
}
