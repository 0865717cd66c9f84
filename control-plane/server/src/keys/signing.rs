//! The keys that sign messages, records and assurances. Certificates for them name one purpose each, none of them TLS.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _};
use pawl_evidence::assurance::{ASSURANCE_EKU_EXTENSION, AuthorizationKey};
use pawl_evidence::lease::LeaseKey;
use pawl_verifier::pairing::{OfferKey, PolicyKeys};
use rcgen::{CertificateParams, CustomExtension, KeyPair, SubjectPublicKeyInfo, date_time_ymd};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use super::authority::{Authority, common_name, common_params};
use super::{Identity, KeysError, file};

/// The keys whose signatures devices and receivers of tokens act on. Each has one purpose, so that a signature of one kind
/// is never valid as another.
pub struct SigningKeys {
    /// Signs the TPM policies of leases.
    pub lease: LeaseKey,
    /// Signs verdicts and events.
    pub order: SigningKey,
    /// Signs access tokens.
    pub token: SigningKey,
    /// Authorizes protected actions to the TPM.
    pub authorization: AuthorizationKey,
}

impl SigningKeys {
    /// Returns the key names in the TPM policies of devices' keys.
    #[must_use]
    pub fn policy_keys(&self) -> PolicyKeys {
        PolicyKeys { lease: self.lease.name(), authorization: self.authorization.public().name() }
    }

    pub(super) fn load_or_create(dir: &Path) -> Result<Self, KeysError> {
        Ok(Self {
            lease: LeaseKey::new(signing_key(&dir.join("lease.key"))?),
            order: signing_key(&dir.join("order.key"))?,
            token: signing_key(&dir.join("token.key"))?,
            authorization: AuthorizationKey::new(signing_key(&dir.join("authorization.key"))?),
        })
    }
}

pub(super) fn signing_key(path: &Path) -> Result<SigningKey, KeysError> {
    let pem = key_pem(path)?;
    SigningKey::from_pkcs8_pem(&pem).map_err(|_| KeysError::Contents(path.to_owned()))
}

/// Returns the PKCS #8 PEM of the P-256 key at `path`, and creates it if it is missing.
pub(super) fn key_pem(path: &Path) -> Result<Zeroizing<String>, KeysError> {
    if !path.exists() {
        let pem = Zeroizing::new(KeyPair::generate()?.serialize_pem());
        file::write(path, &pem)?;
    }
    Ok(file::read(path)?)
}

/// The extended key usage (RFC 5280, section 4.2.1.12) of the audit key: an object identifier from a UUID (ITU-T X.667).
pub const AUDIT_EKU: &str = "2.25.94217430580747731767609444232290120739";

/// Its contents octets in DER.
pub(crate) const AUDIT_EKU_OID: [u8; 20] = [
    0x69, 0x81, 0x8d, 0xe1, 0xce, 0xfe, 0xa6, 0xd5, 0xda, 0x95, 0x9f, 0xb6, 0xc0, 0x9f, 0x98, 0xe0, 0x94,
    0xb0, 0xe8, 0x23,
];

const EXTENDED_KEY_USAGE: [u64; 4] = [2, 5, 29, 37];
/// DER of a sequence of 22 bytes with an object identifier of 20.
const ONE_PURPOSE: [u8; 4] = [0x30, 0x16, 0x06, 0x14];

impl Authority {
    /// Issues a certificate for a device's action key, which signs assurances: common name = `device`, valid in these seconds
    /// since 1970.
    ///
    /// The caller has verified the attestation key's statement that this key is in the device's TPM.
    ///
    /// # Errors
    /// When it cannot be issued, which does not happen with a valid key.
    pub fn action_certificate(
        &self,
        device: &str,
        key: &VerifyingKey,
        valid: Range<u64>,
    ) -> Result<CertificateDer<'static>, rcgen::Error> {
        let spki = key.to_public_key_der().map_err(|_| rcgen::Error::RingUnspecified)?;
        let key = SubjectPublicKeyInfo::from_der(spki.as_bytes())?;
        let mut params = purpose_params(device, ASSURANCE_EKU_EXTENSION.to_vec())?;
        let epoch = date_time_ymd(1970, 1, 1);
        params.not_before = epoch + Duration::from_secs(valid.start);
        params.not_after = epoch + Duration::from_secs(valid.end);
        self.issue(&params, &key)
    }

    pub(super) fn ensure_audit(&self, identity: &Identity) -> Result<(), KeysError> {
        let purpose = [&ONE_PURPOSE[..], &AUDIT_EKU_OID].concat();
        self.ensure(identity, purpose_params("pawl-control-plane records", purpose)?)
    }
}

fn purpose_params(name: &str, purpose: Vec<u8>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    common_params(&mut params)?;
    params.custom_extensions.push(CustomExtension::from_oid_content(&EXTENDED_KEY_USAGE, purpose));
    Ok(params)
}

/// The key that signs bundles of records, with a certificate by the fleet's authority: an auditor needs only the
/// authority's certificate.
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

    /// Returns its certificate, DER.
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

/// Loads the key of offers, and creates it if it is missing.
pub(super) fn load_offer_key(dir: &Path) -> Result<OfferKey, KeysError> {
    let path = dir.join("offer.key");
    if !path.exists() {
        let key = Zeroizing::new(crate::random::bytes::<64>());
        file::write(&path, &Zeroizing::new(hex::encode(key.as_slice())))?;
    }
    let text = file::read(&path)?;
    let mut key = Zeroizing::new([0; 64]);
    hex::decode_to_slice(text.trim(), key.as_mut_slice()).map_err(|_| KeysError::Contents(path))?;
    Ok(OfferKey::new(key))
}
