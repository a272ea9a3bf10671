//! What the project promises about speed.
