//! Programs that people use as scripts.
