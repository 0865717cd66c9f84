//! JSON Web Signatures by the device key: the TPM signs, under a lease.

use std::sync::Arc;

use pawl_evidence::tpm::{Public, PublicKey};
use pawl_jose::Jwk;
pub(crate) use pawl_jose::{coordinate, hash};
use pawl_tpm::{KeyBlob, LeaseGrant, Tpm};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The device key, and the lease that the TPM requires for its use.
#[derive(Clone)]
pub(crate) struct Signer {
    pub(crate) key: Arc<KeyBlob>,
    pub(crate) lease: Arc<LeaseGrant>,
}

/// Returns a compact JWS over `claims`.
///
/// # Errors
/// The TPM's error, for example if it does not accept the lease.
pub(crate) async fn sign(
    tpm: &Tpm,
    signer: &Signer,
    header: &Value,
    claims: &Value,
) -> Result<String, pawl_tpm::Error> {
    let input = pawl_jose::signing_input(header.to_string(), claims.to_string());
    let digest = Sha256::digest(&input).into();
    let signature = tpm.sign_with_device(&signer.key, &signer.lease, digest).await?;
    Ok(pawl_jose::signed(&input, &signature))
}

/// Returns the public half of the device key as a JWK; none if it is not a P-256 key.
pub(crate) fn jwk(public: &[u8]) -> Option<Jwk> {
    let public = Public::unmarshal(public).ok()?;
    let PublicKey::Ecc { x, y, .. } = public.key() else { return None };
    Some(Jwk::p256(&coordinate(x)?, &coordinate(y)?))
}
