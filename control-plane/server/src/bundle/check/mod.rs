//! Verifies the records of a bundle from its contents alone.

mod context;
mod facts;

use std::collections::BTreeMap;

use facts::{
    check_approval, check_assurance, check_lease, check_pairing, check_quote, check_receipt, read_statement,
};
use pawl_proto::record::{DeviceRecord, Link};
use pawl_proto::{DeviceId, Digest, limits};
use pawl_verifier::record::{ChainHead, Fact, Record, RecordFinding};
use serde::{Deserialize, Serialize};

use super::{Contents, DeviceEntry, Entry};
use crate::records::{MAX_CARRIED, Place, follow};
use context::{Context, Outcome, Paired, Verified};

/// The outcome of a verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The device.
    pub device: DeviceId,
    /// The control plane's URL.
    pub control_plane: String,
    /// When the records were collected, Unix seconds.
    pub time: u64,
    /// Who approved, and their keys: lines of an `allowed_signers` file, for the reader to judge.
    pub approvers: Vec<String>,
    /// Records of the control plane.
    pub records: u64,
    /// The sequence of the last record that a signed checkpoint replaces; none while all are kept.
    #[serde(default)]
    pub checkpoint: Option<u64>,
    /// The digest of the control plane's last record, hexadecimal.
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
    /// Records of an earlier version, which lack the evidence to verify them, and of a newer version, whose facts this
    /// version does not know. Their chain is verified.
    pub unchecked: u64,
    /// The failed checks, in the order of the records.
    pub failures: Vec<Failure>,
}

/// A record that failed a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its chain.
    pub chain: Chain,
    /// Its sequence in the chain.
    pub sequence: u64,
    /// The failed check.
    pub check: Check,
    /// What is wrong.
    pub problem: String,
}

/// The chain that a record belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Chain {
    /// The control plane's.
    ControlPlane,
    /// The device's own.
    Device,
}

/// A check of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// It is intact and follows from the one before.
    Chain,
    /// A pairing was approved in its session.
    Pairing,
    /// The attestation key signed the quote.
    Quote,
    /// The lease key signed these terms.
    Lease,
    /// The attestation key certified the counter and the receipt.
    Receipt,
    /// Persons signed this statement.
    Approval,
    /// An action was approved in its session.
    Assurance,
    /// The device's record is the one that the control plane had when it appraised a report.
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

/// Verifies both chains, and the evidence in the control plane's records.
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
    let context = check_records(contents, &mut checked);
    check_device_records(contents, &context, &mut checked);
    checked
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn check_records(contents: &Contents, checked: &mut Checked) -> Context {
    let mut context = Context::new(contents);
    let checkpoint = contents.checkpoint.as_ref();
    let carried = checkpoint.map_or(0, |checkpoint| checkpoint.carried.len());
    if contents.records.len() < carried || carried > MAX_CARRIED {
        let sequence = checkpoint.map_or(0, |checkpoint| checkpoint.sequence);
        fail_record(checked, sequence, Check::Chain, "records that the checkpoint carries are missing");
    }
    let links = contents.records.iter().map(Entry::link);
    for Place { sequence, link, record } in follow(contents.device, checkpoint, links) {
        match record {
            Some(record) => check_record(&mut context, &record, checked),
            None => {
                fail_record(
                    checked,
                    sequence,
                    Check::Chain,
                    "it was altered, or does not follow the one before it",
                );
                // Later records may refer to this fact, so keep it; the failure is already reported.
                if let Ok(Record { fact, .. }) = pawl_proto::decode(&link.body, limits::MESSAGE) {
                    add_to_context(&mut context, sequence, &fact);
                }
            }
        }
    }
    context
}

fn fail_record(checked: &mut Checked, sequence: u64, check: Check, problem: impl Into<String>) {
    checked.failures.push(Failure { chain: Chain::ControlPlane, sequence, check, problem: problem.into() });
}

/// Verifies the evidence in a record.
fn check_record(context: &mut Context, record: &Record, checked: &mut Checked) {
    let judged = match &record.fact {
        Fact::Unknown(_) => {
            checked.unchecked += 1;
            None
        }
        Fact::Paired { pairing, scopes, counter, .. } => {
            Some((Check::Pairing, check_pairing(context, pairing, scopes, counter.is_some())))
        }
        Fact::Verdict { .. } => Some((Check::Quote, check_quote(context, &record.fact))),
        Fact::Lease { .. } => Some((Check::Lease, check_lease(context, &record.fact))),
        Fact::Receipt { .. } => Some((Check::Receipt, check_receipt(context, &record.fact))),
        Fact::Approved { .. } => Some((Check::Approval, check_approval(context, &record.fact))),
        Fact::Assurance { .. } => Some((Check::Assurance, check_assurance(context, &record.fact))),
        _ => None,
    };
    if let Some((check, outcome)) = judged {
        count_outcome(checked, record.sequence, check, outcome);
    }
    add_to_context(context, record.sequence, &record.fact);
}

fn count_outcome(checked: &mut Checked, sequence: u64, check: Check, outcome: Outcome) {
    let done = match outcome {
        Ok(Verified::Claims(number)) => number,
        Ok(Verified::Nothing) => {
            checked.unchecked += 1;
            return;
        }
        Err(problem) => return fail_record(checked, sequence, check, problem),
    };
    match check {
        Check::Pairing => checked.pairings += done,
        Check::Quote => checked.quotes += done,
        Check::Lease => checked.leases += done,
        Check::Receipt => checked.receipts += done,
        Check::Approval => checked.approvals += done,
        Check::Assurance => checked.assurances += done,
        Check::Chain | Check::Head => {}
    }
}

/// Adds the facts that the checks of later records need.
fn add_to_context(context: &mut Context, sequence: u64, fact: &Fact) {
    match fact {
        Fact::Paired { pairing, epoch, attestation_key, counter, policy_ref, lease_key, .. } => {
            context.pairings.push(Paired {
                pairing: pairing.clone(),
                epoch: *epoch,
                attestation_key: attestation_key.clone(),
                counter: counter.clone(),
                policy_ref: policy_ref.clone(),
                lease_key: lease_key.clone(),
            });
        }
        Fact::Approved { session, statement, .. } => {
            if let Ok(approved) = read_statement(statement) {
                context.approved.insert(session.clone(), approved);
            }
        }
        Fact::Verdict { records: Some(head), .. } => context.heads.push((sequence, head.clone())),
        Fact::DeviceRecords { finding: RecordFinding::Gap, known: Some(known), .. } => {
            context.gaps.push(known.clone());
        }
        _ => {}
    }
}

fn check_device_records(contents: &Contents, context: &Context, checked: &mut Checked) {
    let mut before: Option<&DeviceEntry> = None;
    for entry in &contents.device_records {
        if let Err(problem) = follows(context, before, entry) {
            fail_device_record(checked, entry.sequence, Check::Chain, problem);
        }
        before = Some(entry);
    }
    check_heads(contents, context, checked);
}

/// Checks that a record is intact and follows from the one before it. The oldest records may have been dropped, and a gap
/// that the control plane recorded is not a fault.
fn follows(context: &Context, before: Option<&DeviceEntry>, entry: &DeviceEntry) -> Result<(), &'static str> {
    let link = entry.record.link();
    let record: DeviceRecord = link.check(link.previous).ok_or("it was altered")?;
    if record.sequence != entry.sequence {
        return Err("its sequence number does not match its place");
    }
    let Some(before) = before.filter(|before| before.chain == entry.chain) else {
        let first = entry.sequence > 1 || link.previous == Link::START;
        let later = before.is_none_or(|before| before.chain < entry.chain);
        return if first && later { Ok(()) } else { Err("it cannot be the first record of a chain") };
    };
    let known = |gap: &ChainHead| gap.chain == before.chain && gap.sequence == before.sequence;
    if before.sequence.checked_add(1) == Some(entry.sequence) {
        let follows = before.record.digest == entry.record.previous;
        return if follows { Ok(()) } else { Err("it does not follow the one before it") };
    }
    if before.sequence < entry.sequence && context.gaps.iter().any(known) {
        return Ok(());
    }
    Err("records before it are missing")
}

/// Checks that the device's records are those that the control plane had when it appraised reports. The oldest may have
/// been dropped later.
fn check_heads(contents: &Contents, context: &Context, checked: &mut Checked) {
    let place = |entry: &DeviceEntry| (entry.chain, entry.sequence);
    let kept: BTreeMap<(u32, u64), Digest> =
        contents.device_records.iter().map(|entry| (place(entry), entry.record.digest.0)).collect();
    let oldest = kept.keys().next();
    for (sequence, head) in &context.heads {
        let at = (head.chain, head.sequence);
        let problem = match kept.get(&at) {
            Some(digest) if digest.to_string() == head.digest => continue,
            Some(_) => "has another digest now",
            None if oldest.is_none_or(|oldest| at >= *oldest) => "is missing",
            None => continue,
        };
        checked.failures.push(Failure {
            chain: Chain::ControlPlane,
            sequence: *sequence,
            check: Check::Head,
            problem: format!(
                "record {} of the device's chain {}, which the control plane had then, {problem}",
                at.1, at.0
            ),
        });
    }
}

fn fail_device_record(checked: &mut Checked, sequence: u64, check: Check, problem: &str) {
    let problem = problem.to_owned();
    checked.failures.push(Failure { chain: Chain::Device, sequence, check, problem });
}
