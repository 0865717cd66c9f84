use std::path::Path;

use p256::ecdsa::SigningKey;
use p256::pkcs8::DecodePrivateKey as _;
use pawl_evidence::assurance::AuthorizationKey;
use pawl_evidence::lease::LeaseKey;
use pawl_verifier::pairing::PolicyKeys;
use rcgen::KeyPair;
use zeroize::Zeroizing;

use super::{KeysError, file};

/// The keys whose signatures devices and token receivers act on. Each has one purpose, so that a
/// signature of one kind can never be taken for one of another.
pub struct SigningKeys {
    /// Approves what the TPM then allows.
    pub lease: LeaseKey,
    /// Signs verdicts and events.
    pub order: SigningKey,
    /// Signs access tokens.
    pub token: SigningKey,
    /// Authorizes protected actions to the TPM.
    pub authorization: AuthorizationKey,
}

impl SigningKeys {
    /// The names that stand in the policies of devices' keys.
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

/// The PKCS #8 PEM of the P-256 key at `path`, which is made if it is missing.
pub(super) fn key_pem(path: &Path) -> Result<Zeroizing<String>, KeysError> {
    if !path.exists() {
        let pem = Zeroizing::new(KeyPair::generate()?.serialize_pem());
        file::write(path, &pem)?;
    }
    Ok(file::read(path)?)
}
