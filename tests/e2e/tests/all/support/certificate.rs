//! Client certificates for the broker, made with openssl.

use std::path::{Path, PathBuf};
use std::process::Command;

use pawl_e2e::Rig;
use pawl_evidence::assurance::ASSURANCE_EKU;

/// A certificate and its key, as mosquitto's clients want them.
pub(crate) struct ClientCertificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl ClientCertificate {
    /// The control plane's own.
    pub(crate) fn of_control_plane(rig: &Rig) -> Self {
        let state = rig.control_plane.state_dir();
        Self { certificate: state.join("mqtt.pem"), key: state.join("mqtt.key") }
    }

    /// One for `common_name` that the control plane's authority signs, like a device's own: the
    /// real key never leaves its TPM.
    pub(crate) fn issued(rig: &Rig, common_name: &str) -> Self {
        let state = rig.control_plane.state_dir();
        make(rig, common_name, &state.join("ca.pem"), &state.join("ca.key"), "clientAuth")
    }

    /// One for `common_name` like those of action keys.
    pub(crate) fn for_actions(rig: &Rig, common_name: &str) -> Self {
        let state = rig.control_plane.state_dir();
        make(rig, common_name, &state.join("ca.pem"), &state.join("ca.key"), ASSURANCE_EKU)
    }
}

/// One for `common_name` by an authority that nobody knows.
pub(crate) fn stranger(rig: &Rig, common_name: &str) -> ClientCertificate {
    let place = rig.directory().create("stranger").unwrap();
    let (ca, key) = (place.join("ca.pem"), place.join("ca.key"));
    let mut request =
        openssl(&["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    request
        .args(["-days", "1", "-subj", "/CN=Somebody's authority", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&ca);
    succeed(request);
    make(rig, common_name, &ca, &key, "clientAuth")
}

fn make(rig: &Rig, common_name: &str, ca: &Path, ca_key: &Path, purpose: &str) -> ClientCertificate {
    let place = rig.directory().create("clients").unwrap();
    let authority = ca.parent().and_then(Path::file_name).unwrap().display();
    let file = |extension| place.join(format!("{authority}-{common_name}-{purpose}.{extension}"));
    let made = ClientCertificate { certificate: file("pem"), key: file("key") };
    let (request, extensions) = (file("csr"), file("ext"));
    let text = format!("extendedKeyUsage={purpose}\nbasicConstraints=critical,CA:FALSE\n");
    std::fs::write(&extensions, text).unwrap();

    let mut key = openssl(&["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    key.arg("-subj")
        .arg(format!("/CN={common_name}"))
        .arg("-keyout")
        .arg(&made.key)
        .arg("-out")
        .arg(&request);
    succeed(key);
    let mut sign = openssl(&["x509", "-req", "-days", "1", "-sha256"]);
    sign.arg("-in").arg(&request).arg("-CA").arg(ca).arg("-CAkey").arg(ca_key);
    sign.arg("-extfile").arg(&extensions).arg("-out").arg(&made.certificate);
    succeed(sign);
    made
}

fn openssl(arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(arguments);
    command
}

fn succeed(mut command: Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "openssl failed: {}", String::from_utf8_lossy(&output.stderr));
}
