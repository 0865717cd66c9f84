use p256::ecdsa::{Signature, SigningKey, signature::Signer as _};
use p256::pkcs8::DecodePrivateKey as _;
use pawl_evidence::assurance::{
    ASSURANCE_EKU_EXTENSION, ActionClaims, Approved, Approver, Claims, Expected, SigningInput,
};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

pub(crate) const DEVICE: &str = "aaaabbbbccccddddeeeeffffgggghhhh";
pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const DIGEST: [u8; 32] = [0x42; 32];

/// The values that a receiver of [`claims`] expects.
pub(crate) const EXPECTED: Expected<'_> = Expected {
    device: Some(DEVICE),
    action: "firmware-update",
    resource: "plc-7",
    digest: &DIGEST,
    session: "challenge 1",
};

/// Returns the claims of an assurance that a person approved and that is valid for five minutes.
pub(crate) fn claims() -> Claims {
    Claims {
        iss: "https://control.example".into(),
        sub: DEVICE.into(),
        jti: "00112233445566778899aabbccddeeff".into(),
        iat: NOW,
        exp: NOW + 300,
        pawl: ActionClaims {
            pairing: "ffeeddccbbaa99887766554433221100".into(),
            epoch: 7,
            action: "firmware-update".into(),
            resource: "plc-7".into(),
            digest: DIGEST,
            session: "challenge 1".into(),
            origin: "uid 1000 (updater.service)".into(),
            boot: [1; 32],
            evidence: [2; 32],
            statement: [3; 32],
            approved: Approved::Persons(vec![Approver {
                by: "anna@example.org".into(),
                key: "SHA256:uNiVztksCsDhcc0u9e8BrT9pFqfjvN7Yh5rnqEB8Tss".into(),
                time: NOW - 5,
            }]),
        },
    }
}

/// A CA like the control plane's.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) der: Vec<u8>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = named("Pawl fleet authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { issuer: Issuer::new(params, key), der }
    }

    pub(crate) fn certify(&self, params: &CertificateParams, key: &KeyPair) -> Vec<u8> {
        params.signed_by(key, &self.issuer).unwrap().der().to_vec()
    }
}

/// An action key in software, and its certificate.
pub(crate) struct ActionKey {
    pub(crate) pair: KeyPair,
    pub(crate) certificate: Vec<u8>,
    pub(crate) authority: Vec<u8>,
}

impl ActionKey {
    pub(crate) fn new(authority: &Authority) -> Self {
        Self::with(authority, &action_params())
    }

    pub(crate) fn with(authority: &Authority, params: &CertificateParams) -> Self {
        let pair = KeyPair::generate().unwrap();
        let certificate = authority.certify(params, &pair);
        Self { pair, certificate, authority: authority.der.clone() }
    }

    pub(crate) fn assurance(&self, claims: &Claims) -> String {
        let input = SigningInput::new(claims, &[&self.certificate, &self.authority]).unwrap();
        self.sign(input.as_str())
    }

    /// Signs any text.
    pub(crate) fn sign(&self, text: &str) -> String {
        use base64::Engine as _;
        let key = SigningKey::from_pkcs8_der(&self.pair.serialize_der()).unwrap();
        let signature: Signature = key.sign(text.as_bytes());
        let signature = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(signature.to_bytes());
        format!("{text}.{signature}")
    }
}

/// Returns the parameters of a valid action key certificate.
pub(crate) fn action_params() -> CertificateParams {
    purposed(DEVICE, &ASSURANCE_EKU_EXTENSION)
}

/// Returns the parameters of a leaf with this extendedKeyUsage.
pub(crate) fn purposed(name: &str, usage: &[u8]) -> CertificateParams {
    let mut params = named(name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 37], usage.to_vec()));
    params
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(1975, 1, 1);
    params.not_after = date_time_ymd(9999, 12, 31);
    params.use_authority_key_identifier_extension = true;
    params
}
