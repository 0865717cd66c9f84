//! What a device is told, once it has been read and checked.

use std::path::{Path, PathBuf};

use pawl_proto::BaseUrl;
use pawl_proto::message::{self, Scope};

use crate::error::ConfigError;
use crate::layer::{Layer, TokenLayer};
use crate::value::{Audience, Endorsement, LogLevel, TokenName};
use crate::{load, owner_auth};

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the daemon keeps its pairing, key blobs, vault and outbox.
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
    pub pairing: Pairing,
    /// Where the host keeps its measurement logs.
    pub logs: Logs,
    /// The tokens to keep at hand, names unique.
    pub tokens: Vec<TokenConfig>,
}

/// `[control_plane]`.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    /// Its address.
    pub url: BaseUrl,
    /// A PEM file: the only certificate authority that may vouch for that address.
    pub ca: PathBuf,
}

/// `[tpm]`.
#[derive(Clone, Debug)]
pub struct TpmConfig {
    /// How to reach the TPM, in the notation of the TSS: `device:/dev/tpmrm0`,
    /// `swtpm:host=127.0.0.1,port=2321` or `swtpm:path=/run/swtpm.sock`; or `auto`, which is the
    /// resource manager of the TPM that was paired, whatever its number. Not parsed here.
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
pub struct Pairing {
    /// Pair without being asked whenever the device is unpaired.
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
    /// systemd's log of what user space extended. `pawld.service` has it opened by systemd.
    pub measure: PathBuf,
    /// The kernel's IMA log, binary.
    pub ima: PathBuf,
    /// The same log in ASCII.
    pub ima_ascii: PathBuf,
}

/// One `[[token]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenConfig {
    /// What workloads call it.
    pub name: TokenName,
    /// The scopes that it is asked for.
    pub scopes: Vec<Scope>,
    /// The resource it is meant for (RFC 8707).
    pub audience: Option<Audience>,
}

impl Config {
    /// Returns the audiences of all tokens, each once, in their order.
    #[must_use]
    pub fn audiences(&self) -> Vec<message::Audience> {
        let mut audiences: Vec<message::Audience> = Vec::new();
        let named = self.tokens.iter().filter_map(|token| token.audience.as_ref());
        // Each is as short as the message wants it: that was checked when it was read.
        for audience in named.filter_map(|audience| message::Audience::new(audience.as_str()).ok()) {
            if !audiences.contains(&audience) {
                audiences.push(audience);
            }
        }
        audiences
    }

    /// Reads the file at `path`, the `conf.d/*.toml` beside it, and the variables of
    /// `environment` that begin with `PAWL_` (see [`crate::environment()`]).
    ///
    /// # Errors
    /// [`ConfigError`] names the file and line, or the variable, and what is wrong there.
    pub fn load(
        path: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let variables: Vec<_> = environment.collect();
        let credential = owner_auth::credential(&variables);
        let layer = load::merged(path, variables)?;
        Self::from_layer(layer, path, credential)
    }

    /// Fills in the defaults.
    fn from_layer(layer: Layer, path: &Path, credential: Option<PathBuf>) -> Result<Self, ConfigError> {
        let Layer { state_dir, socket, log, control_plane, tpm, pairing, logs, token } = layer;
        let missing = |key| ConfigError::MissingKey { key, path: path.to_owned() };
        let tokens: Vec<_> = token.map(|tokens| tokens.0).unwrap_or_default();
        Ok(Self {
            state_dir: or_path(state_dir.map(Into::into), "/var/lib/pawl"),
            socket: or_path(socket.map(Into::into), pawl_local_api::SOCKET),
            log: log.unwrap_or_default(),
            control_plane: ControlPlane {
                url: control_plane.url.ok_or_else(|| missing("control_plane.url"))?,
                ca: control_plane.ca.ok_or_else(|| missing("control_plane.ca"))?.into(),
            },
            tpm: TpmConfig {
                tcti: tpm.tcti.unwrap_or_else(|| "auto".to_owned()),
                counter: tpm.counter.map_or(DEFAULT_COUNTER, |counter| counter.0),
                endorsement: tpm.endorsement.unwrap_or_default(),
                owner_auth: tpm.owner_auth.map(Into::into).or(credential),
            },
            pairing: Pairing {
                automatic: pairing.automatic.unwrap_or(false),
                scopes: pairing.scopes.map_or_else(|| scopes_of(&tokens), |scopes| scopes.0),
            },
            logs: Logs {
                boot: logs.boot.map(Into::into),
                measure: or_path(logs.measure.map(Into::into), "/run/log/systemd/tpm2-measure.log"),
                ima: or_path(
                    logs.ima.map(Into::into),
                    "/sys/kernel/security/ima/binary_runtime_measurements",
                ),
                ima_ascii: or_path(
                    logs.ima_ascii.map(Into::into),
                    "/sys/kernel/security/ima/ascii_runtime_measurements",
                ),
            },
            tokens,
        })
    }
}

impl Logs {
    /// The firmware's event log: the configured one, else what the kernel keeps of the TPM with
    /// this number.
    #[must_use]
    pub fn boot_of(&self, tpm: Option<u32>) -> PathBuf {
        let of_kernel = |number| format!("/sys/kernel/security/tpm{number}/binary_bios_measurements").into();
        self.boot.clone().unwrap_or_else(|| of_kernel(tpm.unwrap_or(0)))
    }
}

/// The same index that `pawl-tpm` takes by itself.
const DEFAULT_COUNTER: u32 = 0x0180_5041;

fn or_path(configured: Option<PathBuf>, default: &str) -> PathBuf {
    configured.unwrap_or_else(|| PathBuf::from(default))
}

/// Each scope once, in the order in which the tokens name them.
fn scopes_of(tokens: &[TokenConfig]) -> Vec<Scope> {
    let mut scopes: Vec<Scope> = Vec::new();
    for scope in tokens.iter().flat_map(|token| &token.scopes) {
        if !scopes.contains(scope) {
            scopes.push(scope.clone());
        }
    }
    scopes
}

impl From<TokenLayer> for TokenConfig {
    fn from(layer: TokenLayer) -> Self {
        Self { name: layer.name, scopes: layer.scopes.0, audience: layer.audience }
    }
}
