use std::path::{Path, PathBuf};

use pawl_proto::message::{ShortText, Statement};
use pawl_verifier::pairing::ApprovalPolicy;
use serde::Deserialize;

/// `[approvals]`: how many persons must approve which pairing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalsConfig {
    /// Who may approve, with which keys: a file in OpenSSH's format for allowed signers. It is
    /// read anew for every approval.
    pub allowed_signers: Option<PathBuf>,
    /// The first pairing of an enrolled device.
    pub pair: u8,
    /// Every other one, and each that takes another device's place.
    pub re_pair: u8,
    /// One that an operator ordered by `repair`; `re_pair` where nothing is said.
    pub after_repair: Option<u8>,
    /// Seconds within which a session must be approved.
    pub seconds: u32,
}

/// The longest that a session waits, seconds: a code on a screen is a secret for a while.
const MAX_SESSION_SECONDS: u32 = 600;

impl ApprovalsConfig {
    /// How many persons must approve a pairing that an operator ordered by `repair`.
    #[must_use]
    pub fn after_repair(&self) -> u8 {
        self.after_repair.unwrap_or(self.re_pair)
    }

    /// The policy in the terms of the verifier.
    #[must_use]
    pub fn policy(&self) -> ApprovalPolicy {
        ApprovalPolicy {
            pair: self.pair,
            re_pair: self.re_pair,
            after_repair: self.after_repair(),
            seconds: self.seconds,
        }
    }

    /// Whether persons must approve a pairing, and nobody is named who may.
    #[must_use]
    pub fn lacks_signers(&self) -> bool {
        let wanted = self.pair.max(self.re_pair).max(self.after_repair());
        wanted > 0 && self.allowed_signers.is_none()
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

/// The most persons that a policy may want.
const PERSONS: u8 = 2;
/// The longest that an assurance counts, seconds: it says what a device ran when it was made.
const MAX_ASSURANCE_SECONDS: u32 = 86_400;

/// `[[action]]`: a protected action, which devices of this control plane may be let.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionConfig {
    /// Its name, as workloads ask for it.
    pub name: ShortText,
    /// How many persons must approve it; with none, a device in good standing may.
    pub approvals: u8,
    /// Seconds for which the assurance counts.
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

/// `[limits]`: what clients of the HTTPS server may take before anybody knows them.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Connections at once.
    pub connections: usize,
    /// Of one address (IPv6: of one /64 network).
    pub connections_per_address: usize,
    /// Pairing requests of one address at once.
    pub pairings_burst: u32,
    /// Pairing requests of one address each second on the long run.
    pub pairings_per_second: u32,
    /// All other requests of one address at once.
    pub requests_burst: u32,
    /// All other requests of one address each second on the long run.
    pub requests_per_second: u32,
    /// Unknown devices that wait at once to take the place of one device.
    pub unknown_per_device: usize,
    /// Unknown devices that wait at once to take any place, of one address.
    pub unknown_per_address: usize,
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
        Ok(())
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            // Below the 1024 descriptors that a process has by default.
            connections: 512,
            connections_per_address: 128,
            pairings_burst: 120,
            pairings_per_second: 4,
            requests_burst: 600,
            requests_per_second: 50,
            unknown_per_device: 8,
            unknown_per_address: 4,
        }
    }
}

/// `[policy]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// Where policies stand; `policy` default_directory the configuration file if it is not given.
    pub directory: Option<PathBuf>,
    #[serde(skip)]
    default_directory: PathBuf,
}

impl PolicyConfig {
    /// Tells it where the configuration file stands.
    pub(super) fn set_default_directory(&mut self, file: &Path) {
        self.default_directory = file.parent().unwrap_or(Path::new("")).join("policy");
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.as_ref().unwrap_or(&self.default_directory)
    }

    /// Whether there need not be one: nobody has named it.
    #[must_use]
    pub fn may_be_missing(&self) -> bool {
        self.directory.is_none()
    }
}

/// `[records]`: how many records about a device are kept.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordsConfig {
    /// The last so many of each device. A signed checkpoint stands for older ones.
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
    /// A device that reports every 15 minutes fills them in 50 days, with some 15 MB.
    fn default() -> Self {
        Self { keep: 10_000 }
    }
}
