//! Against a real PostgreSQL: `testing/servers up postgres`.

mod changes;
mod support;
mod transactions;
mod whole;
