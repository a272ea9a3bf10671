//! Tests of the public interface.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]

mod line;
mod pages;
mod transfer;
