//! Who asks, and for which account.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use saas_backup_core::{CollectionName, Digest, Error, ErrorKind, Result, async_trait};
use secrecy::{ExposeSecret as _, SecretString};

use crate::ProblemDetails;

/// Longest account id, in bytes.
const MAX_ACCOUNT_BYTES: usize = 256;

/// One exportable account: a workspace, a tenant, a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(Arc<str>);

impl AccountId {
    /// Checks the text: 1 to 256 bytes without control characters.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] for any other text.
    pub fn parse(text: impl AsRef<str>) -> Result<Self> {
        let text = text.as_ref();
        if text.is_empty() || text.len() > MAX_ACCOUNT_BYTES || text.chars().any(char::is_control) {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "an account id has 1 to 256 bytes and no control characters",
            ));
        }
        Ok(Self(Arc::from(text)))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a token is good for; the OAuth scopes of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// `export.read`: every collection, those of tomorrow too.
    Read,
    /// `export.read:<collection>`: one collection.
    ReadCollection(CollectionName),
    /// `export.blobs`: the bytes of attachments.
    Blobs,
    /// `export.erasures`: what is to be erased, and the receipts.
    Erasures,
    /// `export.import`: writing records back.
    Import,
}

impl Scope {
    /// Reads the text of a scope; `None` for one that the protocol does not have.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "export.read" => Some(Self::Read),
            "export.blobs" => Some(Self::Blobs),
            "export.erasures" => Some(Self::Erasures),
            "export.import" => Some(Self::Import),
            _ => {
                let name = text.strip_prefix("export.read:")?;
                CollectionName::parse(name).ok().map(Self::ReadCollection)
            }
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read => formatter.write_str("export.read"),
            Self::ReadCollection(name) => write!(formatter, "export.read:{name}"),
            Self::Blobs => formatter.write_str("export.blobs"),
            Self::Erasures => formatter.write_str("export.erasures"),
            Self::Import => formatter.write_str("export.import"),
        }
    }
}

/// Whom a bearer token speaks for: a service account or a person, and the accounts that it may export.
///
/// An account that is not listed here and one that does not exist are answered alike.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Principal {
    /// A stable name: limits are counted by it. Never a secret.
    pub id: String,
    /// The accounts that it may export.
    pub accounts: BTreeSet<AccountId>,
    /// What it may do there. Default: read everything.
    pub scopes: BTreeSet<Scope>,
}

impl Principal {
    /// A principal that may read everything, once it has an account.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), accounts: BTreeSet::new(), scopes: [Scope::Read, Scope::Blobs].into() }
    }

    /// Replaces what it may do by these scopes alone.
    #[must_use]
    pub fn with_scopes(mut self, scopes: impl IntoIterator<Item = Scope>) -> Self {
        self.scopes = scopes.into_iter().collect();
        self
    }

    /// Adds an account that it may export.
    #[must_use]
    pub fn with_account(mut self, account: AccountId) -> Self {
        self.accounts.insert(account);
        self
    }
}

/// A request that was let in: who asks, and for which account.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// Who asks.
    pub principal: Principal,
    /// Which account; one of the principal's.
    pub account: AccountId,
}

impl Grant {
    /// Lets a principal into one of its accounts; `None` if the account is not its own.
    pub fn new(principal: Principal, account: AccountId) -> Option<Self> {
        principal.accounts.contains(&account).then_some(Self { principal, account })
    }

    /// Whether its scopes allow to read a collection.
    pub fn reads(&self, collection: &CollectionName) -> bool {
        let scopes = &self.principal.scopes;
        scopes.contains(&Scope::Read) || scopes.contains(&Scope::ReadCollection(collection.clone()))
    }

    /// Refuses a request that a scope is missing for.
    pub(crate) fn needs(&self, scope: &Scope) -> Result<(), ProblemDetails> {
        if self.principal.scopes.contains(scope) { Ok(()) } else { Err(ProblemDetails::insufficient_scope(scope)) }
    }
}

/// Tells whom a bearer token speaks for; the vendor's own token check stands behind it.
#[async_trait]
pub trait Authenticator: fmt::Debug + Send + Sync + 'static {
    /// Looks a token up. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unauthenticated`] if the token is unknown, expired or revoked.
    async fn authenticate(&self, token: &SecretString) -> Result<Principal>;
}

/// A fixed set of tokens, for tests, demonstrations and vendors with a handful of customers.
///
/// It keeps digests and compares those: neither a dump of the memory nor the time of an answer tells a token.
#[derive(Clone, Debug, Default)]
pub struct StaticTokens(BTreeMap<Digest, Principal>);

impl StaticTokens {
    /// Adds a token.
    #[must_use]
    pub fn with(mut self, token: &SecretString, principal: Principal) -> Self {
        self.0.insert(Digest::of(token.expose_secret().as_bytes()), principal);
        self
    }
}

#[async_trait]
impl Authenticator for StaticTokens {
    async fn authenticate(&self, token: &SecretString) -> Result<Principal> {
        let digest = Digest::of(token.expose_secret().as_bytes());
        self.0.get(&digest).cloned().ok_or_else(|| Error::new(ErrorKind::Unauthenticated, "the token is not known"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_enters_only_its_own_accounts() {
        let (own, other) = (AccountId::parse("ws_1").unwrap(), AccountId::parse("ws_2").unwrap());
        let principal = Principal::new("backup").with_account(own.clone());
        assert!(Grant::new(principal.clone(), own).is_some());
        assert!(Grant::new(principal, other).is_none());
    }

    #[test]
    fn scopes_are_those_of_the_protocol() {
        for text in ["export.read", "export.read:notes", "export.blobs", "export.erasures", "export.import"] {
            assert_eq!(Scope::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "export", "export.write", "export.read:", "EXPORT.READ"] {
            assert_eq!(Scope::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_grant_reads_what_its_scopes_name() {
        let (account, notes) = (AccountId::parse("ws_1").unwrap(), CollectionName::from_static("notes"));
        let of = |scopes: &[Scope]| {
            let principal = Principal::new("backup").with_account(account.clone()).with_scopes(scopes.iter().cloned());
            Grant::new(principal, account.clone()).unwrap()
        };
        assert!(of(&[Scope::Read]).reads(&notes));
        assert!(of(&[Scope::ReadCollection(notes.clone())]).reads(&notes));
        assert!(!of(&[Scope::ReadCollection(CollectionName::from_static("users")), Scope::Blobs]).reads(&notes));
        assert_eq!(of(&[Scope::Read]).needs(&Scope::Blobs).unwrap_err().status, 403);
    }

    #[tokio::test]
    async fn tokens_are_told_apart_and_not_printed() {
        let tokens = StaticTokens::default().with(&"tok_alpha".into(), Principal::new("alpha"));
        assert_eq!(tokens.authenticate(&"tok_alpha".into()).await.unwrap().id, "alpha");
        assert_eq!(tokens.authenticate(&"tok_beta".into()).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
        assert!(!format!("{tokens:?}").contains("tok_alpha"));
    }
}
