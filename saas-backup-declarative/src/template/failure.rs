use saas_backup_core::{Error, ErrorKind};

/// Why an evaluation ended. The framework treats the first two in ways of their own.
#[derive(Debug)]
pub(super) enum Failure {
    /// Something that is not there was used.
    Undefined,
    /// A value of the wrong type was used.
    Type,
    Other(Box<Error>),
}

pub(super) type Outcome<T> = Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(Box::new(error))
    }
}

/// A template that asks for what cannot be.
pub(super) fn wrong(message: &'static str) -> Failure {
    Error::new(ErrorKind::Configuration, message).into()
}

pub(super) fn exceeded(message: &'static str, limit: usize) -> Failure {
    Error::new(ErrorKind::LimitExceeded, message).with_context("limit", limit).into()
}
