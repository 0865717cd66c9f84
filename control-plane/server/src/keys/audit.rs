use std::path::Path;

use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::authority::Authority;
use super::signing::signing_key;
use super::{Identity, KeysError, file};

/// The key that signs bundles of records, with a certificate by the fleet's authority: so that an
/// auditor who has the authority's certificate needs nothing else.
pub struct AuditKey {
    key: SigningKey,
    certificate: CertificateDer<'static>,
}

impl AuditKey {
    pub(super) fn load_or_create(dir: &Path, authority: &Authority) -> Result<Self, KeysError> {
        let identity = Identity::within(dir, "audit");
        authority.ensure_audit(&identity)?;
        let pem = file::read(&identity.certificate)?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| KeysError::Contents(identity.certificate.clone()))?;
        Ok(Self { key: signing_key(&identity.key)?, certificate })
    }

    /// Its certificate, DER.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Signs with ECDSA over SHA-256; the signature is r and s.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature: Signature = self.key.sign(message);
        signature.to_bytes().into()
    }
}
