//! Which phase follows from the disk and the TPM's counter. Nothing here depends on anything sealed: a device that
//! drifted, or whose disk is damaged, still starts, says so, and can be paired again.

use pawl_proto::message::{Cause, Receipt, SignedReceipt, Statement};
use pawl_proto::{Text, limits};

use super::found::Found;
use super::orders::Ending;
use super::session;
use crate::problem;
use crate::record::{Approved, PairingRecord, Revocation};
use pawl_local_api::Problem;

/// The phase that follows.
#[derive(Debug)]
pub(super) enum Start {
    /// No pairing can be used, for this reason.
    Unpaired(Problem),
    /// The epoch goes on, and its pairing cannot be used.
    Unusable(PairingRecord, Problem),
    Paired(PairingRecord),
    /// The pairing has to end, and the counter has not moved.
    Wipe(PairingRecord, Ending),
    /// The epoch is over. The receipt was not made yet.
    Finish(PairingRecord, Revocation),
    /// The epoch is over, and its receipt was made.
    Revoked(PairingRecord, Revocation),
}

/// Returns the phase that follows from what was found.
pub(super) fn decide(found: &Found, unix: u64) -> Start {
    let record = match &found.pairing {
        Ok(Some(record)) => record,
        Ok(None) => return Start::Unpaired(problem::unpaired()),
        Err(problem) => return Start::Unpaired(problem.clone()),
    };
    let pending = found.pending(record).cloned();
    match found.counter {
        Some(counter) if counter == record.epoch => match (pending, approval(found)) {
            // The epochs of two devices may have the same number: a wipe that is pending for another TPM must not end
            // this one's epoch.
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

/// Returns the kept approval and what it is for, if this TPM asked for it and no pairing was made since.
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

/// Returns the revocation that the disk does not have, from what else tells of it: a receipt that waits, an approved
/// re-pair, or the counter alone.
fn unrecorded(found: &Found, record: &PairingRecord, unix: u64) -> Revocation {
    let (ending, time) = match kept_receipt(found, record) {
        Some(Receipt { cause, event, reason, time, .. }) => (Ending { cause, event, reason }, time),
        None => (unreceipted(found, record), unix),
    };
    Revocation { counted: true, ..ending.into_revocation(record.epoch, time) }
}

/// Returns the receipt of this pairing's end that waits on the disk.
fn kept_receipt(found: &Found, record: &PairingRecord) -> Option<Receipt> {
    let (_, message) = found.receipts.iter().find(|(ended, _)| *ended == record.epoch)?;
    let signed: SignedReceipt = pawl_proto::decode(message, limits::ORDER).ok()?;
    let receipt: Receipt = pawl_proto::decode(signed.receipt.as_bytes(), limits::ORDER).ok()?;
    (receipt.pairing == record.pairing && receipt.ended == record.epoch).then_some(receipt)
}

fn unreceipted(found: &Found, record: &PairingRecord) -> Ending {
    // An approved re-pair moves the counter by one, also when the order that follows from the approval does it before the
    // approval is on the disk.
    let approved = approval(found)
        .filter(|(approved, _)| approved.attestation_name == record.attestation_name)
        .filter(|_| found.counter.map(|counter| counter.0) == record.epoch.0.checked_add(1));
    match approved {
        Some((approved, _)) => session::order(approved),
        None => Ending { cause: Cause::Recovery, event: None, reason: Text::lossy(COUNTER_AHEAD) },
    }
}

const COUNTER_AHEAD: &str = "the epoch counter was found ahead of the pairing: a wipe was cut short, the disk is from before it, \
                             or the counter was moved on by somebody on the device";
