//! The configuration of a device, read and checked.

use std::path::PathBuf;

use pawl_proto::BaseUrl;
use pawl_proto::message::{self, Scope};

use crate::value::{Audience, Endorsement, LogLevel, TokenName};

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory in which the daemon keeps its pairing, key blobs, vault and outbox.
    pub state_dir: PathBuf,
    /// The Unix socket of the local API.
    pub socket: PathBuf,
    /// What the daemon logs.
    pub log: LogLevel,
    /// The control plane.
    pub control_plane: ControlPlane,
    /// The TPM.
    pub tpm: TpmConfig,
    /// How the device pairs.
    pub pairing: PairingConfig,
    /// Where the host keeps its measurement logs.
    pub logs: Logs,
    /// The tokens to cache, with unique names.
    pub tokens: Vec<TokenConfig>,
}

/// `[control_plane]`.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    /// Its address.
    pub url: BaseUrl,
    /// A PEM file: the only CA that the device trusts for that address.
    pub ca: PathBuf,
}

/// `[tpm]`.
#[derive(Clone, Debug)]
pub struct TpmConfig {
    /// How to reach the TPM, in the notation of the TSS: `device:/dev/tpmrm0`,
    /// `swtpm:host=127.0.0.1,port=2321` or `swtpm:path=/run/swtpm.sock`; or `auto`, which is the
    /// resource manager of the paired TPM, independent of its number. Not parsed here.
    pub tcti: String,
    /// The NV index of the epoch counter, within the owner's range.
    pub counter: u32,
    /// Which endorsement key names the device.
    pub endorsement: Endorsement,
    /// The file that holds the owner hierarchy's authorization value, where one is set; see
    /// [`TpmConfig::read_owner_auth`].
    pub owner_auth: Option<PathBuf>,
}

/// `[pairing]`.
#[derive(Clone, Debug)]
pub struct PairingConfig {
    /// Pair without a command whenever the device is unpaired.
    pub automatic: bool,
    /// The scopes to ask for; those of all tokens where the configuration names none.
    pub scopes: Vec<Scope>,
}

/// `[logs]`.
#[derive(Clone, Debug)]
pub struct Logs {
    /// The firmware's event log (TCG PC Client Platform Firmware Profile), where it is not the
    /// kernel's: [`Logs::boot_of`].
    pub boot: Option<PathBuf>,
    /// systemd's log of what user space extended. `pawld.service` lets systemd open it.
    pub measure: PathBuf,
    /// The kernel's IMA log, binary.
    pub ima: PathBuf,
    /// The same log in ASCII.
    pub ima_ascii: PathBuf,
}

/// One `[[token]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenConfig {
    /// The name by which workloads request it.
    pub name: TokenName,
    /// The scopes to request.
    pub scopes: Vec<Scope>,
    /// The resource that it is for (RFC 8707).
    pub audience: Option<Audience>,
}

impl Config {
    /// Returns the audiences of all tokens, each once, in their order.
    #[must_use]
    pub fn audiences(&self) -> Vec<message::Audience> {
        let mut audiences: Vec<message::Audience> = Vec::new();
        let named = self.tokens.iter().filter_map(|token| token.audience.as_ref());
        // Cannot fail: the length was checked when the configuration was read.
        for audience in named.filter_map(|audience| message::Audience::new(audience.as_str()).ok()) {
            if !audiences.contains(&audience) {
                audiences.push(audience);
            }
        }
        audiences
    }
}

impl Logs {
    /// Returns the path of the firmware's event log: the configured one, or the kernel's for the TPM with this number.
    #[must_use]
    pub fn boot_of(&self, tpm: Option<u32>) -> PathBuf {
        let of_kernel = |number| format!("/sys/kernel/security/tpm{number}/binary_bios_measurements").into();
        self.boot.clone().unwrap_or_else(|| of_kernel(tpm.unwrap_or(0)))
    }
}
