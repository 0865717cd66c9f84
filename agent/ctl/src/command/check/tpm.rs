//! Checks the TPM: whether it can be opened, its PCR banks, its endorsement certificate, its counters.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use hyper::StatusCode;
use pawl_config::Config;
use pawl_local_api::{LocalStatus, SelfTest};

use super::finding::Finding;
use crate::client::{Client, ClientError};

const NO_DEVICE: &str =
    "enable the TPM in the firmware's setup, check its kernel driver (dmesg | grep -i tpm), or set tpm.tcti";

/// Checks that the TPM can be opened. If the daemon answers, it has opened the TPM; otherwise this opens its device.
pub(super) fn device(status: Option<&LocalStatus>, config: Option<&Config>) -> Finding {
    const CHECK: &str = "tpm";
    if let Some(status) = status {
        let counter = status.counter.map_or_else(
            || "the first pairing creates the epoch counter".to_owned(),
            |epoch| format!("epoch counter: {epoch}"),
        );
        return Finding::ok(CHECK, format!("in use by pawld; {counter}"));
    }
    let Some(config) = config else {
        return Finding::skipped(CHECK, "unknown: pawld is not running and the configuration is invalid");
    };
    let tcti = &config.tpm.tcti;
    match reach(tcti) {
        Ok(()) => Finding::ok(CHECK, format!("{tcti} can be opened")),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Finding::failed(
            CHECK,
            format!("permission denied: {tcti}"),
            "run as root; the daemon's user must be in the group that owns the device (tss)",
        ),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Finding::failed(
            CHECK,
            format!("`{tcti}` does not name a TPM"),
            "set tpm.tcti to auto, device:/dev/tpmrm0, swtpm:host=127.0.0.1,port=2321 or swtpm:path=/run/swtpm.sock",
        ),
        Err(error) => Finding::failed(CHECK, format!("{tcti}: {error}"), NO_DEVICE),
    }
}

/// Checks that a counter that is removed and defined again starts above every earlier value. Otherwise anyone who may define
/// NV indices could undo a revocation.
pub(super) async fn counter(client: &Client, daemon_answers: bool) -> Finding {
    const CHECK: &str = "tpm-counter";
    if !daemon_answers {
        return Finding::skipped(CHECK, "not tested: pawld is not running");
    }
    match client.self_test().await {
        Ok(SelfTest { index, before, after, writes }) if after > before => Finding::ok(
            CHECK,
            format!(
                "a counter that is removed and defined again starts above its old value ({before}, then {after}); tested once \
                 since pawld's start, at the free NV index {index:#010x}, with {writes} NV writes"
            ),
        ),
        Ok(SelfTest { before, after, .. }) => Finding::failed(
            CHECK,
            format!(
                "a counter that is removed and defined again starts at {after}, although its last value was {before}"
            ),
            "do not use this TPM: a revocation can be undone on it; ask its vendor for a firmware update",
        ),
        Err(ClientError::Refused { status: StatusCode::FORBIDDEN, .. }) => {
            Finding::skipped(CHECK, "run as root to test the TPM's counters")
        }
        Err(ClientError::Refused { problem, .. }) => {
            Finding::warning(CHECK, format!("not tested: {}", problem.reason), problem.remedy)
        }
        Err(error) => Finding::skipped(CHECK, format!("not tested: {error}")),
    }
}

pub(super) fn endorsement(status: Option<&LocalStatus>) -> Finding {
    const CHECK: &str = "ek-certificate";
    match status {
        None => Finding::skipped(CHECK, "unknown while pawld is not running"),
        Some(LocalStatus { ek_kind, pairing: Some(pairing), .. }) => Finding::ok(
            CHECK,
            format!("{ek_kind}; {} verified it by {}", pairing.control_plane, pairing.endorsement),
        ),
        Some(LocalStatus { ek_kind, ek_certificates: 0, ek_sha256, .. }) => Finding::warning(
            CHECK,
            format!(
                "{ek_kind}, SHA-256 {ek_sha256}: the TPM holds no certificate for it. Before the pairing pawld cannot detect \
                 an attacker on the TPM's bus who substitutes another key. A control plane with vendor_cas refuses the \
                 device"
            ),
            "compare this hash with the one that the operator enrols; with vendor_cas, the operator enrols the device with \
             --without-certificate",
        ),
        Some(LocalStatus {
            ek_kind, ek_certificates, ek_certificate_needs_owner: true, ek_sha256, ..
        }) => Finding::warning(
            CHECK,
            format!(
                "{ek_kind}, SHA-256 {ek_sha256}: {ek_certificates} in the TPM, but only the owner can read the \
                     certificate (its NV index has OWNERREAD without AUTHREAD). Before the pairing pawld cannot detect an \
                     attacker on the TPM's bus who substitutes another key; with tpm.owner_auth set, such an attacker \
                     learns enough to guess a weak owner authorization"
            ),
            "compare this hash with the one that the operator enrols; use a long random owner authorization, or set \
                 it after the pairing",
        ),
        Some(LocalStatus { ek_kind, ek_certificates, ek_sha256, .. }) => Finding::ok(
            CHECK,
            format!(
                "{ek_kind}, SHA-256 {ek_sha256}: {ek_certificates} in the TPM; the control plane verifies it at pairing"
            ),
        ),
    }
}

/// Checks that the TPM has a PCR bank for quotes and leases.
pub(super) fn banks(status: Option<&LocalStatus>) -> Finding {
    const CHECK: &str = "pcr-bank";
    let Some(status) = status else {
        return Finding::skipped(CHECK, "unknown while pawld is not running");
    };
    let active = &status.pcr_banks;
    match ["sha256", "sha384"].into_iter().find(|bank| active.iter().any(|active| active == bank)) {
        Some(bank) => Finding::ok(CHECK, format!("reports and leases use the {bank} bank")),
        None => {
            let only =
                if active.is_empty() { String::new() } else { format!(", enabled: {}", active.join(", ")) };
            Finding::failed(
                CHECK,
                format!(
                    "the sha256 and sha384 PCR banks are both disabled{only}: the device cannot be paired"
                ),
                "enable the SHA-256 or SHA-384 PCR bank in the firmware's setup, or run tpm2_pcrallocate sha256:all as \
                 root and restart the device",
            )
        }
    }
}

/// Opens the TPM's device without sending a command. A simulator serves one client at a time, and some exit when it disconnects, so
/// this opens the simulator's control channel: one port higher, or `.ctrl`.
fn reach(tcti: &str) -> io::Result<()> {
    let unsupported = || io::Error::from(io::ErrorKind::Unsupported);
    if tcti == "auto" {
        return reach_any_resource_manager();
    }
    if let Some(path) = tcti.strip_prefix("device:") {
        return OpenOptions::new().read(true).write(true).open(Path::new(path)).map(drop);
    }
    let place = tcti.strip_prefix("swtpm:").ok_or_else(unsupported)?;
    if let Some(path) = place.strip_prefix("path=") {
        return UnixStream::connect(format!("{path}.ctrl")).map(drop);
    }
    let (host, port) = place.split_once(',').ok_or_else(unsupported)?;
    let host = host.strip_prefix("host=").ok_or_else(unsupported)?;
    let port: Option<u16> = port.strip_prefix("port=").and_then(|port| port.parse().ok());
    let control = port.and_then(|port| port.checked_add(1)).ok_or_else(unsupported)?;
    TcpStream::connect((host, control)).map(drop)
}

/// Opens any `/dev/tpmrm*`. pawld uses the one that was paired, which this cannot know.
fn reach_any_resource_manager() -> io::Result<()> {
    let mut outcome = Err(io::Error::new(io::ErrorKind::NotFound, "no /dev/tpmrm* exists"));
    for entry in fs::read_dir("/dev")?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("tpmrm") {
            outcome = OpenOptions::new().read(true).write(true).open(entry.path()).map(drop);
            if outcome.is_ok() {
                break;
            }
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn each_kind_of_tcti_is_opened_or_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let control = listener.local_addr().unwrap().port();
        assert!(reach(&format!("swtpm:host=127.0.0.1,port={}", control - 1)).is_ok());
        assert!(reach("device:/dev/null").is_ok());
        assert_eq!(reach("device:/dev/no-tpm").unwrap_err().kind(), io::ErrorKind::NotFound);
        for tcti in ["", "tabrmd:", "swtpm:", "swtpm:host=127.0.0.1", "swtpm:host=127.0.0.1,port=65535"] {
            assert_eq!(reach(tcti).unwrap_err().kind(), io::ErrorKind::Unsupported, "{tcti}");
        }
    }
}
