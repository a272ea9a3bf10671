//! Which points in time are kept, and why; `docs/retention.md` tells it in prose.

mod decide;
mod interval;
mod plan;
mod policy;
#[cfg(test)]
mod tests;
mod times;

pub use self::interval::RetentionInterval;
pub use self::plan::{RetentionDecision, RetentionPlan, RetentionReason, RetentionWarning};
pub use self::policy::RetentionPolicy;
