//! What the executor found on the disk and in the TPM.

use pawl_local_api::Problem;
use pawl_proto::Epoch;

use crate::record::{Approved, PairingRecord, Revocation, Unfinished};

/// What is on the disk and in the TPM.
#[derive(Debug)]
pub struct Found {
    /// What an earlier process left of an unfinished pairing.
    pub unfinished: Unfinished,
    /// The record of the pairing, live or ended.
    pub pairing: Result<Option<PairingRecord>, Problem>,
    /// Whether the disk has all keys of the pairing.
    pub keys: Result<bool, Problem>,
    /// Why the last pairing ended, or is about to end.
    pub revocation: Option<Revocation>,
    /// The last verdict, as it was received.
    pub verdict: Option<Vec<u8>>,
    /// The last verdict with a lease, as it was received.
    pub lease: Option<Vec<u8>>,
    /// The receipts that the control plane has not confirmed.
    pub receipts: Vec<(Epoch, Vec<u8>)>,
    /// The TPM's counter.
    pub counter: Option<Epoch>,
    /// The TPM name of the attestation key, if [`Found::needs_attestation_name`].
    pub attestation_name: Option<Vec<u8>>,
}

impl Found {
    /// Returns whether the decision depends on which TPM this is. Otherwise the daemon does not read the name of the attestation
    /// key: that takes seconds on some TPMs, and would delay the start.
    pub fn needs_attestation_name(&self) -> bool {
        let Ok(Some(record)) = &self.pairing else { return self.approved().is_some() };
        self.approved().is_some() || self.counter > Some(record.epoch) || self.pending(record).is_some()
    }

    /// Returns the approval of an unfinished pairing.
    pub(super) fn approved(&self) -> Option<&Approved> {
        match &self.unfinished {
            Unfinished::Approved { approved, .. } => Some(approved),
            Unfinished::Nothing | Unfinished::Staged | Unfinished::Scraps => None,
        }
    }

    /// Returns whether an earlier process may have created keys on the approval.
    pub(super) fn may_have_keys(&self) -> bool {
        matches!(self.unfinished, Unfinished::Approved { may_have_keys: true, .. })
    }

    /// Returns the revocation that is recorded for this pairing.
    pub(super) fn pending(&self, record: &PairingRecord) -> Option<&Revocation> {
        self.revocation.as_ref().filter(|revocation| revocation.ended == record.epoch)
    }
}
