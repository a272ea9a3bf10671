//! Schedules and objectives for unattended backups.
