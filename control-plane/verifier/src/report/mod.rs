//! Appraises reports: verifies the quote, completes the evidence from the previous report, and appraises it.

mod appraisal;
mod complete;
mod decide;
mod ima;
mod judgement;
mod kept;
mod measure_log;
mod quoted;

#[cfg(test)]
mod tests;

pub use appraisal::{AppraisalContext, Appraised};
pub use appraisal::{AppraisalInput, appraise};
pub use complete::{CompleteError, CompleteReport};
pub use decide::{ReportBasis, ReportDecision, ReportError, ReportOutcome, Terms, appraise_report};
pub use ima::ImaState;
pub use judgement::{Judgement, judge, verdict_fact};
pub use kept::{KeptEvidence, KeptEvidenceError};
pub use measure_log::MeasureLogState;
pub use quoted::{QuotedError, QuotedEvidence, bank, bank_hash, pcr_values, quoted_values};
