//! What is asked, how it is sent, and what an answer means.

mod address;
mod answer;
mod cache;
mod inputs;
mod option;
mod properties;
mod requester;
mod send;
mod transport;

pub(crate) use answer::{Answer, empty, headers_value};
pub(crate) use cache::Cache;
pub(crate) use option::{Parts, RequestOption, to_json};
pub(crate) use properties::QueryProperties;
pub(crate) use requester::Requester;
pub(crate) use send::is_ignored;
pub(crate) use transport::{HttpTransport, Outgoing, Transport};
