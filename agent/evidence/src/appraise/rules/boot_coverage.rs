use std::collections::BTreeSet;

use super::super::coverage::{BootCoverage, Uncovered, has_extended_kernel_pcr, indices};
use super::super::evidence::Evidence;
use super::super::reference::ReferenceValues;
use crate::appraise::{Area, Reason, TrustTier};

const COVERAGE: &str = "boot.coverage";

/// Returns a reason if a lease would work under any kernel or command line. A log shows that; without a log,
/// PCRs that were never extended show it.
pub(super) fn covers_kernel_and_command_line(
    evidence: &Evidence<'_>,
    reference: &ReferenceValues,
) -> Option<Reason> {
    let quoted = evidence.quote.pcrs();
    let coverage = match evidence.boot_log {
        Some(log) if !log.is_empty() => BootCoverage::of_log(log, evidence.measure_log, quoted).ok()?,
        _ => return without_log(evidence, reference),
    };
    let uncovered = coverage.check(&indices(&reference.lease_selection)).err()?;
    Some(uncovered_by_lease(uncovered, TrustTier::Contraindicated))
}

/// Returns a reason if a lease would work under any kernel or command line although a policy appraises the PCRs.
/// If a lease names the PCRs, whatever the policy allows is its operator's decision.
pub(in crate::appraise) fn is_left_open(coverage: &BootCoverage, judged: &BTreeSet<u8>) -> Option<Reason> {
    coverage.check(judged).err().map(|uncovered| uncovered_by_lease(uncovered, TrustTier::Warning))
}

/// Checks a device without a log, which is compared with exact values.
pub(in crate::appraise) fn without_log(
    evidence: &Evidence<'_>,
    reference: &ReferenceValues,
) -> Option<Reason> {
    let measures = has_extended_kernel_pcr(evidence.quote.pcrs(), &reference.lease_selection);
    let text = "no PCR of the lease into which a kernel is measured (4, 8, 9) was ever extended: this device does not \
                measure what it boots, and a lease works under any kernel and command line";
    (!measures).then(|| Reason::new(COVERAGE, Area::Boot, TrustTier::Warning, text))
}

fn uncovered_by_lease(uncovered: Uncovered, tier: TrustTier) -> Reason {
    Reason::new(COVERAGE, Area::Boot, tier, uncovered.to_string())
}
