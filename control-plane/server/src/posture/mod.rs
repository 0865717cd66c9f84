//! Posture: from a report to a verdict.

mod appraisal;
pub(crate) mod audit;
mod complete;
mod ima;
mod judgement;
mod lease_pcrs;
mod measured;
mod quoted;
mod receive;
mod sample;

pub(crate) use appraisal::{Shown, appraise};
pub use complete::{Complete, Incomplete};
pub use ima::ImaState;
pub(crate) use judgement::{
    Judgement, accepted_fact, judge, raise_high_water, record_verdict, told_area, told_areas, told_result,
};
pub(crate) use lease_pcrs::{LeasePcrs, check_coverage};
pub use measured::MeasuredState;
pub(crate) use quoted::{Quoted, bank_hash, pcr_values, quoted_values};
pub(crate) use receive::receive;
pub use sample::Sample;
pub(crate) use sample::keep as keep_sample;

#[cfg(test)]
mod lease_pcrs_tests;
#[cfg(test)]
mod tests;
