//! Checks that the storage root key that the daemon read from the bus is the parent of the pairing's keys in the TPM.
//!
//! The daemon encrypts secrets to that key. It reads the key's public area from the bus, where an attacker can replace it. So the
//! daemon compares it with the qualified name of the vault key, which the attestation key certifies. The control plane has verified
//! that the attestation key is in this TPM.

use p256::ecdsa::VerifyingKey;
use p256::ecdsa::signature::Verifier as _;
use pawl_evidence::tpm::{
    Attest, Attested, Curve, Hierarchy, Name, Public, PublicKey, Signature, uncompressed_point,
};
use pawl_proto::Nonce;
use pawl_proto::message::CertifiedKey;

/// Checks that the attestation key certifies `key`, with this nonce, as a child of the storage root key of this name.
///
/// # Errors
/// [`ParentError`]
pub(super) fn check(
    attestation_key: &[u8],
    key: &CertifiedKey,
    nonce: Nonce,
    storage_key: &[u8],
) -> Result<(), ParentError> {
    let attested = verified(attestation_key, key, nonce).ok_or(ParentError::Attestation)?;
    let name = Public::unmarshal(key.public.as_bytes()).map_err(|_| ParentError::Attestation)?.name();
    let parent = Name::from_bytes(storage_key).map_err(|_| ParentError::Replaced)?;
    let expected = name.below(&parent.in_hierarchy(Hierarchy::Owner));
    match attested {
        Attested::Certify { name: certified, .. } if certified != name => Err(ParentError::Attestation),
        Attested::Certify { qualified_name, .. } if qualified_name == expected => Ok(()),
        Attested::Certify { .. } => Err(ParentError::Replaced),
        _ => Err(ParentError::Attestation),
    }
}

/// Returns the attested structure; none if the attestation key did not sign it with this nonce.
fn verified(attestation_key: &[u8], key: &CertifiedKey, nonce: Nonce) -> Option<Attested> {
    let public = Public::unmarshal(attestation_key).ok()?;
    let PublicKey::Ecc { curve: Curve::P256, x, y, .. } = public.key() else { return None };
    let verifying = VerifyingKey::from_sec1_bytes(&uncompressed_point(Curve::P256, x, y)).ok()?;
    let signature = Signature::unmarshal(key.signature.as_bytes()).ok()?;
    let signature = p256::ecdsa::Signature::from_slice(&signature.to_r_s()).ok()?;
    verifying.verify(key.attest.as_bytes(), &signature).ok()?;
    let attest = Attest::unmarshal(key.attest.as_bytes()).ok()?;
    (attest.extra_data == nonce.as_bytes()).then_some(attest.attested)
}

/// Why the parent of the pairing's keys is not verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParentError {
    #[error(
        "the attestation key does not certify the vault key: something between CPU and TPM alters answers"
    )]
    Attestation,
    #[error(
        "the TPM certifies the vault key below another storage root key than the one that answered: something between \
         CPU and TPM replaces keys"
    )]
    Replaced,
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::SigningKey;
    use p256::ecdsa::signature::Signer as _;
    use pawl_proto::message::TpmStructure;

    use super::*;

    const NONCE: Nonce = Nonce([7; 32]);

    fn sized(bytes: &[u8]) -> Vec<u8> {
        [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
    }

    fn public(key: &SigningKey) -> Vec<u8> {
        let point = key.verifying_key().to_encoded_point(false);
        let head = [0, 0x23, 0, 0x0b, 0, 5, 4, 0x72, 0, 0, 0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10];
        [&head[..], &sized(point.x().unwrap()), &sized(point.y().unwrap())].concat()
    }

    fn name(of: &[u8]) -> Name {
        Public::unmarshal(of).unwrap().name()
    }

    /// Returns the result of TPM2_Certify for `key` below `parent`, signed by `ak`.
    fn certified(ak: &SigningKey, key: &[u8], parent: &Name, nonce: Nonce) -> CertifiedKey {
        let qualified = name(key).below(&parent.in_hierarchy(Hierarchy::Owner));
        let attest = [
            &[0xff, 0x54, 0x43, 0x47, 0x80, 0x17][..],
            &sized(b""),
            &sized(nonce.as_bytes()),
            &[0; 16],
            &[1],
            &[0; 8],
            &sized(name(key).as_bytes()),
            &sized(qualified.as_bytes()),
        ]
        .concat();
        let signature: p256::ecdsa::Signature = ak.sign(&attest);
        CertifiedKey {
            public: TpmStructure::new(key.to_vec()).unwrap(),
            attest: TpmStructure::new(attest).unwrap(),
            signature: TpmStructure::new(Signature::from_r_s(&signature.to_bytes().into()).marshal())
                .unwrap(),
        }
    }

    #[test]
    fn a_storage_key_that_was_replaced_on_the_bus_is_detected() {
        let [ak, key, genuine, attackers] =
            [1, 2, 3, 4].map(|seed| SigningKey::from_slice(&[seed; 32]).unwrap());
        let [ak_public, key, genuine, attackers] = [&ak, &key, &genuine, &attackers].map(public);
        let vault = certified(&ak, &key, &name(&genuine), NONCE);
        assert_eq!(check(&ak_public, &vault, NONCE, name(&genuine).as_bytes()), Ok(()));
        let replaced = check(&ak_public, &vault, NONCE, name(&attackers).as_bytes());
        assert_eq!(replaced, Err(ParentError::Replaced));
        // An attacker on the bus cannot sign with the attestation key of this TPM.
        let forged = certified(&SigningKey::from_slice(&[9; 32]).unwrap(), &key, &name(&attackers), NONCE);
        let refused = check(&ak_public, &forged, NONCE, name(&attackers).as_bytes());
        assert_eq!(refused, Err(ParentError::Attestation));
        let stale = certified(&ak, &key, &name(&genuine), Nonce([8; 32]));
        let refused = check(&ak_public, &stale, NONCE, name(&genuine).as_bytes());
        assert_eq!(refused, Err(ParentError::Attestation));
    }
}
