//! What connectors, sinks and the engine are tested with; behind the feature `testkit`.
//!
//! - [`connector`], [`snapshot()`] and [`sink()`]: conformance checks, driven by what the capabilities claim.
//! - [`Model`]: the cursor rules as a property, lived by the real engine between a moving source and a target.
//! - [`FakeProvider`]: a scriptable provider in memory, the source that misbehaves on demand.
//! - [`FaultySink`]: a target that breaks off on demand.
//! - [`Contents`] and [`assert_same`]: what a snapshot holds, and how two of them differ.
//! - [`sample_records`] and [`sample_blob`]: data that a careless store damages.

mod compare;
mod conformance;
mod fake;
mod faulty;
mod model;
mod random;
mod sample;

pub use compare::{Contents, assert_same};
pub use conformance::{Check, CheckResult, Report, connector, sink, snapshot};
pub use fake::{FakeProvider, Request, Rule, Transaction};
pub use faulty::FaultySink;
pub use model::{Model, Mutant};
pub use random::Random;
pub use sample::{NASTY_IDS, NASTY_JSON, sample_blob, sample_collection, sample_records};
