use pawl_evidence::credential::make_credential;
use pawl_evidence::rand_core::OsRng;
use pawl_proto::message::{Credential, RefusalCode, TpmStructure};
use zeroize::Zeroizing;

use super::claim::Claim;
use crate::refusal::Refusal;

/// A fresh secret, and the credential out of which the claimed TPM alone can read it.
pub(super) fn make(claim: &Claim) -> Result<(Zeroizing<[u8; 32]>, Credential), Refusal> {
    let secret = Zeroizing::new(crate::random::bytes());
    let credential = of_secret(claim, secret.as_slice())?;
    Ok((secret, credential))
}

/// The credential out of which the claimed TPM alone can read this secret.
pub(super) fn of_secret(claim: &Claim, secret: &[u8]) -> Result<Credential, Refusal> {
    let refuse = |error: &dyn std::fmt::Display| Refusal::new(RefusalCode::EndorsementKey, error);
    let made = make_credential(&claim.endorsement_key, &claim.attestation_key.name(), secret, &mut OsRng)
        .map_err(|error| refuse(&error))?;
    let structure = |bytes: Vec<u8>| TpmStructure::new(bytes).map_err(|error| refuse(&error));
    Ok(Credential { id_object: structure(made.id_object)?, secret: structure(made.encrypted_secret)? })
}
