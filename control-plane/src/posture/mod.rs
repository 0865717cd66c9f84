//! Posture: from a report to a verdict.

pub(crate) mod audit;
mod complete;
mod ima;
mod judgement;
mod quoted;
mod receive;

pub use complete::{Complete, Incomplete};
pub use ima::ImaState;
pub(crate) use judgement::{Judgement, accepted_fact, boot_state, judge, raise_high_water, record_verdict};
pub(crate) use quoted::Quoted;
pub(crate) use receive::receive;

#[cfg(test)]
mod tests;
