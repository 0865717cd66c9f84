use pawl_evidence::credential::make_credential;
use pawl_evidence::rand_core::OsRng;
use pawl_proto::message::{Credential, RefusalCode, TpmStructure};
use zeroize::Zeroizing;

use super::claim::Claim;
use crate::refusal::Refusal;

/// A fresh secret, and the credential out of which the claimed TPM alone can read it.
pub(super) fn make(claim: &Claim) -> Result<(Zeroizing<[u8; 32]>, Credential), Refusal> {
    let refuse = |error: &dyn std::fmt::Display| Refusal::new(RefusalCode::EndorsementKey, error);
    let secret = Zeroizing::new(crate::random::bytes());
    let made =
        make_credential(&claim.endorsement_key, &claim.attestation_key.name(), secret.as_slice(), &mut OsRng)
            .map_err(|error| refuse(&error))?;
    let structure = |bytes: Vec<u8>| TpmStructure::new(bytes).map_err(|error| refuse(&error));
    let credential =
        Credential { id_object: structure(made.id_object)?, secret: structure(made.encrypted_secret)? };
    Ok((secret, credential))
}
