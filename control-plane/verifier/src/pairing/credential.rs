use pawl_evidence::credential::make_credential;
use pawl_evidence::rand_core::CryptoRngCore;
use pawl_proto::message::{Credential, RefusalCode};

use super::claim::Claim;
use crate::refusal::Refusal;

/// Makes the credential from which the claimed TPM alone can read `secret`. `random` gives the key agreement's secret.
///
/// # Errors
/// [`Refusal`] when the endorsement key is not usable.
pub fn credential(
    claim: &Claim,
    secret: &[u8],
    random: &mut impl CryptoRngCore,
) -> Result<Credential, Refusal> {
    make_credential(&claim.endorsement_key, &claim.attestation_key.name(), secret, random)
        .map_err(|error| Refusal::new(RefusalCode::EndorsementKey, error))
}
