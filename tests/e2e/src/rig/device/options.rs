//! What a test chooses of a device, and the configuration that results.

use std::path::{Path, PathBuf};

use crate::rig::ControlPlane;

/// What a test chooses.
#[derive(Clone, Debug)]
pub struct DeviceOptions {
    /// `auto`, `rsa-2048`, `ecc-p256` or `ecc-p384`.
    pub endorsement: &'static str,
    /// The daemon pairs without being asked.
    pub automatic: bool,
    /// The event log of the boot that the TPM measures and the daemon reports.
    pub boot_log: Option<PathBuf>,
    /// systemd's log of what it extended, which the daemon reports.
    pub measure_log: Option<PathBuf>,
    /// The kernel's log of what it measured, which the daemon reports.
    pub ima_log: Option<PathBuf>,
    /// More tables `[[token]]`, beside that of `telemetry`.
    pub tokens: &'static str,
    /// The PCR banks that are active in the TPM, as `swtpm_setup --pcr-banks` takes them.
    pub pcr_banks: &'static str,
    /// A wire tap between the daemon and the TPM.
    pub record: bool,
}

/// Those of most boards.
pub(crate) const PCR_BANKS: &str = "sha256";

impl Default for DeviceOptions {
    fn default() -> Self {
        Self {
            endorsement: "auto",
            automatic: false,
            boot_log: Some(boot_log("x86-good")),
            measure_log: None,
            ima_log: None,
            tokens: "",
            pcr_banks: PCR_BANKS,
            record: false,
        }
    }
}

/// The event log of one of the real boots in `tests/fixtures`.
#[must_use]
pub fn boot_log(boot: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(boot).join("binary_bios_measurements")
}

/// Where the daemon stores, in the device's directory.
pub(super) const STATE: &str = "state";
/// Where it listens.
pub(super) const SOCKET: &str = "pawld.sock";

impl DeviceOptions {
    /// The configuration of a device in `place`.
    pub(super) fn configuration(&self, place: &Path, tcti: &str, control_plane: &ControlPlane) -> String {
        let absent = place.join("absent");
        format!(
            r#"state_dir = "{state}"
socket = "{socket}"
log = "debug"

[control_plane]
url = "{url}"
ca = "{ca}"

[tpm]
tcti = "{tcti}"
endorsement = "{endorsement}"

[pairing]
automatic = {automatic}
{scopes}
[logs]
boot = "{boot}"
measure = "{measure}"
ima = "{ima}"
ima_ascii = "{absent}"

[[token]]
name = "telemetry"
scopes = ["telemetry"]
{tokens}"#,
            tokens = self.tokens,
            // Without this, those of all tokens are asked for.
            scopes = if self.tokens.is_empty() { "scopes = [\"telemetry\"]\n" } else { "" },
            state = place.join(STATE).display(),
            socket = place.join(SOCKET).display(),
            url = control_plane.url(),
            ca = control_plane.ca().display(),
            endorsement = self.endorsement,
            automatic = self.automatic,
            boot = self.boot_log.as_ref().unwrap_or(&absent).display(),
            measure = self.measure_log.as_ref().unwrap_or(&absent).display(),
            ima = self.ima_log.as_ref().unwrap_or(&absent).display(),
            absent = absent.display(),
        )
    }
}
