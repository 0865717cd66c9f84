//! Pairing: the device proves which TPM it has, the control plane gets an approval, and the device creates keys in a new epoch.
//!
//! 1. [`session`] requests the pairing and proves the TPM, in parallel to the present phase. A live pairing continues unchanged
//!    until the approval.
//! 2. The core checks the approval, writes it to the disk, and ends the old pairing.
//! 3. [`creation`] creates the keys of the new epoch, and gets the control plane's grant for them.
//!
//! Both are procedures ([`super::procedure`]), which the core can drop at every `await`. The power can also fail at any time. If
//! the disk has an approval, the next start resumes at step 2. If it has none, the old pairing is unchanged. The control plane
//! grants one pairing for each session, in an epoch above the one that ended. So the keys of an unfinished pairing are never
//! valid together with those of another one.

pub(super) mod creation;
mod error;
mod parent;
mod past;
pub(super) mod session;
mod statement;
pub(super) mod view;

use pawl_proto::Nonce;
use pawl_tpm::Attestation;

use super::effect::TpmCommand;
use super::input::{TpmAnswer, TpmFailure};
use super::procedure::Port;

pub(super) use error::PairingError;
pub use past::Past;
pub(crate) use statement::StatementError;

/// Has the attestation key certify the counter, with this nonce as qualifying data.
async fn certify_counter(port: &Port, nonce: Nonce) -> Result<Attestation, TpmFailure> {
    let certified = |answer| match answer {
        TpmAnswer::Certified { attest, signature } => Some(Attestation { attest, signature }),
        _ => None,
    };
    port.tpm(TpmCommand::Certify(pawl_proto::Digest(nonce.0)), certified).await
}
