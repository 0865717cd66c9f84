//! Appraises a device's evidence.
//!
//! Every rule examines all of the evidence and returns reasons; the worst reason decides the result. Evidence that no
//! rule and no reference value allows is refused. There are two sets of rules: under a [`policy`] each event of the
//! boot needs an explanation; without one the PCRs must equal an accepted state.

mod boot;
mod boot_log;
mod coverage;
mod evidence;
mod judge;
mod learn;
pub mod policy;
mod reason;
mod rules;
mod tpm_time;

pub use boot::{Foretold, before_user_space, foretell};
pub use coverage::{BootCoverage, Uncovered};
pub use evidence::{
    AppraisedEvidence, BootLogRule, BootState, INITRD_PCR, INITRD_STAND_INS, ImaProgress, NvPcrs,
    ReferenceValues,
};
pub use pawl_proto::message::{Area, TrustTier};
pub use reason::{AttestationResult, Reason};
pub use tpm_time::{CLOCK_SAVE_INTERVAL_MS, HighWater, TpmTime};

/// Appraises evidence against reference values.
pub fn appraise(evidence: &AppraisedEvidence<'_>, reference: &ReferenceValues) -> AttestationResult {
    let mut reasons = rules::always(evidence, reference);
    reasons.extend(match &reference.policy {
        Some(policy) => judge::judge(policy, evidence, reference),
        None => rules::without_policy(evidence, reference),
    });
    AttestationResult::new(reasons)
}
