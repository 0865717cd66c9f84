//! Decides the phase from the disk and the TPM's counter. The decision needs no sealed data: a device that drifted, or whose disk
//! is damaged, still starts, reports the problem, and can be paired again.

use pawl_proto::message::{Cause, Receipt, SignedReceipt, Statement};
use pawl_proto::{Text, limits};

use super::found::Found;
use super::orders::Ending;
use super::session;
use crate::problem;
use crate::record::{Approved, PairingRecord, Revocation};
use pawl_local_api::Problem;

/// The phase.
#[derive(Debug)]
pub(super) enum Start {
    /// There is no usable pairing, for this reason.
    Unpaired(Problem),
    /// The epoch is live, and its pairing cannot be used, for this reason.
    Unusable(PairingRecord, Problem),
    /// The pairing is live.
    Paired(PairingRecord),
    /// The pairing has to be ended: the counter still has its epoch.
    Wipe(PairingRecord, Ending),
    /// The epoch has ended, and its receipt is missing.
    Finish(PairingRecord, Revocation),
    /// The epoch has ended, and its receipt was made.
    Revoked(PairingRecord, Revocation),
}

/// Decides the phase. `unix` is the time in Unix seconds.
pub(super) fn decide(found: &Found, unix: u64) -> Start {
    let record = match &found.pairing {
        Ok(Some(record)) => record,
        Ok(None) => return Start::Unpaired(problem::unpaired()),
        Err(problem) => return Start::Unpaired(problem.clone()),
    };
    let pending = found.pending(record).cloned();
    match found.counter {
        Some(counter) if counter == record.epoch => match (pending, approval(found)) {
            // The epochs of two TPMs may have the same number: a pending wipe recorded for another TPM must not apply to this one.
            (Some(_), _) if is_of_another_tpm(found, record) => moved_disk(record),
            (Some(Revocation { cause, event, reason, .. }), _) => {
                Start::Wipe(record.clone(), Ending { cause, event, reason })
            }
            (None, Some((approved, _))) if approved.attestation_name == record.attestation_name => {
                Start::Wipe(record.clone(), session::order(approved))
            }
            (None, _) => match &found.keys {
                Ok(true) => Start::Paired(record.clone()),
                Ok(false) => Start::Unusable(record.clone(), problem::keys_missing()),
                Err(problem) => Start::Unusable(record.clone(), problem.clone()),
            },
        },
        Some(counter) if counter > record.epoch => match pending {
            _ if is_of_another_tpm(found, record) => moved_disk(record),
            Some(revocation) if revocation.receipted => {
                Start::Revoked(record.clone(), Revocation { counted: true, ..revocation })
            }
            Some(revocation) => Start::Finish(record.clone(), revocation),
            None => Start::Finish(record.clone(), unrecorded(found, record, unix)),
        },
        _ => Start::Unpaired(problem::other_tpm()),
    }
}

/// Returns the stored approval and its statement, if this TPM requested it and no pairing was created since.
pub(super) fn approval(found: &Found) -> Option<(&Approved, Statement)> {
    let approved = found.approved()?;
    let is_ours = found.attestation_name.as_deref() == Some(approved.attestation_name.as_bytes());
    let before = found.pairing.as_ref().ok().and_then(Option::as_ref);
    let before = before.filter(|record| record.attestation_name == approved.attestation_name);
    let is_new = before.is_none_or(|before| before.epoch <= approved.answer.above);
    let statement = session::statement(approved).ok()?;
    (is_ours && is_new).then_some((approved, statement))
}

fn is_of_another_tpm(found: &Found, record: &PairingRecord) -> bool {
    found.attestation_name.as_deref() != Some(record.attestation_name.as_bytes())
}

fn moved_disk(record: &PairingRecord) -> Start {
    Start::Unpaired(problem::moved_disk(record.device.as_str()))
}

/// Returns a revocation for an end that the disk does not record. Its cause is that of the stored receipt, or else an approved
/// re-pair, or else unknown (`recovery`).
fn unrecorded(found: &Found, record: &PairingRecord, unix: u64) -> Revocation {
    let (ending, time) = match kept_receipt(found, record) {
        Some(Receipt { cause, event, reason, time, .. }) => (Ending { cause, event, reason }, time),
        None => (unreceipted(found, record), unix),
    };
    Revocation { counted: true, ..ending.into_revocation(record.epoch, time) }
}

/// Returns the stored receipt for the end of this pairing.
fn kept_receipt(found: &Found, record: &PairingRecord) -> Option<Receipt> {
    let (_, message) = found.receipts.iter().find(|(ended, _)| *ended == record.epoch)?;
    let signed: SignedReceipt = pawl_proto::decode(message, limits::ORDER).ok()?;
    let receipt: Receipt = pawl_proto::decode(signed.receipt.as_bytes(), limits::ORDER).ok()?;
    (receipt.pairing == record.pairing && receipt.ended == record.epoch).then_some(receipt)
}

fn unreceipted(found: &Found, record: &PairingRecord) -> Ending {
    // An approved re-pair increments the counter once. The control plane's event for that approval may have caused the increment
    // before the approval was on the disk.
    let approved = approval(found)
        .filter(|(approved, _)| approved.attestation_name == record.attestation_name)
        .filter(|_| found.counter.map(|counter| counter.0) == record.epoch.0.checked_add(1));
    match approved {
        Some((approved, _)) => session::order(approved),
        None => Ending { cause: Cause::Recovery, event: None, reason: Text::lossy(COUNTER_AHEAD) },
    }
}

const COUNTER_AHEAD: &str = "the TPM's epoch counter is ahead of the pairing on this disk: a wipe was interrupted, an older disk \
                             was restored, or somebody on the device incremented the counter";
