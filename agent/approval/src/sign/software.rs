use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair,
};
use zeroize::Zeroizing;

use crate::key::{KeyKind, PublicKey};
use crate::wire::{Reader, left_padded, put_positive, put_string};

/// A private key in memory.
pub(super) enum SoftwareKey {
    Ed25519(Ed25519KeyPair),
    Ecdsa { name: &'static str, pair: EcdsaKeyPair },
}

impl SoftwareKey {
    /// Whether keys of this kind can be loaded.
    pub(super) fn is_supported(key: &PublicKey) -> bool {
        matches!(key.kind(), KeyKind::Ed25519 { .. } | KeyKind::EcdsaP256 { .. } | KeyKind::EcdsaP384 { .. })
    }

    /// Reads the private fields. `None` as well if they do not belong to the public key: what a key signs
    /// with the wrong half can give it away.
    pub(super) fn read_ed25519(reader: &mut Reader<'_>, public: &[u8; 32]) -> Option<Self> {
        let _public = reader.string()?;
        let (seed, _public) = reader.string()?.split_at_checked(32)?;
        Ed25519KeyPair::from_seed_and_public_key(seed, public).ok().map(Self::Ed25519)
    }

    pub(super) fn read_p256(reader: &mut Reader<'_>, public: &[u8; 65]) -> Option<Self> {
        let scalar = Zeroizing::new(read_scalar::<32>(reader)?);
        ecdsa("ecdsa-sha2-nistp256", &ECDSA_P256_SHA256_FIXED_SIGNING, scalar.as_slice(), public)
    }

    pub(super) fn read_p384(reader: &mut Reader<'_>, public: &[u8; 97]) -> Option<Self> {
        let scalar = Zeroizing::new(read_scalar::<48>(reader)?);
        ecdsa("ecdsa-sha2-nistp384", &ECDSA_P384_SHA384_FIXED_SIGNING, scalar.as_slice(), public)
    }

    /// The signature in the form of the key's algorithm.
    pub(super) fn sign(&self, data: &[u8]) -> Option<Vec<u8>> {
        let mut signature = Vec::new();
        match self {
            Self::Ed25519(pair) => {
                put_string(&mut signature, b"ssh-ed25519");
                put_string(&mut signature, pair.sign(data).as_ref());
            }
            Self::Ecdsa { name, pair } => {
                let fixed = pair.sign(&SystemRandom::new(), data).ok()?;
                let (r, s) = fixed.as_ref().split_at_checked(fixed.as_ref().len() / 2)?;
                let mut value = Vec::new();
                put_positive(&mut value, r);
                put_positive(&mut value, s);
                put_string(&mut signature, name.as_bytes());
                put_string(&mut signature, &value);
            }
        }
        Some(signature)
    }
}

fn read_scalar<const N: usize>(reader: &mut Reader<'_>) -> Option<[u8; N]> {
    let (_curve, _public) = (reader.name()?, reader.string()?);
    left_padded(reader.positive()?)
}

fn ecdsa(
    name: &'static str,
    algorithm: &'static EcdsaSigningAlgorithm,
    scalar: &[u8],
    public: &[u8],
) -> Option<SoftwareKey> {
    let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, scalar, public, &SystemRandom::new());
    Some(SoftwareKey::Ecdsa { name, pair: pair.ok()? })
}
