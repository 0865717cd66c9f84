use super::certificate::Certificate;
use super::der::{BIT_STRING, Der, SEQUENCE};
use super::pem;
use super::signature::verify;
use super::subject_key::SubjectKey;
use crate::tpm::HashAlgorithm;

/// A SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKeyInfo {
    whole: Vec<u8>,
    bits: Vec<u8>,
    key: SubjectKey,
}

impl PublicKeyInfo {
    /// Returns `None` if it is malformed.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let mut outer = Der::new(der);
        let info = outer.inside(SEQUENCE).filter(|_| outer.is_empty())?;
        let mut fields = info.clone();
        fields.expect(SEQUENCE)?;
        let (_unused_bits, bits) = fields.expect(BIT_STRING)?.content.split_first()?;
        Some(Self { whole: der.to_vec(), bits: bits.to_vec(), key: SubjectKey::read(info)? })
    }

    /// Returns the key in DER, unmodified.
    pub(crate) fn whole(&self) -> &[u8] {
        &self.whole
    }

    /// Returns the content of the BIT STRING, from which key identifiers derive (RFC 5280, section 4.2.1.2).
    pub(crate) fn bits(&self) -> &[u8] {
        &self.bits
    }

    /// Returns whether signatures of this kind of key can be verified.
    pub(crate) fn can_verify(&self) -> bool {
        self.key.can_verify()
    }

    /// Returns whether this key signed the digest: RSASSA-PKCS1-v1_5, or ECDSA in DER.
    pub(crate) fn verifies(&self, hash: HashAlgorithm, digest: &[u8], signature: &[u8]) -> bool {
        verify(&self.key, hash, digest, signature)
    }
}

/// Reads a single key from a certificate, with its key identifier, or a bare key; in PEM or DER.
pub(crate) fn read_public_key(bytes: &[u8]) -> Option<(PublicKeyInfo, Option<Vec<u8>>)> {
    let certificates = pem::read_blocks(bytes, "CERTIFICATE")?;
    let keys = pem::read_blocks(bytes, "PUBLIC KEY")?;
    match (certificates.as_slice(), keys.as_slice()) {
        ([certificate], []) => of_certificate(&Certificate::read(certificate)?),
        ([], [key]) => Some((PublicKeyInfo::read(key)?, None)),
        ([], []) => match Certificate::read(bytes) {
            Some(certificate) => of_certificate(&certificate),
            None => Some((PublicKeyInfo::read(bytes)?, None)),
        },
        _ => None,
    }
}

fn of_certificate(certificate: &Certificate) -> Option<(PublicKeyInfo, Option<Vec<u8>>)> {
    let key = PublicKeyInfo::read(&certificate.key_info)?;
    Some((key, certificate.extensions.subject_key_id.clone()))
}
