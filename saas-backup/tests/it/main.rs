//! The facade from outside.

mod registry;
