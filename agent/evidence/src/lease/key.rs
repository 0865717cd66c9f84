use thiserror::Error;

use crate::tpm::{Curve, HashAlgorithm, ObjectAttributes, Public, PublicKey, SignatureScheme};

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

/// Checks a lease key or an authorization key on a device, before keys are created that depend on it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_assembled_key_is_what_its_bytes_say() {
        let key = lease_key_public(&[1; 32], &[2; 32]);
        assert_eq!(Public::unmarshal(key.as_bytes()), Ok(key.clone()));
        assert_eq!(check_lease_key(&key), Ok(()));
    }

    #[test]
    fn a_key_of_another_make_is_refused() {
        let mut bytes = lease_key_public(&[1; 32], &[2; 32]).as_bytes().to_vec();
        bytes[7] |= 0x02; // fixedTPM
        assert_eq!(check_lease_key(&Public::unmarshal(&bytes).unwrap()), Err(LeaseKeyError));
    }
}
