use std::path::{Path, PathBuf};

use pawl_proto::message::{ShortText, Statement};
use pawl_verifier::pairing::ApprovalPolicy;
use serde::Deserialize;

/// `[approvals]`: how many persons must approve which pairing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalsConfig {
    /// The approvers and their keys: a file in OpenSSH's format for allowed signers. It is read again for every approval.
    pub allowed_signers: Option<PathBuf>,
    /// The first pairing of an enrolled device.
    pub pair: u8,
    /// Every other pairing, and each that replaces another device.
    pub re_pair: u8,
    /// A pairing that an operator ordered by `repair`; by default as `re_pair`.
    pub after_repair: Option<u8>,
    /// Seconds within which a session must be approved.
    pub seconds: u32,
}

/// The longest life of a waiting session, in seconds: a code on a screen does not stay secret.
const MAX_SESSION_SECONDS: u32 = 600;

impl ApprovalsConfig {
    /// Returns how many persons must approve a pairing that an operator ordered by `repair`.
    #[must_use]
    pub fn after_repair(&self) -> u8 {
        self.after_repair.unwrap_or(self.re_pair)
    }

    /// Returns the verifier's form of this policy.
    #[must_use]
    pub fn policy(&self) -> ApprovalPolicy {
        ApprovalPolicy {
            pair: self.pair,
            re_pair: self.re_pair,
            after_repair: self.after_repair(),
            seconds: self.seconds,
        }
    }

    /// Returns whether pairings need approvals but no approvers are configured.
    #[must_use]
    pub fn lacks_signers(&self) -> bool {
        let required = self.pair.max(self.re_pair).max(self.after_repair());
        required > 0 && self.allowed_signers.is_none()
    }

    pub(super) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if self.allowed_signers.as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err(("approvals.allowed_signers", "give an absolute path"));
        }
        let persons = [
            ("approvals.pair", self.pair),
            ("approvals.re_pair", self.re_pair),
            ("approvals.after_repair", self.after_repair()),
        ];
        if let Some((key, _)) = persons.into_iter().find(|(_, persons)| *persons > PERSONS) {
            return Err((key, "give 0, 1 or 2: how many persons must approve"));
        }
        if !(1..=MAX_SESSION_SECONDS).contains(&self.seconds) {
            return Err(("approvals.seconds", "give 1 to 600 seconds"));
        }
        Ok(())
    }
}

impl Default for ApprovalsConfig {
    fn default() -> Self {
        Self { allowed_signers: None, pair: 0, re_pair: 1, after_repair: None, seconds: MAX_SESSION_SECONDS }
    }
}

/// The most approvals that a policy may require.
const PERSONS: u8 = 2;
/// The longest validity of an assurance, in seconds: it states what the device ran when it was signed.
const MAX_ASSURANCE_SECONDS: u32 = 86_400;

/// `[[action]]`: a protected action that devices may request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionConfig {
    /// Its name in the workloads' requests.
    pub name: ShortText,
    /// How many persons must approve it; with 0, every entitled device may perform it.
    pub approvals: u8,
    /// Seconds for which the assurance is valid.
    #[serde(default = "five_minutes")]
    pub seconds: u32,
}

fn five_minutes() -> u32 {
    300
}

pub(super) fn check_actions(actions: &[ActionConfig]) -> Result<(), (&'static str, &'static str)> {
    for (place, action) in actions.iter().enumerate() {
        let name = action.name.as_str();
        if name.is_empty() || [Statement::PAIR, Statement::RE_PAIR].contains(&name) {
            return Err(("action.name", "give the action a name of its own, neither `pair` nor `re-pair`"));
        }
        if actions.iter().take(place).any(|earlier| earlier.name == action.name) {
            return Err(("action.name", "two actions have the same name; give each one policy"));
        }
        if action.approvals > PERSONS {
            return Err(("action.approvals", "give 0, 1 or 2: how many persons must approve"));
        }
        if !(1..=MAX_ASSURANCE_SECONDS).contains(&action.seconds) {
            return Err(("action.seconds", "give 1 to 86400 seconds"));
        }
    }
    Ok(())
}

/// `[limits]`: limits for unauthenticated clients of the HTTPS server.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Concurrent connections.
    pub connections: usize,
    /// Concurrent connections from one address (IPv6: from one /64 network).
    pub connections_per_address: usize,
    /// Burst of pairing requests from one address.
    pub pairings_burst: u32,
    /// Sustained pairing requests per second from one address.
    pub pairings_per_second: u32,
    /// Burst of all other requests from one address.
    pub requests_burst: u32,
    /// Sustained other requests per second from one address.
    pub requests_per_second: u32,
    /// Waiting sessions in which devices that are not enrolled request to replace the same device.
    pub unknown_per_device: usize,
    /// Waiting sessions of devices that are not enrolled, opened from the same address.
    pub unknown_per_address: usize,
    /// Pending devices, which asked to be paired and are not enrolled, from the same address.
    pub pending_per_address: usize,
}

impl LimitsConfig {
    pub(super) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if self.connections == 0 || self.connections_per_address == 0 {
            return Err(("limits.connections", "allow at least 1 connection, in all and per address"));
        }
        if self.pairings_burst == 0 || self.pairings_per_second == 0 || self.pairings_per_second > 1000 {
            return Err((
                "limits.pairings_per_second",
                "allow 1 to 1000 requests, and a burst of at least 1",
            ));
        }
        if self.requests_burst == 0 || self.requests_per_second == 0 || self.requests_per_second > 1000 {
            return Err((
                "limits.requests_per_second",
                "allow 1 to 1000 requests, and a burst of at least 1",
            ));
        }
        if self.pending_per_address == 0 {
            return Err(("limits.pending_per_address", "list at least 1 device per address"));
        }
        Ok(())
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            // Below a process's default limit of 1024 descriptors.
            connections: 512,
            connections_per_address: 128,
            pairings_burst: 120,
            pairings_per_second: 4,
            requests_burst: 600,
            requests_per_second: 50,
            unknown_per_device: 8,
            unknown_per_address: 4,
            pending_per_address: 32,
        }
    }
}

/// `[policy]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// The directory of the policies; by default `policy` beside the configuration file.
    pub directory: Option<PathBuf>,
    #[serde(skip)]
    default_directory: PathBuf,
}

impl PolicyConfig {
    /// Sets the default directory, beside the configuration file.
    pub(super) fn set_default_directory(&mut self, file: &Path) {
        self.default_directory = file.parent().unwrap_or(Path::new("")).join("policy");
    }

    /// Returns the directory of the policies.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.as_ref().unwrap_or(&self.default_directory)
    }

    /// Returns whether the directory may be missing: only the default one may.
    #[must_use]
    pub fn may_be_missing(&self) -> bool {
        self.directory.is_none()
    }
}

/// `[records]`: how many records about a device are kept.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordsConfig {
    /// How many of the last records of each device are kept. A signed checkpoint replaces older ones.
    pub keep: u64,
}

impl RecordsConfig {
    pub(super) fn check(self) -> Result<(), (&'static str, &'static str)> {
        if (100..=1_000_000_000).contains(&self.keep) {
            return Ok(());
        }
        Err(("records.keep", "keep 100 to 1000000000 records of each device"))
    }
}

impl Default for RecordsConfig {
    /// 10,000 records: 15 MB, or 50 days of a device that reports every 15 minutes.
    fn default() -> Self {
        Self { keep: 10_000 }
    }
}
