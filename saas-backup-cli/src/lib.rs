//! The saas-backup command.
