//! Leases: the policies by which the TPM itself decides whether a pairing's keys work.
//!
//! A key's policy names only the control plane's lease key, so it never changes. The present conditions are in a
//! *lease*: [`LeaseTerms`], hashed as the TPM does it and signed with that key. The TPM checks the terms and the
//! signature; no software on the device takes part.

#[cfg(feature = "verifier")]
use p256::ecdsa::SigningKey;
#[cfg(feature = "verifier")]
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
#[cfg(feature = "verifier")]
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use thiserror::Error;

use crate::tpm::{
    Comparison, Curve, HashAlgorithm, Name, ObjectAttributes, PcrSelection, PolicyDigest, Public, PublicKey,
    SignatureScheme,
};

/// Offsets in TPMS_TIME_INFO.
const OFFSET_CLOCK: u16 = 8;
const OFFSET_RESET_COUNT: u16 = 16;

/// The conditions under which the keys of a pairing work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseTerms {
    /// The appraised PCRs.
    pub selection: PcrSelection,
    /// SHA-256 over their values: [`crate::tpm::PcrValues::policy_digest`].
    pub pcr_digest: [u8; 32],
    /// The epoch counter's name, with the written attribute.
    pub counter_name: Name,
    /// The required value of the counter.
    pub epoch: u64,
    /// The highest allowed `resetCount`: the present one plus the allowed reboots.
    pub reset_count_max: u32,
    /// The TPM clock, in milliseconds, at which the lease ends.
    pub clock_before: u64,
}

impl LeaseTerms {
    /// Returns the policy digest of PolicyPCR, PolicyNV, PolicyCounterTimer(resetCount) and
    /// PolicyCounterTimer(clock), in this order.
    pub fn approved_policy(&self) -> [u8; 32] {
        PolicyDigest::new()
            .pcr(&self.selection, &self.pcr_digest)
            .nv(&self.counter_name, &self.epoch.to_be_bytes(), 0, Comparison::Equal)
            .counter_timer(&self.reset_count_max.to_be_bytes(), OFFSET_RESET_COUNT, Comparison::AtMost)
            .counter_timer(&self.clock_before.to_be_bytes(), OFFSET_CLOCK, Comparison::LessThan)
            .finish()
    }
}

/// Returns the digest that the lease key signs: `aHash` of `TPM2_PolicyAuthorize`.
pub fn to_be_signed(approved_policy: &[u8; 32], policy_ref: &[u8; 32]) -> [u8; 32] {
    crate::tpm::sha256(&[approved_policy, policy_ref])
}

/// Returns the `authPolicy` of the device key and the vault key: any lease signed with this key for this
/// pairing.
pub fn key_policy(lease_key: &Name, policy_ref: &[u8; 32]) -> [u8; 32] {
    PolicyDigest::authorize(lease_key, policy_ref).finish()
}

/// Returns the `authPolicy` of the link key: the epoch is current. It ignores PCRs, so that a device that
/// drifted can still report.
pub fn link_policy(counter: &Name, epoch: u64) -> [u8; 32] {
    PolicyDigest::new().nv(counter, &epoch.to_be_bytes(), 0, Comparison::Equal).finish()
}

/// TPM2_LoadExternal accepts no key that is fixed to a TPM or restricted. The TPM verifies signatures only with
/// a `sign` key. `userWithAuth` has no effect; common tools set it.
const ATTRIBUTES: ObjectAttributes = ObjectAttributes::USER_WITH_AUTH.union(ObjectAttributes::SIGN);

/// The public area does not have the form of lease keys and authorization keys.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the control plane's key is not an ECDSA P-256 key with SHA-256 and the attributes {ATTRIBUTES}")]
pub struct LeaseKeyError;

/// Returns the public area of the control plane's lease key, as `TPM2_LoadExternal` takes it: ECC P-256, ECDSA
/// with SHA-256, no policy. The policy of each key that works under a lease contains its name.
///
/// The authorization key of [`crate::assurance`] has the same form, and is another key.
pub fn lease_key_public(x: &[u8; 32], y: &[u8; 32]) -> Public {
    const TYPE_ECC_NAME_SHA256: [u8; 4] = [0x00, 0x23, 0x00, 0x0b];
    const NO_POLICY: [u8; 2] = [0, 0];
    const NO_SYMMETRIC: [u8; 2] = [0x00, 0x10];
    const ECDSA_SHA256: [u8; 4] = [0x00, 0x18, 0x00, 0x0b];
    const P256_NO_KDF: [u8; 4] = [0x00, 0x03, 0x00, 0x10];
    const COORDINATE_LEN: [u8; 2] = [0, 32];
    let bytes = [
        &TYPE_ECC_NAME_SHA256[..],
        &ATTRIBUTES.0.to_be_bytes(),
        &NO_POLICY,
        &NO_SYMMETRIC,
        &ECDSA_SHA256,
        &P256_NO_KDF,
        &COORDINATE_LEN,
        x,
        &COORDINATE_LEN,
        y,
    ]
    .concat();
    let key = PublicKey::Ecc {
        symmetric: None,
        scheme: Some(SignatureScheme::Ecdsa(HashAlgorithm::Sha256)),
        curve: Curve::P256,
        x: x.to_vec(),
        y: y.to_vec(),
    };
    Public::assemble(bytes, HashAlgorithm::Sha256, ATTRIBUTES, key)
}

/// Checks a lease key or an authorization key, before the device creates keys that depend on it.
///
/// # Errors
/// If [`lease_key_public`] does not return this public area for any point.
pub fn check_lease_key(public: &Public) -> Result<(), LeaseKeyError> {
    let PublicKey::Ecc { curve: Curve::P256, x, y, .. } = public.key() else { return Err(LeaseKeyError) };
    let (Ok(x), Ok(y)) = (x.as_slice().try_into(), y.as_slice().try_into()) else {
        return Err(LeaseKeyError);
    };
    if *public != lease_key_public(x, y) {
        return Err(LeaseKeyError);
    }
    Ok(())
}

/// The control plane's lease key, with its TPM public area.
#[cfg(feature = "verifier")]
pub struct LeaseKey(ExternalKey);

#[cfg(feature = "verifier")]
impl LeaseKey {
    /// Wraps a key. Use it for leases only.
    pub fn new(signing: SigningKey) -> Self {
        Self(ExternalKey::new(signing))
    }

    /// Returns the public area that the device loads into its TPM.
    pub fn public(&self) -> &Public {
        self.0.public()
    }

    /// Returns the name that the keys' policies contain.
    pub fn name(&self) -> Name {
        self.0.public().name()
    }

    /// Signs a lease for the pairing with this `policy_ref`; returns r ‖ s.
    ///
    /// # Errors
    /// If the signature cannot be computed, which does not happen with a valid key.
    pub fn sign(&self, terms: &LeaseTerms, policy_ref: &[u8; 32]) -> Result<[u8; 64], p256::ecdsa::Error> {
        self.0.sign(&to_be_signed(&terms.approved_policy(), policy_ref))
    }
}

/// A signing key of the control plane whose signatures TPMs verify: the key behind leases or authorizations. Use
/// separate keys for the two.
#[cfg(feature = "verifier")]
pub(crate) struct ExternalKey {
    signing: SigningKey,
    public: Public,
}

#[cfg(feature = "verifier")]
impl ExternalKey {
    pub(crate) fn new(signing: SigningKey) -> Self {
        let point = signing.verifying_key().as_affine().to_encoded_point(false);
        let mut x = [0; 32];
        let mut y = [0; 32];
        for (to, from) in x.iter_mut().chain(y.iter_mut()).zip(point.as_bytes().iter().skip(1)) {
            *to = *from;
        }
        Self { signing, public: lease_key_public(&x, &y) }
    }

    pub(crate) fn public(&self) -> &Public {
        &self.public
    }

    /// Signs a digest; returns r ‖ s.
    pub(crate) fn sign(&self, digest: &[u8; 32]) -> Result<[u8; 64], p256::ecdsa::Error> {
        let signature: p256::ecdsa::Signature = self.signing.sign_prehash(digest)?;
        Ok(signature.to_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_assembled_key_equals_its_parsed_bytes() {
        let key = lease_key_public(&[1; 32], &[2; 32]);
        assert_eq!(Public::unmarshal(key.as_bytes()), Ok(key.clone()));
        assert_eq!(check_lease_key(&key), Ok(()));
    }

    #[test]
    fn a_key_with_other_attributes_is_refused() {
        let mut bytes = lease_key_public(&[1; 32], &[2; 32]).as_bytes().to_vec();
        bytes[7] |= 0x02; // fixedTPM
        assert_eq!(check_lease_key(&Public::unmarshal(&bytes).unwrap()), Err(LeaseKeyError));
    }
}
