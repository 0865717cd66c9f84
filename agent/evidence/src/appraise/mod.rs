//! The judgement on a device's evidence.
//!
//! Every rule looks at all the evidence and gives its reasons; the worst of them is the result. What no rule
//! and no reference value provides for is refused. There are two sets of rules: under a [`policy`] what was booted
//! is judged event by event, and without one the PCRs must have exactly the values of an accepted state.

mod coverage;
mod evidence;
pub mod policy;
mod reason;
mod reference;
mod replayed;
mod rules;
mod tpm_time;

pub use coverage::{BootCoverage, Uncovered};
pub use evidence::{BootLog, Evidence, ImaLog, NvPcrs};
pub use reason::{Appraisal, Area, Reason, Verdict};
pub use reference::{BootLogRule, BootState, INITRD_PCR, INITRD_STAND_INS, ReferenceValues};
pub use replayed::{Foretold, before_user_space, foretell};
pub use tpm_time::{CLOCK_SAVE_INTERVAL_MS, HighWater, TpmTime};

/// Appraises evidence against reference values.
pub fn appraise(evidence: &Evidence<'_>, reference: &ReferenceValues) -> Appraisal {
    let mut reasons = rules::always(evidence, reference);
    reasons.extend(match &reference.policy {
        Some(policy) => policy::judge(policy, evidence, reference),
        None => rules::without_policy(evidence, reference),
    });
    Appraisal::new(reasons)
}
