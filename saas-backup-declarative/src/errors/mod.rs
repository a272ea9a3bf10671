//! What an answer that refuses means, and how long to wait before the next try.

mod backoff;
mod filter;
mod handler;

pub(crate) use handler::{Action, ErrorHandler};
