//! JSON web signatures (RFC 7515, ES256) by the device key: the TPM signs, under a lease.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pawl_evidence::tpm::{Public, PublicKey};
use pawl_tpm::Tpm;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::gate::Signer;

/// A compact JWS over `claims`.
///
/// # Errors
/// What the TPM says, above all when it does not accept the lease.
pub(crate) async fn sign(
    tpm: &Tpm,
    signer: &Signer,
    header: &Value,
    claims: &Value,
) -> Result<String, pawl_tpm::Error> {
    let input = format!("{}.{}", encode(header), encode(claims));
    let digest = Sha256::digest(&input).into();
    let signature = tpm.sign_with_device(&signer.key, &signer.lease, digest).await?;
    Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// The public half of the device key as a JWK (RFC 7517); none if it is no P-256 key.
pub(crate) fn jwk(public: &[u8]) -> Option<Value> {
    let public = Public::unmarshal(public).ok()?;
    let PublicKey::Ecc { x, y, .. } = public.key() else { return None };
    Some(json!({
        "kty": "EC",
        "crv": "P-256",
        "x": URL_SAFE_NO_PAD.encode(coordinate(x)?),
        "y": URL_SAFE_NO_PAD.encode(coordinate(y)?),
    }))
}

/// The hash of an access token that a DPoP proof names (RFC 9449, section 4.2, `ath`).
pub(crate) fn hash(access_token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(access_token))
}

/// A coordinate at its full 32 bytes; a TPM may leave leading zeros away.
pub(crate) fn coordinate(bytes: &[u8]) -> Option<[u8; 32]> {
    let mut padded = [0; 32];
    let start = padded.len().checked_sub(bytes.len())?;
    padded.get_mut(start..)?.copy_from_slice(bytes);
    Some(padded)
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_coordinates_are_padded_and_long_ones_refused() {
        assert_eq!(coordinate(&[1, 2]).map(|bytes| [bytes[0], bytes[30], bytes[31]]), Some([0, 1, 2]));
        assert_eq!(coordinate(&[9; 32]), Some([9; 32]));
        assert_eq!(coordinate(&[0; 33]), None);
    }
}
