//! The control plane's own keys and certificates, made on the first start.
//!
//! One certificate authority, which devices pin, signs every certificate of the fleet: of the
//! HTTPS server, of the broker, of the control plane's own connection to it, and of each
//! device's link key. More keys sign what devices and receivers act on, one purpose each: see
//! [`SigningKeys`]. One signs what an auditor takes away: [`AuditKey`].

mod audit;
mod authority;
mod file;
mod offers;
mod purpose;
mod signing;

use std::path::{Path, PathBuf};

pub use audit::AuditKey;
pub use authority::{Authority, LinkCertificate, LinkRequestError};
pub use file::FileError;
pub use purpose::AUDIT_EKU;
pub(crate) use purpose::AUDIT_EKU_OID;
pub use signing::SigningKeys;

use pawl_verifier::pairing::OfferKey;

use crate::config::Config;

/// The name in the certificate of the control plane's own connection to the broker; the
/// broker's ACL knows it.
pub const BROKER_USER: &str = "pawl-control-plane";

/// Everything that is signed with, and where the files of the servers are.
pub struct Keys {
    /// Signs link certificates.
    pub authority: Authority,
    /// Sign leases, orders and access tokens.
    pub signing: SigningKeys,
    /// Signs bundles of records.
    pub audit: AuditKey,
    /// Makes the secrets of pairing offers.
    pub offers: OfferKey,
    /// The HTTPS server's certificate chain and key.
    pub https: Identity,
    /// The same for the connection to the broker.
    pub broker_client: Identity,
    /// Whether this start made them.
    pub created: bool,
}

/// A certificate chain and its key, as PEM files.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The key, PKCS #8.
    pub key: PathBuf,
}

/// What the broker needs, under the state directory.
#[derive(Clone, Debug)]
pub struct BrokerFiles {
    /// The authority of the devices' certificates.
    pub authority: PathBuf,
    /// The certificates that it must not accept any more.
    pub revocations: PathBuf,
    /// The broker's own.
    pub server: Identity,
}

impl Keys {
    /// Loads the keys, and makes those that do not exist yet.
    ///
    /// # Errors
    /// [`KeysError`] names the file.
    pub fn load_or_create(config: &Config) -> Result<Self, KeysError> {
        let dir = &config.state_dir;
        file::private_dir(dir)?;
        let created = !dir.join("ca.pem").exists();
        let authority = Authority::load_or_create(dir)?;

        let https = Identity::within(dir, "https");
        authority.ensure_server(&https, &config.host_names)?;

        let broker = BrokerFiles::within(dir);
        file::private_dir(&dir.join("broker"))?;
        authority.ensure_server(&broker.server, &config.host_names)?;
        if !broker.authority.exists() {
            file::write(&broker.authority, authority.certificate_pem())?;
        }
        if !broker.revocations.exists() {
            file::write(&broker.revocations, &authority.revocation_list(0, &[])?)?;
        }

        let broker_client = Identity::within(dir, "mqtt");
        authority.ensure_client(&broker_client, BROKER_USER)?;
        let signing = SigningKeys::load_or_create(dir)?;
        let audit = AuditKey::load_or_create(dir, &authority)?;
        let offers = offers::load_or_create(dir)?;
        Ok(Self { authority, signing, audit, offers, https, broker_client, created })
    }

    /// Writes the list of the link certificates that the broker must not accept any more.
    ///
    /// # Errors
    /// [`KeysError`]
    pub fn write_revocations(
        &self,
        config: &Config,
        number: u64,
        serials: &[Vec<u8>],
    ) -> Result<(), KeysError> {
        let path = BrokerFiles::within(&config.state_dir).revocations;
        Ok(file::write(&path, &self.authority.revocation_list(number, serials)?)?)
    }
}

impl Identity {
    fn within(dir: &Path, name: &str) -> Self {
        Self { certificate: dir.join(format!("{name}.pem")), key: dir.join(format!("{name}.key")) }
    }
}

impl BrokerFiles {
    /// Where the broker's files are.
    #[must_use]
    pub fn within(state_dir: &Path) -> Self {
        let dir = state_dir.join("broker");
        Self {
            authority: dir.join("ca.pem"),
            revocations: dir.join("crl.pem"),
            server: Identity::within(&dir, "server"),
        }
    }
}

/// Keys that cannot be loaded or made.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file does not hold the key or certificate that its name says.
    #[error("{}: not a P-256 key or certificate of ours; restore it from a backup", .0.display())]
    Contents(PathBuf),
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

#[cfg(test)]
mod tests;
