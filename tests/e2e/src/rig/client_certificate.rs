//! Client certificates for the broker, made with openssl.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use pawl_evidence::assurance::ASSURANCE_EKU;

use super::{Rig, process};

/// A certificate and its key, as mosquitto's clients want them.
#[derive(Clone)]
pub struct ClientCertificate {
    /// PEM.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

impl ClientCertificate {
    /// The control plane's own. The broker gives one connection to a certificate: anyone who connects
    /// with this one evicts the control plane.
    #[must_use]
    pub fn of_control_plane(rig: &Rig) -> Self {
        let state = rig.control_plane.state_dir();
        Self { certificate: state.join("mqtt.pem"), key: state.join("mqtt.key") }
    }

    /// One for `common_name` that the control plane's authority signs, like a device's own: the
    /// real key never leaves its TPM.
    ///
    /// # Errors
    /// When openssl fails; so for all of the following.
    pub fn issued(rig: &Rig, common_name: &str) -> Result<Self> {
        let state = rig.control_plane.state_dir();
        make(rig, common_name, &state.join("ca.pem"), &state.join("ca.key"), "clientAuth")
    }

    /// One for `common_name` like those of action keys.
    ///
    /// # Errors
    /// As above.
    pub fn for_actions(rig: &Rig, common_name: &str) -> Result<Self> {
        let state = rig.control_plane.state_dir();
        make(rig, common_name, &state.join("ca.pem"), &state.join("ca.key"), ASSURANCE_EKU)
    }

    /// One for `common_name` by an authority that the broker does not trust.
    ///
    /// # Errors
    /// As above.
    pub fn of_stranger(rig: &Rig, common_name: &str) -> Result<Self> {
        let place = rig.directory().create("stranger")?;
        let (ca, key) = (place.join("ca.pem"), place.join("ca.key"));
        let mut request =
            openssl(&["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        request
            .args(["-days", "1", "-subj", "/CN=Somebody's authority", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&ca);
        process::run(&request)?;
        make(rig, common_name, &ca, &key, "clientAuth")
    }
}

fn make(rig: &Rig, common_name: &str, ca: &Path, ca_key: &Path, purpose: &str) -> Result<ClientCertificate> {
    let place = rig.directory().create("clients")?;
    let authority = ca.parent().and_then(Path::file_name).unwrap_or_default().display();
    let file = |extension| place.join(format!("{authority}-{common_name}-{purpose}.{extension}"));
    let made = ClientCertificate { certificate: file("pem"), key: file("key") };
    let (request, extensions) = (file("csr"), file("ext"));
    let text = format!("extendedKeyUsage={purpose}\nbasicConstraints=critical,CA:FALSE\n");
    std::fs::write(&extensions, text).with_context(|| format!("write {}", extensions.display()))?;

    let mut key = openssl(&["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    key.arg("-subj")
        .arg(format!("/CN={common_name}"))
        .arg("-keyout")
        .arg(&made.key)
        .arg("-out")
        .arg(&request);
    process::run(&key)?;
    let mut sign = openssl(&["x509", "-req", "-days", "1", "-sha256"]);
    sign.arg("-in").arg(&request).arg("-CA").arg(ca).arg("-CAkey").arg(ca_key);
    sign.arg("-extfile").arg(&extensions).arg("-out").arg(&made.certificate);
    process::run(&sign)?;
    Ok(made)
}

fn openssl(arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(arguments);
    command
}
