//! Posture: from a report to a verdict.

mod appraisal;
pub(crate) mod audit;
mod complete;
mod ima;
mod judgement;
mod quoted;
mod receive;
mod sample;

pub(crate) use appraisal::{Shown, appraise, lease_selection};
pub use complete::{Complete, Incomplete};
pub use ima::ImaState;
pub(crate) use judgement::{
    Judgement, accepted_fact, boot_state, judge, raise_high_water, record_verdict, told_area, told_areas,
    told_result,
};
pub(crate) use quoted::{Quoted, pcr_values};
pub(crate) use receive::receive;
pub use sample::Sample;
pub(crate) use sample::keep as keep_sample;

#[cfg(test)]
mod tests;
