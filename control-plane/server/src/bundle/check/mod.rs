//! What a bundle says, checked again from what stands in it.

mod approval;
mod attested;
mod context;
mod device;
mod lease;
mod walk;

use pawl_proto::DeviceId;
use serde::{Deserialize, Serialize};

use super::contents::Contents;

/// What was checked, and what does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The device.
    pub device: DeviceId,
    /// The control plane's URL.
    pub control_plane: String,
    /// When the records were put together, Unix seconds.
    pub time: u64,
    /// Who approved, and their keys: lines of an `allowed_signers` file, for the reader to judge.
    pub approvers: Vec<String>,
    /// Records of the control plane.
    pub records: u64,
    /// The last of its records for which a signed checkpoint stands; none while there are all of them.
    #[serde(default)]
    pub checkpoint: Option<u64>,
    /// The digest of the last one, hexadecimal.
    pub head: Option<String>,
    /// Records of the device.
    pub device_records: u64,
    /// Pairings, each with the approval of its session.
    pub pairings: u64,
    /// Quotes of verdicts.
    pub quotes: u64,
    /// Signed leases.
    pub leases: u64,
    /// Receipts.
    pub receipts: u64,
    /// Approvals by persons.
    pub approvals: u64,
    /// Authorized actions, each with the approval of its session.
    pub assurances: u64,
    /// Records of an earlier version, which lack what it takes to check them, and of a newer one, whose facts this
    /// version does not know. Their chain is checked.
    pub unchecked: u64,
    /// What does not hold, in the order of the records.
    pub failures: Vec<Failure>,
}

/// A record that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// In which chain.
    pub chain: Chain,
    /// Its place there.
    pub sequence: u64,
    /// What was checked.
    pub check: Check,
    /// What is wrong.
    pub problem: String,
}

/// Whose records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Chain {
    /// The control plane's.
    ControlPlane,
    /// The device's own.
    Device,
}

/// What is checked of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// It is whole and follows the one before.
    Chain,
    /// A pairing was approved in its session.
    Pairing,
    /// The attestation key signed the quote.
    Quote,
    /// The lease key signed these terms.
    Lease,
    /// The attestation key certified the counter, and these words.
    Receipt,
    /// Persons signed this statement.
    Approval,
    /// An action was approved in its session.
    Assurance,
    /// The device's record is the one that was known when a report was judged.
    Head,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whose = match self.chain {
            Chain::ControlPlane => "control plane",
            Chain::Device => "device",
        };
        write!(f, "record {} of the {whose}: {}: {}", self.sequence, self.check, self.problem)
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Chain => "chain",
            Self::Pairing => "pairing",
            Self::Quote => "quote",
            Self::Lease => "lease",
            Self::Receipt => "receipt",
            Self::Approval => "approval",
            Self::Assurance => "assurance",
            Self::Head => "head",
        })
    }
}

/// Checks both chains, and in the control plane's what its facts rest on.
#[must_use]
pub fn check(contents: &Contents) -> Checked {
    let mut checked = Checked {
        device: contents.device,
        control_plane: contents.control_plane.clone(),
        time: contents.time,
        approvers: contents.approvers.clone(),
        records: count(contents.records.len()),
        checkpoint: contents.checkpoint.as_ref().map(|checkpoint| checkpoint.sequence),
        head: contents.records.last().map(|record| record.digest.0.to_string()),
        device_records: count(contents.device_records.len()),
        pairings: 0,
        quotes: 0,
        leases: 0,
        receipts: 0,
        approvals: 0,
        assurances: 0,
        unchecked: 0,
        failures: Vec::new(),
    };
    let context = walk::walk(contents, &mut checked);
    device::check(contents, &context, &mut checked);
    checked
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
