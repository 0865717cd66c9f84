//! The control plane's own keys and certificates, created at the first start.
//!
//! One certificate authority, which devices pin, signs every certificate of the fleet: those of the HTTPS server, the
//! broker, the control plane's connection to the broker, and each device's link key. The [`SigningKeys`] sign what devices
//! and receivers act on, one purpose each. The [`AuditKey`] signs bundles of records for auditors.

mod authority;
mod file;
mod signing;

use std::path::{Path, PathBuf};

pub use authority::{Authority, LinkCertificate, LinkRequestError};
pub use file::FileError;
pub(crate) use signing::AUDIT_EKU_OID;
pub use signing::{AUDIT_EKU, AuditKey, SigningKeys};

use pawl_verifier::pairing::OfferKey;

use crate::config::Config;

/// The authority's key. Without it no other key of the control plane is of use to the fleet.
const AUTHORITY_KEY: &str = "ca.key";

/// The name in the certificate of the control plane's connection to the broker, and in the broker's ACL.
pub const BROKER_USER: &str = "pawl-control-plane";

/// All keys of the control plane, and the paths of the servers' files.
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
    /// The certificate chain and key of the connection to the broker.
    pub broker_client: Identity,
    /// Whether this start created them.
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

/// The broker's files, under the state directory.
#[derive(Clone, Debug)]
pub struct BrokerFiles {
    /// The authority of the devices' certificates.
    pub authority: PathBuf,
    /// The list of revoked certificates.
    pub revocations: PathBuf,
    /// The broker's certificate and key.
    pub server: Identity,
}

impl Keys {
    /// Creates the state directory if it is missing. Returns whether it has the authority's key.
    ///
    /// # Errors
    /// [`KeysError`] when others may enter the directory or it belongs to another user.
    pub fn exist(config: &Config) -> Result<bool, KeysError> {
        file::private_dir(&config.state_dir)?;
        Ok(config.state_dir.join(AUTHORITY_KEY).exists())
    }

    /// Loads the keys, and creates the missing ones.
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
        let offers = signing::load_offer_key(dir)?;
        Ok(Self { authority, signing, audit, offers, https, broker_client, created })
    }

    /// Writes the list of revoked link certificates for the broker.
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
    /// Returns the paths of the broker's files.
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

/// Why keys cannot be loaded or created.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file does not contain a key or certificate of the control plane.
    #[error("{}: not a P-256 key or certificate of this control plane; restore it from a backup", .0.display())]
    Contents(PathBuf),
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::testing::{Device, Rig, request_for};

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn keys_are_created_once_and_private() {
        let rig = Rig::new();
        let dir = &rig.plane.config.state_dir;
        let again = Keys::load_or_create(&rig.plane.config).unwrap();
        assert!(rig.plane.keys.created && !again.created);
        assert_eq!(again.authority.certificate(), rig.plane.keys.authority.certificate());
        assert_eq!(again.signing.lease.name(), rig.plane.keys.signing.lease.name());
        assert_eq!(mode(dir), 0o700);
        for entry in std::fs::read_dir(dir).unwrap().chain(std::fs::read_dir(dir.join("broker")).unwrap()) {
            let path = entry.unwrap().path();
            if path.is_file() && !path.display().to_string().contains("sqlite") {
                let expected = if path == dir.join("ca.pem") { 0o644 } else { 0o600 };
                assert_eq!(mode(&path), expected, "{}", path.display());
            }
        }
    }

    #[test]
    fn a_directory_that_others_may_enter_is_refused() {
        let rig = Rig::new();
        let dir = &rig.plane.config.state_dir;
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o750)).unwrap();
        let error = Keys::load_or_create(&rig.plane.config).err().unwrap().to_string();
        assert!(error.contains("chmod 0700"), "{error}");
    }

    #[test]
    fn a_damaged_key_is_named() {
        let rig = Rig::new();
        let path = rig.plane.config.state_dir.join("order.key");
        std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\n").unwrap();
        let error = Keys::load_or_create(&rig.plane.config).err().unwrap().to_string();
        assert!(error.contains("order.key"), "{error}");
    }

    #[test]
    fn a_link_certificate_is_issued_only_for_the_certified_key() {
        let rig = Rig::new();
        let authority = &rig.plane.keys.authority;
        let device = Device::new();
        let (link, other) = (&device.link_key, &device.device_key);
        let name = device.id().to_string();

        let request = request_for(link);
        assert!(authority.link_certificate(&name, link.verifying_key(), request.as_bytes()).is_ok());
        let foreign = authority.link_certificate(&name, other.verifying_key(), request.as_bytes());
        assert!(matches!(foreign, Err(LinkRequestError::OtherKey)));
        let mut altered = request.into_vec();
        *altered.last_mut().unwrap() ^= 1;
        let forged = authority.link_certificate(&name, link.verifying_key(), &altered);
        assert!(matches!(forged, Err(LinkRequestError::Signature)));
    }
}
