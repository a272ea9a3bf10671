//! Connectors to provider accounts and data stores.
