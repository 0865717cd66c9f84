use thiserror::Error;

use crate::tpm::{Curve, HashAlgorithm, ObjectAttributes, Public, PublicKey, SignatureScheme};

/// An object that is loaded from outside may be neither fixed to a TPM nor restricted. Without `sign` the TPM
/// verifies nothing with it; `userWithAuth` is what the common tools set, and nothing depends on it.
const ATTRIBUTES: ObjectAttributes = ObjectAttributes::USER_WITH_AUTH.union(ObjectAttributes::SIGN);

/// A public area that is not of the make that all lease keys and authorization keys have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the control plane's key is not an ECDSA P-256 key with SHA-256 and the attributes {ATTRIBUTES}")]
pub struct LeaseKeyError;

/// The public area of the control plane's lease key, as `TPM2_LoadExternal` takes it: ECC P-256, ECDSA with
/// SHA-256, no policy. Its name is part of the policy of each key that works under a lease.
///
/// The authorization key of [`crate::assurance`] is another key of the same make.
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

/// Checks what a device is given as lease key or as authorization key, before it makes keys that depend on it.
///
/// # Errors
/// When it is not what [`lease_key_public`] makes of some point.
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
