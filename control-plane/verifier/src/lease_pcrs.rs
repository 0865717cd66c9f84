use std::collections::BTreeSet;

use pawl_evidence::appraise::{BootCoverage, Uncovered};
use pawl_evidence::tpm::{PcrSelection, PcrValues};
use pawl_proto::PcrBank;

use crate::boot_state::BootState;
use crate::lease::LeasePolicy;
use crate::pairing::Pairing;
use crate::report::{KeptEvidence, KeptEvidenceError, bank, bank_hash, pcr_values};

/// The PCRs that the leases of one device name: those of the lease policy, and those in which its boot chain
/// measures kernel and command line where the policy has none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasePcrs {
    all: Vec<u8>,
    /// Their bank: that of the device's quotes.
    bank: PcrBank,
    /// Those that its boot chain needs beside the policy's.
    added: BTreeSet<u8>,
}

impl LeasePcrs {
    /// Reads them out of the device's boot log. PCRs that an earlier report of the same pairing added stay: a later
    /// log may leave the events out.
    #[must_use]
    pub fn of(
        policy: &LeasePolicy,
        pairing: Option<&Pairing>,
        boot_log: Option<&[u8]>,
        measure_log: Option<&[u8]>,
        quoted: &PcrValues,
    ) -> Self {
        let base = pairing.and_then(|pairing| pairing.base.as_ref());
        let mut added = base.map(|base| base.lease_pcrs_added.clone()).unwrap_or_default();
        let configured: BTreeSet<u8> = policy.pcrs.iter().copied().collect();
        let coverage = boot_log.and_then(|log| BootCoverage::of_log(log, measure_log, quoted).ok());
        added.extend(coverage.map(|coverage| coverage.missing_from(&configured)).unwrap_or_default());
        Self::new(policy, added, bank(quoted).unwrap_or_default())
    }

    /// Returns those of a pairing, by its last report.
    #[must_use]
    pub fn of_pairing(policy: &LeasePolicy, pairing: &Pairing) -> Self {
        let base = pairing.base.as_ref();
        let bank = base.and_then(|base| PcrBank::of(&base.pcrs)).unwrap_or_default();
        Self::new(policy, base.map(|base| base.lease_pcrs_added.clone()).unwrap_or_default(), bank)
    }

    fn new(policy: &LeasePolicy, added: BTreeSet<u8>, bank: PcrBank) -> Self {
        let all: BTreeSet<u8> = policy.pcrs.iter().chain(&added).copied().collect();
        Self { all: all.into_iter().collect(), bank, added }
    }

    /// Returns their numbers, ascending.
    #[must_use]
    pub fn indices(&self) -> &[u8] {
        &self.all
    }

    /// Returns their bank.
    #[must_use]
    pub fn bank(&self) -> PcrBank {
        self.bank
    }

    /// Returns those that the policy does not name.
    #[must_use]
    pub fn added(&self) -> &BTreeSet<u8> {
        &self.added
    }

    /// Returns the selection that a TPM gets. The policy and event logs have PCRs 0 to 23 alone.
    #[must_use]
    pub fn selection(&self) -> PcrSelection {
        PcrSelection::new(bank_hash(self.bank), self.all.iter().copied())
            .unwrap_or_else(|_| PcrSelection::lease_default())
    }

    /// Returns their values; none when one of them is missing.
    #[must_use]
    pub fn state(&self, pcrs: &BootState) -> Option<BootState> {
        self.all.iter().map(|index| Some((*index, *pcrs.get(index)?))).collect()
    }
}

/// Checks that a boot state covers the kernel and the command line of the device that showed this evidence and this
/// boot log. A device without a boot log is compared with exact values, and is a warning at best.
///
/// # Errors
/// [`CoverageError`]
pub fn check_coverage(
    state: &BootState,
    evidence: &KeptEvidence,
    boot_log: Option<&[u8]>,
) -> Result<(), CoverageError> {
    let Some(log) = boot_log else { return Ok(()) };
    let quoted = pcr_values(evidence.pcrs()).map_err(|_| KeptEvidenceError)?;
    let Ok(coverage) = BootCoverage::of_log(log, evidence.measure_log(), &quoted) else { return Ok(()) };
    Ok(coverage.check(&state.keys().copied().collect())?)
}

/// Why a boot state cannot be accepted.
#[derive(Debug, thiserror::Error)]
pub enum CoverageError {
    /// It leaves kernel or command line open.
    #[error(transparent)]
    Uncovered(#[from] Uncovered),
    /// The evidence that was kept is damaged.
    #[error(transparent)]
    Damaged(#[from] KeptEvidenceError),
}
