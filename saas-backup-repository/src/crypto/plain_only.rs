//! Stands in for age files where encryption is not compiled in.

use std::ops::Range;

use bytes::Bytes;
use saas_backup_core::{Error, ErrorKind, Result};
use secrecy::SecretString;

use super::domain::{DomainKind, Wrapping};

/// There is none.
#[derive(Clone)]
pub(crate) enum Key {}

fn without<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Unsupported, "encryption is not compiled in; switch the feature `encryption` on"))
}

pub(super) fn generate() -> Result<(SecretString, String)> {
    without()
}

pub(super) fn parse_key(_text: &str) -> Result<Key> {
    without()
}

pub(super) fn recipient_of(_key: &str) -> Result<String> {
    without()
}

pub(super) fn check_recipient(_text: &str) -> Result<()> {
    without()
}

pub(super) fn seal(_recipients: &[&str], _plain: &[u8]) -> Result<Vec<u8>> {
    without()
}

pub(super) fn wrap(_recipients: &[&str], _kind: DomainKind, _secret: &[u8]) -> Result<Vec<u8>> {
    without()
}

pub(super) fn unwrap(_key: &Key, _file: &Bytes) -> Result<(Bytes, Option<Wrapping>)> {
    without()
}

pub(super) fn sealed_size(plain: usize) -> usize {
    plain
}

pub(super) enum Sealing {}

impl Sealing {
    pub(super) fn begin(_recipients: &[&str], _out: Vec<u8>) -> Result<Self> {
        without()
    }

    pub(super) fn push(&mut self, _plain: &[u8]) -> Result<()> {
        match *self {}
    }

    pub(super) fn done(&self) -> &[u8] {
        match *self {}
    }

    pub(super) fn end(&mut self) -> Result<()> {
        match *self {}
    }

    pub(super) fn into_file(self) -> Vec<u8> {
        match self {}
    }
}

pub(super) fn open(_key: &Key, _sealed: Bytes) -> Result<Bytes> {
    without()
}

pub(super) fn head(_sealed: &[u8]) -> Result<&[u8]> {
    without()
}

pub(super) fn sealed_range(_head: usize, _size: u64, plain: &Range<u64>) -> Range<u64> {
    plain.clone()
}

pub(super) fn open_range(_: &Key, _: &[u8], _: u64, _: Bytes, _: &Range<u64>) -> Result<Bytes> {
    without()
}
