//! Clones and rollbacks: signs that a device is not the one machine that it was.
//!
//! | incident | told by | in a verdict |
//! | --- | --- | --- |
//! | two places | a run of the daemon that another had followed reports again, and has run on meanwhile | contraindicated, until the pairing ends |
//! | set back | epoch, resets or clock of the TPM are before what was seen, or a receipt contradicts it | contraindicated, while they are |
//! | disk elsewhere, disk of another | a TPM asks to be paired, and its disk was paired with another one | warning, on both devices |
//! | reimaged | a TPM whose pairing lives asks to be paired, and its disk knows of none | warning |
//!
//! Reports are told apart by the TPM's word on its resets and its clock, and follow one another
//! because each repeats the nonce of the verdict on the one before. What a disk knows is the
//! device's own word: it raises a warning and decides nothing.

mod asked;
mod course;
mod follow;
mod settle;
mod words;

pub(crate) use asked::{asked, turned_away};
pub(crate) use follow::{Now, begin, check_history, follow};
pub(crate) use settle::{SettleError, digest, settle_by_operator, settle_by_pairing, settle_by_replacing};
pub(crate) use words::{remedy, tell};

use pawl_proto::DeviceId;

use crate::record::Fact;
use crate::store::{IncidentKind, StoreError, Tx};

/// Notes an incident, and records it when it was not open before.
fn note(
    tx: &Tx<'_>,
    device: DeviceId,
    kind: IncidentKind,
    other: Option<DeviceId>,
    detail: &str,
    now: u64,
) -> Result<(), StoreError> {
    if tx.note_incident(device, kind, other, detail, now)? {
        tracing::warn!(%device, incident = %words::name(kind), detail, "an incident");
        let other = other.map(|other| other.to_string());
        tx.record(device, now, Fact::Incident { incident: kind, other, detail: detail.to_owned() })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
