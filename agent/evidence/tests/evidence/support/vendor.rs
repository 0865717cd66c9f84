//! A TPM vendor: CAs, endorsement certificates and revocation lists.

use pawl_evidence::endorsement::EkTemplate;
use pawl_evidence::tpm::Public;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    CrlIssuingDistributionPoint, CrlScope, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, PublicKeyData as _, RevocationReason, RevokedCertParams, date_time_ymd,
};

/// A CA with its certificate.
pub(crate) struct Ca {
    params: CertificateParams,
    key: KeyPair,
    pub(crate) der: Vec<u8>,
}

impl Ca {
    pub(crate) fn root(name: &str) -> Self {
        let (params, key) = (params(name), KeyPair::generate().unwrap());
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { params, key, der }
    }

    /// Creates a CA below this one, whose certificate has this serial number.
    pub(crate) fn intermediate(&self, name: &str, serial: u64) -> Self {
        let (mut params, key) = (params(name), KeyPair::generate().unwrap());
        params.serial_number = Some(serial.into());
        let der = params.signed_by(&key, &self.issuer()).unwrap().der().to_vec();
        Self { params, key, der }
    }

    /// Creates an endorsement key on P-256 and its certificate, which has this serial number.
    pub(crate) fn endorse(&self, serial: u64) -> (Public, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.serial_number = Some(serial.into());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(vec![2, 23, 133, 8, 1])];
        let leaf = params.signed_by(&key, &self.issuer()).unwrap().der().to_vec();
        (endorsement_key(key.der_bytes()), leaf)
    }

    /// Signs a list of revoked serial numbers that is valid from January to December of `year`.
    pub(crate) fn list(&self, year: i32, serials: &[u64]) -> Vec<u8> {
        self.list_of(year, serials, None)
    }

    /// Signs a list as [`Ca::list`] does; with the scope `part` it covers only a part of this CA's certificates.
    pub(crate) fn list_of(&self, year: i32, serials: &[u64], part: Option<&str>) -> Vec<u8> {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: Some(date_time_ymd(2019, 1, 1)),
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(year, 1, 1),
            next_update: date_time_ymd(year, 12, 1),
            crl_number: 7_u64.into(),
            issuing_distribution_point: part.map(|uri| CrlIssuingDistributionPoint {
                distribution_point: CrlDistributionPoint { uris: vec![uri.to_owned()] },
                scope: Some(CrlScope::UserCertsOnly),
            }),
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer()).unwrap().der().to_vec()
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Returns the public area of the template L-2 with this uncompressed SEC 1 point.
fn endorsement_key(point: &[u8]) -> Public {
    let (x, y) = (&point[1..33], &point[33..]);
    let header = [0x00, 0x23, 0x00, 0x0b, 0x00, 0x03, 0x00, 0xb2, 0, 32];
    let policy = EkTemplate::EccP256.auth_policy();
    let scheme = [0x00, 0x06, 0x00, 0x80, 0x00, 0x43, 0x00, 0x10, 0x00, 0x03, 0x00, 0x10, 0, 32];
    Public::unmarshal(&[&header[..], policy, &scheme, x, &[0, 32], y].concat()).unwrap()
}
