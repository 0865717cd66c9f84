//! The certificate request of a link key, signed in the TPM (PKCS #10).

use p256::ecdsa::Signature;
use pawl_evidence::tpm::{Public, PublicKey};
use pawl_tpm::{KeyBlob, Tpm};
use rcgen::{CertificateParams, DnType, PublicKeyData, SignatureAlgorithm, SigningKey};
use sha2::{Digest as _, Sha256};

pub(super) fn make(tpm: &Tpm, key: &KeyBlob, epoch: u64, common_name: &str) -> Vec<u8> {
    let PublicKey::Ecc { x, y, .. } = Public::unmarshal(&key.public).unwrap().key().clone() else {
        panic!("the link key is no elliptic curve key")
    };
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    let key = LinkKey { tpm: tpm.clone(), key: key.clone(), epoch, point };
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    parameters.serialize_request(&key).unwrap().der().to_vec()
}

struct LinkKey {
    tpm: Tpm,
    key: KeyBlob,
    epoch: u64,
    /// Uncompressed (SEC 1, 2.3.3).
    point: Vec<u8>,
}

impl PublicKeyData for LinkKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for LinkKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let digest = Sha256::digest(message).into();
        let signature = self.tpm.sign_with_link_blocking(&self.key, self.epoch, digest).unwrap();
        Ok(Signature::from_slice(&signature).unwrap().to_der().as_bytes().to_vec())
    }
}
