use std::collections::{BTreeMap, BTreeSet};

use pawl_evidence::appraise::{BootCoverage, Uncovered};
use pawl_evidence::tpm::{PcrSelection, PcrValues};
use pawl_proto::{Digest, PcrBank, PcrValue};
use serde::{Deserialize, Serialize};

use crate::lease::LeasePolicy;
use crate::pairing::Pairing;
use crate::report::{KeptEvidence, KeptEvidenceError, bank, bank_hash, pcr_values};

/// The boot state of a device: the values of the PCRs that leases name, all of one bank.
pub type BootState = BTreeMap<u8, PcrValue>;

/// Returns SHA-256 over the values of a boot state, in ascending order of the PCRs.
#[must_use]
pub fn boot_digest(state: &BootState) -> Digest {
    let values: Vec<u8> = state.values().flat_map(|value| value.as_bytes().to_vec()).collect();
    Digest::of(&values)
}

/// A boot state that a device may be in.
#[derive(Clone, Debug, PartialEq)]
pub struct AcceptedState {
    /// The operator's name for it.
    pub name: String,
    /// Who accepted it, and when.
    pub by: AcceptedBy,
    /// The PCR values.
    pub pcrs: BootState,
    /// Whether an operator approved it in advance and the device has not booted into it yet.
    pub ahead: bool,
    /// When it was last accepted, Unix seconds.
    pub accepted_at: u64,
}

impl AcceptedState {
    /// Returns the accepted state that a device's first pairing creates.
    #[must_use]
    pub fn at_first_pairing(pcrs: BootState, now: u64) -> Self {
        let name = "the first pairing".to_owned();
        Self { name, by: AcceptedBy::FirstPairing, pcrs, ahead: false, accepted_at: now }
    }

    /// Returns whether a device with these quoted PCRs is in this state.
    #[must_use]
    pub fn is_reached_by(&self, quoted: &BootState) -> bool {
        self.pcrs.iter().all(|(pcr, value)| quoted.get(pcr) == Some(value))
    }
}

/// Who accepted a boot state, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AcceptedBy {
    /// The first pairing accepted the device's state at that time. No operator has checked it.
    FirstPairing,
    /// An operator accepted the state that the device had reported.
    Operator,
    /// An operator approved it before the device booted into it.
    PreApproval,
}

/// The PCRs that the leases of one device name: those of the lease policy, and those into which its boot chain
/// measures kernel and command line, if the policy lacks them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasePcrs {
    all: Vec<u8>,
    /// The bank of the device's quotes.
    bank: PcrBank,
    /// The PCRs that its boot chain needs in addition to the policy's.
    added: BTreeSet<u8>,
}

impl LeasePcrs {
    /// Determines the PCRs from the device's boot log. PCRs that an earlier report of the same pairing added remain: a later
    /// log may omit the events.
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

    /// Returns the PCRs of a pairing, as its last report determined them.
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

    /// Returns the PCRs that the lease policy does not name.
    #[must_use]
    pub fn added(&self) -> &BTreeSet<u8> {
        &self.added
    }

    /// Returns the selection for a TPM command. The lease policy and event logs name only PCRs 0 to 23.
    #[must_use]
    pub fn selection(&self) -> PcrSelection {
        PcrSelection::new(bank_hash(self.bank), self.all.iter().copied())
            .unwrap_or_else(|_| PcrSelection::lease_default())
    }

    /// Returns their values; `None` if one of them is missing.
    #[must_use]
    pub fn state(&self, pcrs: &BootState) -> Option<BootState> {
        self.all.iter().map(|index| Some((*index, *pcrs.get(index)?))).collect()
    }
}

/// Checks that a boot state covers the kernel and the command line of the device with this evidence and this boot log.
/// Passes for a device without a boot log: its PCRs are compared with exact values, and its tier is `warning` at best.
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
    /// It does not cover the kernel or the command line.
    #[error(transparent)]
    Uncovered(#[from] Uncovered),
    /// The stored evidence is damaged.
    #[error(transparent)]
    Damaged(#[from] KeptEvidenceError),
}
