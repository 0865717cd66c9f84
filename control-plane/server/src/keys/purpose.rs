//! Certificates for keys that do no TLS: each names its one purpose.

use std::ops::Range;
use std::time::Duration;

use p256::ecdsa::VerifyingKey;
use p256::pkcs8::EncodePublicKey as _;
use pawl_evidence::assurance::ASSURANCE_EKU_EXTENSION;
use rcgen::{CertificateParams, CustomExtension, SubjectPublicKeyInfo, date_time_ymd};
use rustls::pki_types::CertificateDer;

use super::authority::{Authority, common_name, common_params};
use super::{Identity, KeysError};

/// The key purpose (RFC 5280, section 4.2.1.12) of the key that signs bundles of records: an object
/// identifier from a UUID (ITU-T X.667).
pub const AUDIT_EKU: &str = "2.25.94217430580747731767609444232290120739";

/// Its contents octets in DER.
pub(crate) const AUDIT_EKU_OID: [u8; 20] = [
    0x69, 0x81, 0x8d, 0xe1, 0xce, 0xfe, 0xa6, 0xd5, 0xda, 0x95, 0x9f, 0xb6, 0xc0, 0x9f, 0x98, 0xe0, 0x94,
    0xb0, 0xe8, 0x23,
];

const EXTENDED_KEY_USAGE: [u64; 4] = [2, 5, 29, 37];
/// A sequence of 22 bytes, in it an object identifier of 20.
const ONE_PURPOSE: [u8; 4] = [0x30, 0x16, 0x06, 0x14];

impl Authority {
    /// A certificate for a device's action key, of which assurances are to be made: common name =
    /// `device`, valid in these seconds since 1970.
    ///
    /// The caller has the attestation key's word that this key lives in the device's TPM.
    ///
    /// # Errors
    /// When it cannot be made, which does not happen with a valid key.
    pub fn action_certificate(
        &self,
        device: &str,
        key: &VerifyingKey,
        valid: Range<u64>,
    ) -> Result<CertificateDer<'static>, rcgen::Error> {
        let spki = key.to_public_key_der().map_err(|_| rcgen::Error::RingUnspecified)?;
        let key = SubjectPublicKeyInfo::from_der(spki.as_bytes())?;
        let mut params = params(device, ASSURANCE_EKU_EXTENSION.to_vec())?;
        let epoch = date_time_ymd(1970, 1, 1);
        params.not_before = epoch + Duration::from_secs(valid.start);
        params.not_after = epoch + Duration::from_secs(valid.end);
        self.issue(&params, &key)
    }

    pub(super) fn ensure_audit(&self, identity: &Identity) -> Result<(), KeysError> {
        let purpose = [&ONE_PURPOSE[..], &AUDIT_EKU_OID].concat();
        self.ensure(identity, params("pawl-control-plane records", purpose)?)
    }
}

fn params(name: &str, purpose: Vec<u8>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    common_params(&mut params)?;
    params.custom_extensions.push(CustomExtension::from_oid_content(&EXTENDED_KEY_USAGE, purpose));
    Ok(params)
}
