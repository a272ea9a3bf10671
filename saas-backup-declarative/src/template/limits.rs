//! Bounds on what a foreign template may cost.

use super::failure::{Outcome, exceeded};

/// The longest template, in bytes.
pub(super) const MAX_TEMPLATE: usize = 256 << 10;
/// How deep expressions, blocks and literals may nest.
pub(super) const MAX_DEPTH: usize = 64;
/// How many operators, members and filters one expression may chain.
pub(super) const MAX_LINKS: usize = 256;
/// The longest text that a template may make, in bytes.
pub(super) const MAX_OUTPUT: usize = 1 << 20;
/// The longest regular expression, in bytes.
pub(super) const MAX_PATTERN: usize = 4 << 10;
/// How many steps one evaluation may take.
const MAX_STEPS: usize = 1_000_000;

/// What one evaluation has left.
#[derive(Debug)]
pub(super) struct Fuel(usize);

impl Default for Fuel {
    fn default() -> Self {
        Self(MAX_STEPS)
    }
}

impl Fuel {
    pub(super) fn burn(&mut self, steps: usize) -> Outcome<()> {
        match self.0.checked_sub(steps) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => Err(exceeded("a template takes too many steps", MAX_STEPS)),
        }
    }
}

/// Refuses a text that is too long to go on with.
pub(super) fn held(length: usize) -> Outcome<()> {
    if length > MAX_OUTPUT { Err(exceeded("a template makes too much text", MAX_OUTPUT)) } else { Ok(()) }
}
