use std::path::PathBuf;

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

/// The most persons that a policy may want.
const PERSONS: u8 = 2;
/// The longest that a session waits, seconds: a code on a screen is a secret for a while.
const LONGEST: u32 = 600;

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
        if !(1..=LONGEST).contains(&self.seconds) {
            return Err(("approvals.seconds", "give 1 to 600 seconds"));
        }
        Ok(())
    }
}

impl Default for ApprovalsConfig {
    fn default() -> Self {
        Self { allowed_signers: None, pair: 0, re_pair: 1, after_repair: None, seconds: LONGEST }
    }
}
