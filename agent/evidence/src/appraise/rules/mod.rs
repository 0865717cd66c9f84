//! The rules that need no policy. A rule that applies returns at least one reason, which can be affirming.

pub(super) mod boot_coverage;
pub(super) mod boot_log;
pub(super) mod boot_state;
mod freshness;
mod hardware;
pub(super) mod runtime;

use super::evidence::Evidence;
use super::reference::ReferenceValues;
use super::{Reason, TrustTier};

/// Applies the rules that hold with and without a policy.
pub(super) fn always(evidence: &Evidence<'_>, reference: &ReferenceValues) -> Vec<Reason> {
    vec![hardware::has_signed(), freshness::never_goes_back(evidence, reference)]
}

/// Applies the rules that replace a policy: exact accepted states.
pub(super) fn without_policy(evidence: &Evidence<'_>, reference: &ReferenceValues) -> Vec<Reason> {
    let mut reasons = boot_state::is_accepted(evidence, reference);
    let of_log = boot_log::accounts_for_pcrs(evidence, reference.boot_log, boot_log::without_policy);
    // Ignore the contents of a log that does not replay.
    if of_log.iter().all(|reason| reason.tier != TrustTier::Contraindicated) {
        reasons.extend(boot_coverage::covers_kernel_and_command_line(evidence, reference));
    }
    reasons.extend(of_log);
    reasons.extend(runtime::is_measured(evidence));
    reasons
}
