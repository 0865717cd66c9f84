//! Clones and rollbacks: signs that a device is not the one machine that it was.
//!
//! | incident | seen when | in a verdict |
//! | --- | --- | --- |
//! | two places | a run of the daemon reports again after another run, and its clock went on meanwhile | contraindicated, until the pairing ends |
//! | set back | epoch, resets or clock of the TPM are before what was seen, or a receipt contradicts it | contraindicated, while they are |
//! | disk elsewhere, disk of another | a TPM asks to be paired, and its disk was paired with another one | warning, on both devices |
//! | reimaged | a TPM whose pairing lives asks to be paired, and its disk knows of none | warning |
//!
//! The TPM's resets and its clock tell reports apart, and each report repeats the nonce of the verdict before it. What
//! a disk knows is the device's own claim: it raises a warning and decides nothing.

mod history;
mod kind;
mod pairing_request;
mod reason;
mod resolve;
mod succession;

#[cfg(test)]
mod tests;

pub use history::{DaemonRun, HistoryUpdate, TpmHistory, TpmSighting, contradiction};
pub use kind::{Incident, IncidentKind, Sign};
pub use pairing_request::{PairingSubject, signs_of_refusal, signs_of_request};
pub use reason::{remedy, weigh};
pub use resolve::{REPLACED_NEW, REPLACED_OLD, Resolution, incidents_digest, resolved_by_pairing};
