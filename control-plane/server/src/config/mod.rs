//! The configuration file.
//!
//! Unknown keys are errors: a mistyped key must not silently change a policy. All values are checked when the file is read.

mod sections;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use pawl_proto::BaseUrl;
use pawl_proto::message::ShortText;
use pawl_verifier::lease::LeasePolicy;
use serde::Deserialize;

use sections::check_actions;

pub use sections::{ActionConfig, ApprovalsConfig, LimitsConfig, PolicyConfig, RecordsConfig};

/// The path of the configuration without `--config`.
pub const DEFAULT_PATH: &str = "/etc/pawl-control-plane/control-plane.toml";

/// The whole configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Keys, certificates, the database and the admin socket.
    pub state_dir: PathBuf,
    /// The address of the HTTPS server.
    pub listen: SocketAddr,
    /// The control plane's name, as technicians see it.
    pub name: ShortText,
    /// Names and addresses in the certificates of the HTTPS server and of the broker.
    pub host_names: Vec<String>,
    /// The base of every URL, and the issuer of the access tokens.
    pub url: BaseUrl,
    /// The broker's address for devices.
    pub broker: BrokerConfig,
    /// How endorsement keys are verified.
    #[serde(default)]
    pub endorsement: EndorsementConfig,
    /// The terms of leases.
    #[serde(default)]
    pub lease: LeasePolicy,
    /// The policies that devices are appraised by.
    #[serde(default)]
    pub policy: PolicyConfig,
    /// How often devices report.
    #[serde(default)]
    pub report: ReportConfig,
    /// Access tokens.
    #[serde(default)]
    pub token: TokenConfig,
    /// Approvals of pairings.
    #[serde(default)]
    pub approvals: ApprovalsConfig,
    /// Limits for unauthenticated clients.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// How many records are kept.
    #[serde(default)]
    pub records: RecordsConfig,
    /// The protected actions; others are refused.
    #[serde(default, rename = "action")]
    pub actions: Vec<ActionConfig>,
}

/// `[broker]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerConfig {
    /// A host name or address in its certificate.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Seconds after which the link certificate of a replaced or retired device is revoked, if its TPM has not proven by
    /// then that the pairing has ended.
    #[serde(default = "cut_replaced_seconds")]
    pub cut_replaced_seconds: u64,
}

/// A week: a replaced device that is switched on within that week can still receive its revocation.
fn cut_replaced_seconds() -> u64 {
    604_800
}

/// `[endorsement]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndorsementConfig {
    /// A directory of certificates and revocation lists, PEM or DER, of TPM vendors' authorities. If it is set, a
    /// device needs a vendor's certificate or must be enrolled with `--without-certificate`.
    pub vendor_cas: Option<PathBuf>,
}

/// `[report]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportConfig {
    /// Seconds between two reports.
    pub interval: u32,
}

/// `[token]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenConfig {
    /// Seconds for which an access token is valid.
    pub seconds: u32,
}

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and, if one key is wrong, the key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file = path.to_owned();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(source) => return Err(ConfigError::Read { file, source }),
        };
        let mut config: Self =
            toml::from_str(&text).map_err(|source| ConfigError::Parse { file: file.clone(), source })?;
        config.lease.pcrs.sort_unstable();
        config.lease.pcrs.dedup();
        config.policy.set_default_directory(path);
        config.check().map_err(|(key, problem)| ConfigError::Value { file, key, problem })?;
        Ok(config)
    }

    /// Returns the seconds between two reports: at most a third of a lease, so that it is renewed twice before it ends.
    #[must_use]
    pub fn report_interval(&self) -> u32 {
        self.report.interval.min(self.lease.seconds / 3).max(1)
    }

    /// Returns whether pairings or actions need approvals but no approvers are configured.
    #[must_use]
    pub fn lacks_signers(&self) -> bool {
        let actions = self.actions.iter().any(|action| action.approvals > 0);
        self.approvals.lacks_signers() || (actions && self.approvals.allowed_signers.is_none())
    }

    /// Returns the path of the socket for the operator's commands.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.state_dir.join("admin.sock")
    }

    fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if !self.state_dir.is_absolute() {
            return Err(("state_dir", "give an absolute path"));
        }
        if self.host_names.is_empty() {
            return Err(("host_names", "give at least one name or address by which devices reach this host"));
        }
        if self.broker.host.is_empty() || self.broker.host.len() > pawl_proto::limits::TEXT {
            return Err(("broker.host", "give the broker's name or address"));
        }
        if self.lease.pcrs.is_empty() || self.lease.pcrs.iter().any(|pcr| *pcr > 23) {
            return Err(("lease.pcrs", "give PCR numbers from 0 to 23"));
        }
        self.approvals.check()?;
        self.limits.check()?;
        self.records.check()?;
        check_actions(&self.actions)?;
        let positive = [
            ("lease.seconds", self.lease.seconds),
            ("lease.ahead_seconds", self.lease.ahead_seconds),
            ("report.interval", self.report.interval),
            ("token.seconds", self.token.seconds),
        ];
        match positive.into_iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => Err((key, "give at least 1 second")),
            None => Ok(()),
        }
    }
}

impl Default for ReportConfig {
    fn default() -> Self {
        Self { interval: 300 }
    }
}

impl Default for TokenConfig {
    fn default() -> Self {
        Self { seconds: 600 }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}; create it or give another with --config", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, or with unknown, missing or mistyped keys.
    #[error("{}: {source}", file.display())]
    Parse {
        /// The file.
        file: PathBuf,
        /// What is wrong, with line and column.
        source: toml::de::Error,
    },
    /// A value out of range.
    #[error("{}: {key}: {problem}", file.display())]
    Value {
        /// The file.
        file: PathBuf,
        /// The key.
        key: &'static str,
        /// What to write instead.
        problem: &'static str,
    },
}

#[cfg(test)]
mod tests;
