//! The control plane's part in a test of the TPM: signs leases with a key that lives as long as the test, and
//! verifies what the TPM signed.

use pawl_evidence::lease::{LeaseTerms, lease_key_public};
use pawl_evidence::tpm::{Public, PublicKey};
use pawl_tpm::{Attestation, LeaseGrant};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use sha2::{Digest as _, Sha256};

use crate::random;

/// TPM_ALG_ECDSA with TPM_ALG_SHA256, the head of a TPMT_SIGNATURE.
const ECDSA_SHA256: [u8; 4] = [0x00, 0x18, 0x00, 0x0b];

/// Signs leases for one policyRef.
pub(super) struct Signer {
    key: EcdsaKeyPair,
    pub(super) policy_ref: [u8; 32],
}

impl Signer {
    pub(super) fn new() -> Result<Self, String> {
        let failed = |_| "cannot create a key for the test".to_owned();
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(failed)?;
        let key = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random)
            .map_err(|error| error.to_string())?;
        Ok(Self { key, policy_ref: random::bytes() })
    }

    /// Returns the TPMT_PUBLIC.
    pub(super) fn public(&self) -> Result<Vec<u8>, String> {
        let malformed = || "the test's key is malformed".to_owned();
        let point = self.key.public_key().as_ref();
        let (x, y) = point.strip_prefix(&[4]).and_then(|xy| xy.split_at_checked(32)).ok_or_else(malformed)?;
        let (x, y) = (x.try_into().map_err(|_| malformed())?, y.try_into().map_err(|_| malformed())?);
        Ok(lease_key_public(x, y).as_bytes().to_vec())
    }

    pub(super) fn grant(&self, terms: LeaseTerms) -> Result<LeaseGrant, String> {
        // Its SHA-256 is `pawl_evidence::lease::to_be_signed`.
        let message = [terms.approved_policy(), self.policy_ref].concat();
        let failed = "cannot sign the test's lease";
        let signature = self.key.sign(&SystemRandom::new(), &message).map_err(|_| failed)?;
        let signature = signature.as_ref().try_into().map_err(|_| failed)?;
        Ok(LeaseGrant { lease_public: self.public()?, policy_ref: self.policy_ref, terms, signature })
    }
}

pub(super) fn digest(message: &[u8]) -> [u8; 32] {
    Sha256::digest(message).into()
}

/// Checks a signature, r ‖ s, over the SHA-256 of a message by a TPM's key.
pub(super) fn check_signature(public: &[u8], message: &[u8], signature: &[u8; 64]) -> Result<(), String> {
    let point = point(public).ok_or("the TPM's key is not a P-256 key")?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(message, signature)
        .map_err(|_| "the TPM's signature is wrong".to_owned())
}

/// Checks that the attestation key signed a structure with this qualifying data.
pub(super) fn check_attestation(
    ak_public: &[u8],
    attestation: &Attestation,
    qualifying: &[u8; 32],
) -> Result<(), String> {
    if !attestation.attest.windows(qualifying.len()).any(|bytes| bytes == qualifying) {
        return Err("the TPM signed without the qualifying data".to_owned());
    }
    let signature = r_s(&attestation.signature).ok_or("the TPM's signature is not an ECDSA signature")?;
    check_signature(ak_public, &attestation.attest, &signature)
}

fn point(public: &[u8]) -> Option<Vec<u8>> {
    let public = Public::unmarshal(public).ok()?;
    let PublicKey::Ecc { x, y, .. } = public.key() else { return None };
    Some([&[4][..], &padded(x)?, &padded(y)?].concat())
}

/// Reads r and s of a TPMT_SIGNATURE.
fn r_s(signature: &[u8]) -> Option<[u8; 64]> {
    let (r, rest) = sized(signature.strip_prefix(&ECDSA_SHA256)?)?;
    let (s, rest) = sized(rest)?;
    if !rest.is_empty() {
        return None;
    }
    [padded(r)?, padded(s)?].concat().try_into().ok()
}

/// Splits a TPM2B into its contents and the bytes after it.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}

/// Returns a number with 32 bytes: some TPMs omit leading zeros.
fn padded(number: &[u8]) -> Option<[u8; 32]> {
    let mut padded = [0; 32];
    padded.get_mut(32_usize.checked_sub(number.len())?..)?.copy_from_slice(number);
    Some(padded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marshalled(r: &[u8], s: &[u8]) -> Vec<u8> {
        let length = |part: &[u8]| u16::try_from(part.len()).unwrap().to_be_bytes();
        [&ECDSA_SHA256[..], &length(r), r, &length(s), s].concat()
    }

    #[test]
    fn numbers_without_leading_zeros_are_read() {
        let signature = r_s(&marshalled(&[1; 31], &[2; 32])).unwrap();
        assert_eq!((signature[0], signature[1], signature[32]), (0, 1, 2));
    }

    #[test]
    fn a_malformed_ecdsa_signature_is_refused() {
        let valid = marshalled(&[1; 32], &[2; 32]);
        assert!(r_s(&valid).is_some());
        assert_eq!(r_s(&valid[..valid.len() - 1]), None);
        assert_eq!(r_s(&[valid.as_slice(), &[0]].concat()), None);
        assert_eq!(r_s(&marshalled(&[1; 33], &[2; 32])), None);
        assert_eq!(r_s(&[0x00, 0x14, 0x00, 0x0b]), None);
    }

    #[test]
    fn a_signature_over_other_data_is_refused() {
        let signer = Signer::new().unwrap();
        let message = b"attested with qualifying data 0123456789abcdef0123456789abcdef";
        let signature = signer.key.sign(&SystemRandom::new(), message).unwrap();
        let (r, s) = signature.as_ref().split_at(32);
        let attestation = Attestation { attest: message.to_vec(), signature: marshalled(r, s) };
        let public = signer.public().unwrap();
        let qualifying = *b"0123456789abcdef0123456789abcdef";
        check_attestation(&public, &attestation, &qualifying).unwrap();
        check_attestation(&public, &attestation, &[7; 32]).unwrap_err();
        let mut altered = attestation;
        altered.attest[0] ^= 1;
        check_attestation(&public, &altered, &qualifying).unwrap_err();
    }
}
