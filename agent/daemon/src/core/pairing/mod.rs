//! Pairing: the device proves which TPM it is, somebody approves, and it is bound to one epoch.
//!
//! 1. [`session`] requests and proves, beside whatever the device is doing. Until the approval nothing has changed: the
//!    pairing that lives goes on.
//! 2. The core checks the approval and keeps it on the disk. The approval ends the pairing before it.
//! 3. [`creation`] creates the keys of the new epoch, and has them granted.
//!
//! Both are procedures ([`super::procedure`]), and both can be dropped anywhere. Power may fail anywhere, too. The next start
//! finds a kept approval and resumes at step 2; before that there is nothing to be found, and nothing that was lost. The
//! control plane grants one pairing a session, in an epoch above the one that ended, so the keys of a half-finished pairing
//! can never be entitled beside those of another.

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

/// Has the attestation key certify the counter, on this nonce.
async fn certify_counter(port: &Port, nonce: Nonce) -> Result<Attestation, TpmFailure> {
    let certified = |answer| match answer {
        TpmAnswer::Certified { attest, signature } => Some(Attestation { attest, signature }),
        _ => None,
    };
    port.tpm(TpmCommand::Certify(pawl_proto::Digest(nonce.0)), certified).await
}
