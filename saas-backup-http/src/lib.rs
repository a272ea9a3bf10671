//! HTTP for programs that run unattended: what connectors that speak it share, and whatever else calls a service.
//!
//! A [`Client`] belongs to one account of one provider. It paces requests, waits when the provider asks for it (all
//! requests of the account, not just the one that was refused), retries what is worth retrying, bounds bodies and
//! redirects, and refuses addresses that nobody allowed. Retries live here and nowhere else.
//!
//! ```no_run
//! use saas_backup_http::{Authorization, Client, ClientOptions, Request};
//! use saas_backup_core::page_items;
//!
//! # async fn example() -> saas_backup_core::Result<()> {
//! let base = "https://api.example.com/v1/".parse().expect("a valid address");
//! let options = ClientOptions::default().with_requests_per_second(5.0);
//! let client = Client::new(base, Authorization::bearer(&"token".into())?, options)?;
//! let page = client.send(Request::get(client.address("notes")?).query("limit", 100)).await?;
//! let notes = page_items(page.body(), "data")?;
//! # Ok(())
//! # }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod addresses;
mod body;
mod client;
mod download;
mod error;
mod options;
mod pacing;
mod paging;
mod redact;
mod request;
mod retry;

pub use addresses::Addresses;
pub use body::Response;
pub use client::Client;
pub use error::{Classify, Failure, classify};
pub use options::{Authorization, ClientOptions};
pub use pacing::asked_to_wait;
pub use paging::{PageGuard, next_link};
pub use redact::without_secrets;
pub use request::{Body, Request};
