//! Failures of the storage, classified once.

use std::error::Error as StdError;

use object_store::Error as StoreError;
use saas_backup_core::{Error, ErrorKind};

/// Neither URLs nor bodies of answers are kept: the first may carry signatures, the second anything.
pub(super) fn classify(error: &StoreError, name: &str) -> Error {
    if let Some(io) = io_cause(error) {
        return Error::from(std::io::Error::from(io.kind())).with_context("object", name);
    }
    let (kind, message) = match error {
        StoreError::NotFound { .. } => (ErrorKind::NotFound, "the storage has no such object"),
        StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } => {
            (ErrorKind::Conflict, "the storage has an object of that name already")
        }
        StoreError::PermissionDenied { .. } => {
            (ErrorKind::PermissionDenied, "the storage's credentials do not allow this")
        }
        StoreError::Unauthenticated { .. } => {
            (ErrorKind::Unauthenticated, "the storage does not accept the credentials")
        }
        StoreError::NotSupported { .. } | StoreError::NotImplemented { .. } => {
            (ErrorKind::Unsupported, "the storage cannot do this")
        }
        StoreError::UnknownConfigurationKey { .. } => (ErrorKind::Configuration, "an unknown option of the storage"),
        StoreError::InvalidPath { .. } => (ErrorKind::Configuration, "the storage does not accept the object's name"),
        _ => kind_of_status(status(error)),
    };
    let classified = Error::new(kind, message).with_context("object", name);
    match status(error) {
        Some(status) => classified.with_context("status", status),
        None => classified,
    }
}

/// What an HTTP status means.
pub(super) fn kind_of_status(status: Option<u16>) -> (ErrorKind, &'static str) {
    match status {
        Some(507 | 413) => (ErrorKind::StorageFull, "the storage is full or over quota"),
        Some(429 | 503) => (ErrorKind::RateLimited, "the storage asks to slow down"),
        Some(401) => (ErrorKind::Unauthenticated, "the storage does not accept the credentials"),
        Some(403) => (ErrorKind::PermissionDenied, "the storage's credentials do not allow this"),
        _ => (ErrorKind::Unavailable, "the storage did not answer as expected"),
    }
}

/// The failure of the file system below, if that is what it was.
pub(super) fn io_cause(error: &StoreError) -> Option<&std::io::Error> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(here) = next {
        if let Some(io) = here.downcast_ref::<std::io::Error>() {
            return Some(io);
        }
        next = here.source();
    }
    None
}

/// The HTTP status; the library tells it in words alone.
pub(super) fn status(error: &StoreError) -> Option<u16> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(here) = next {
        let text = here.to_string();
        if let Some((_, after)) = text.split_once("status code: ") {
            let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
            if let Ok(status) = digits.parse() {
                return Some(status);
            }
        }
        next = here.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(source: impl Into<Box<dyn StdError + Send + Sync>>) -> StoreError {
        StoreError::Generic { store: "S3", source: source.into() }
    }

    #[test]
    fn a_full_disk_and_a_full_bucket_are_told_apart_from_an_outage() {
        let disk = generic(std::io::Error::from(std::io::ErrorKind::StorageFull));
        assert_eq!(classify(&disk, "data/x").kind(), ErrorKind::StorageFull);
        let bucket = generic("Server returned non-2xx status code: 507: <Error/>");
        assert_eq!(classify(&bucket, "data/x").kind(), ErrorKind::StorageFull);
        assert_eq!(classify(&generic("connection reset"), "data/x").kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn neither_urls_nor_bodies_are_kept() {
        let error = generic("https://host/x?sig=SECRET Server returned non-2xx status code: 403: <Body>SECRET</Body>");
        let error = classify(&error, "data/x");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(!format!("{error} {error:?}").contains("SECRET"));
    }
}
