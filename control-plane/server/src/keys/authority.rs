use std::path::Path;

use p256::ecdsa::VerifyingKey;
use pawl_proto::Digest;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PublicKeyData, RevocationReason, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::signing::key_pem;
use super::{AUTHORITY_KEY, Identity, KeysError, file};

/// The certificate authority of one control plane and its devices.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

impl Authority {
    pub(super) fn load_or_create(dir: &Path) -> Result<Self, KeysError> {
        let key_path = dir.join(AUTHORITY_KEY);
        let certificate_path = dir.join("ca.pem");
        let key_pem = key_pem(&key_path)?;
        let key = KeyPair::from_pem(&key_pem).map_err(|_| KeysError::Contents(key_path))?;
        if !certificate_path.exists() {
            file::write_public(&certificate_path, &authority_params()?.self_signed(&key)?.pem())?;
        }
        // Devices get a copy of this file.
        file::make_public(&certificate_path)?;
        let pem = file::read(&certificate_path)?.to_string();
        let contents = || KeysError::Contents(certificate_path.clone());
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| contents())?;
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(|_| contents())?;
        Ok(Self { issuer, pem, der })
    }

    /// Returns the authority's certificate, DER.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Returns the authority's certificate, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// Returns SHA-256 of the authority's public key.
    #[must_use]
    pub fn key_digest(&self) -> Digest {
        Digest::of(self.issuer.key().der_bytes())
    }

    /// Issues a certificate for a device's link key: TLS client authentication, common name = `device`.
    ///
    /// `request` is a PKCS #10 request in DER that `key` must have signed, which proves that the device's TPM can use this
    /// key under the pairing's policy. The content of the request is ignored.
    ///
    /// # Errors
    /// [`LinkRequestError`] names the failed check.
    pub fn link_certificate(
        &self,
        device: &str,
        key: &VerifyingKey,
        request: &[u8],
    ) -> Result<LinkCertificate, LinkRequestError> {
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request))
            .map_err(|_| LinkRequestError::Signature)?;
        if request.public_key.der_bytes() != key.to_encoded_point(false).as_bytes() {
            return Err(LinkRequestError::OtherKey);
        }
        let params = client_params(device).map_err(LinkRequestError::Issue)?;
        let serial = params.serial_number.as_ref().map(SerialNumber::to_bytes).unwrap_or_default();
        let der = self.issue(&params, &request.public_key).map_err(LinkRequestError::Issue)?;
        Ok(LinkCertificate { der, serial })
    }

    /// Signs a list (RFC 5280, section 5, PEM) of the certificates with these serial numbers. It never expires: a broker
    /// with an expired list would refuse every device. `number` must rise with every list.
    ///
    /// # Errors
    /// When it cannot be signed, which does not happen.
    pub fn revocation_list(&self, number: u64, serials: &[Vec<u8>]) -> Result<String, rcgen::Error> {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial),
            revocation_time: date_time_ymd(1975, 1, 1),
            reason_code: Some(RevocationReason::CessationOfOperation),
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(1975, 1, 1),
            next_update: date_time_ymd(9999, 12, 31),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer)?.pem()
    }

    /// Issues a client certificate for the broker with a new key that is not stored.
    ///
    /// # Errors
    /// When it cannot be issued, which does not happen with a valid name.
    pub fn passing_client(
        &self,
        name: &str,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), rcgen::Error> {
        let key = KeyPair::generate()?;
        let certificate = self.issue(&client_params(name)?, &key)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok((vec![certificate, self.der.clone()], key))
    }

    pub(super) fn issue(
        &self,
        params: &CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<CertificateDer<'static>, rcgen::Error> {
        Ok(params.signed_by(key, &self.issuer)?.into())
    }

    pub(super) fn ensure_server(&self, identity: &Identity, host_names: &[String]) -> Result<(), KeysError> {
        let mut params = CertificateParams::new(host_names)?;
        params.distinguished_name =
            common_name(host_names.first().map_or("pawl-control-plane", String::as_str));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        common_params(&mut params)?;
        self.ensure(identity, params)
    }

    pub(super) fn ensure_client(&self, identity: &Identity, name: &str) -> Result<(), KeysError> {
        self.ensure(identity, client_params(name)?)
    }

    pub(super) fn ensure(&self, identity: &Identity, params: CertificateParams) -> Result<(), KeysError> {
        if identity.certificate.exists() && identity.key.exists() {
            return Ok(());
        }
        let pem = key_pem(&identity.key)?;
        let key = KeyPair::from_pem(&pem).map_err(|_| KeysError::Contents(identity.key.clone()))?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        file::write(&identity.certificate, &format!("{}{}", certificate.pem(), self.pem))?;
        Ok(())
    }
}

fn authority_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("Pawl fleet authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    common_params(&mut params)?;
    // The authority signs only certificates and lists.
    params.key_usages.retain(|usage| *usage != KeyUsagePurpose::DigitalSignature);
    Ok(params)
}

fn client_params(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    common_params(&mut params)?;
    Ok(params)
}

/// Sets the fields that all certificates share. None of them expires: a pairing ends by its epoch, which the TPM
/// enforces, and a device with a wrong clock must still be able to connect. They are valid from 1975 to the date that
/// RFC 5280, section 4.1.2.5, defines as "no well-defined expiration".
pub(super) fn common_params(params: &mut CertificateParams) -> Result<(), rcgen::Error> {
    params.not_before = date_time_ymd(1975, 1, 1);
    params.not_after = date_time_ymd(9999, 12, 31);
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(SerialNumber::from_slice(&random_serial()?));
    params.key_usages.push(KeyUsagePurpose::DigitalSignature);
    Ok(())
}

/// Draws a positive serial number of 126 random bits (RFC 5280, section 4.1.2.2).
fn random_serial() -> Result<[u8; 16], rcgen::Error> {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|_| rcgen::Error::RingUnspecified)?;
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    Ok(serial)
}

pub(super) fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::CommonName, name);
    distinguished_name
}

/// The certificate of a device's link key.
pub struct LinkCertificate {
    /// The certificate.
    pub der: CertificateDer<'static>,
    /// Its serial number, which a revocation list names.
    pub serial: Vec<u8>,
}

/// Why no certificate is issued for a link key.
#[derive(Debug, thiserror::Error)]
pub enum LinkRequestError {
    /// The request is malformed or not signed by the key in it.
    #[error("the certificate request is malformed or its signature is invalid")]
    Signature,
    /// The request is for another key than the certified one.
    #[error("the certificate request is for another key than the certified link key")]
    OtherKey,
    /// The certificate could not be made.
    #[error("cannot make the link certificate: {0}")]
    Issue(rcgen::Error),
}
