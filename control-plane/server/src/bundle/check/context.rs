use std::collections::BTreeMap;

use pawl_approval::AllowedSigners;
use pawl_evidence::attest::AttestationKey;
use pawl_evidence::tpm::{Name, Public};
use pawl_proto::message::Statement;
use pawl_proto::{DeviceId, Digest};

use super::super::Contents;
use super::super::signature::digest;
use pawl_verifier::record::ChainHead;

/// The outcome of a check; the error is a sentence.
pub(super) type Outcome = Result<Verified, String>;

/// The outcome of a check that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verified {
    /// This many claims were verified.
    Claims(u64),
    /// The record is of an earlier version, without evidence.
    Nothing,
}

/// The facts of the records so far, which the checks of later records need.
pub(super) struct Context {
    pub(super) device: DeviceId,
    pub(super) attestation_keys: BTreeMap<String, AttestationKey>,
    pub(super) lease_keys: BTreeMap<String, Public>,
    /// The approvers, or why the bundle's list cannot be read.
    pub(super) approvers: Result<AllowedSigners, String>,
    pub(super) pairings: Vec<Paired>,
    pub(super) approved: BTreeMap<String, Approved>,
    /// The heads of the device's chains when reports were appraised, each with the sequence of its record.
    pub(super) heads: Vec<(u64, ChainHead)>,
    /// The records of the device after which a recorded gap follows.
    pub(super) gaps: Vec<ChainHead>,
}

/// A recorded pairing.
pub(super) struct Paired {
    pub(super) pairing: String,
    pub(super) epoch: u64,
    pub(super) attestation_key: String,
    pub(super) counter: Option<String>,
    pub(super) policy_ref: Option<String>,
    pub(super) lease_key: Option<String>,
}

/// An approved session.
pub(super) struct Approved {
    pub(super) statement: Statement,
    pub(super) digest: Digest,
}

impl Context {
    pub(super) fn new(contents: &Contents) -> Self {
        let publics = |keys: &[crate::bundle::Base64]| -> Vec<Public> {
            keys.iter().filter_map(|key| Public::unmarshal(&key.0).ok()).collect()
        };
        // Records refer to keys by name, which is a digest: a bundle cannot substitute them.
        let attestation_keys = publics(&contents.attestation_keys)
            .into_iter()
            .filter_map(|public| AttestationKey::from_public(public).ok())
            .map(|key| (key.name().to_string(), key))
            .collect();
        let lease_keys = publics(&contents.lease_keys)
            .into_iter()
            .map(|public| (public.name().to_string(), public))
            .collect();
        let approvers =
            AllowedSigners::parse(&contents.approvers.join("\n")).map_err(|error| error.to_string());
        Self {
            device: contents.device,
            attestation_keys,
            lease_keys,
            approvers,
            pairings: Vec::new(),
            approved: BTreeMap::new(),
            heads: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// Returns the live pairing at this point of the chain.
    pub(super) fn pairing(&self) -> Result<&Paired, String> {
        self.pairings.last().ok_or_else(|| "there is no pairing before it".to_owned())
    }

    /// Returns the pairing of an epoch.
    pub(super) fn pairing_in(&self, epoch: u64) -> Result<&Paired, String> {
        let paired = self.pairings.iter().rev().find(|paired| paired.epoch == epoch);
        paired.ok_or_else(|| format!("there is no pairing in epoch {epoch} before it"))
    }

    pub(super) fn attestation_key(&self, paired: &Paired) -> Result<&AttestationKey, String> {
        let key = self.attestation_keys.get(&paired.attestation_key);
        key.ok_or_else(|| format!("the attestation key {} is missing", paired.attestation_key))
    }
}

/// Parses the name of a key or counter.
pub(super) fn name(text: &str) -> Result<Name, String> {
    Name::from_bytes(&bytes(text)?).map_err(|error| error.to_string())
}

/// Parses hexadecimal bytes.
pub(super) fn bytes(text: &str) -> Result<Vec<u8>, String> {
    hex::decode(text).map_err(|_| "a value in it is not hexadecimal".to_owned())
}

/// Parses a SHA-256 digest.
pub(super) fn sha256(text: &str) -> Result<Digest, String> {
    digest(text).ok_or_else(|| "a value in it is not a SHA-256 digest".to_owned())
}

/// Fails with `problem` unless `holds`.
pub(super) fn ensure(holds: bool, problem: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem.to_owned()) }
}
