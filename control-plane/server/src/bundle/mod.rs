//! Bundles: all records of a device, with everything needed to verify them, under one signature.
//!
//! An auditor needs only the fleet authority's certificate to verify a bundle: no server, no state, no configuration. The
//! signature proves that the control plane held these records. The evidence in them (quotes, receipts, leases, approvals)
//! is verified again, one by one.

mod check;
mod signature;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pawl_approval::{NAMESPACE, Signature};
use pawl_proto::record::Link;
use pawl_proto::{DeviceId, PairingId};
use pawl_verifier::record::{ApprovedBy, Fact, Record};
use serde::{Deserialize, Serialize};

use crate::control_plane::ControlPlane;
use crate::keys::AuditKey;
use crate::records::Checkpoint;
use crate::store::{StoreError, Tx};

pub use check::{Chain, Check, Checked, Failure, check};
pub use signature::{Base64, Hex, SignatureError};
pub(crate) use signature::{sign_claims, verify_claims};

/// The largest bundle that is read, in bytes.
pub const MAX_LENGTH: usize = 256 * 1024 * 1024;

/// A signed bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    contents: Contents,
    /// A compact JWS over the contents' digest.
    signature: String,
}

impl Bundle {
    /// Signs records.
    ///
    /// # Errors
    /// [`BundleError::Contents`], which does not happen: JSON can encode all contents.
    pub(crate) fn sign(contents: Contents, key: &AuditKey, authority: &[u8]) -> Result<Self, BundleError> {
        let signature = signature::sign(&contents, key, authority)?;
        Ok(Self { contents, signature })
    }

    /// Parses a bundle without verifying it.
    ///
    /// # Errors
    /// [`BundleError`] when it is too long, not a bundle, or not byte for byte in the form in which bundles are written.
    pub fn read(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > MAX_LENGTH {
            return Err(BundleError::TooLong);
        }
        let bundle: Self = serde_json::from_slice(bytes).map_err(BundleError::Form)?;
        if bundle.write()? != bytes {
            return Err(BundleError::OtherForm);
        }
        Ok(bundle)
    }

    /// Returns the bundle's file: one line of JSON.
    ///
    /// # Errors
    /// [`BundleError::Contents`]
    pub fn write(&self) -> Result<Vec<u8>, BundleError> {
        let mut bytes = serde_json::to_vec(self).map_err(BundleError::Contents)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Verifies that an audit key certified by the authority with this certificate (DER) signed the contents, and returns
    /// them. Their records have yet to be verified.
    ///
    /// # Errors
    /// [`SignatureError`] names the failed check.
    pub fn verify(self, authority: &[u8]) -> Result<Contents, SignatureError> {
        signature::verify(&self.signature, &self.contents, authority)?;
        Ok(self.contents)
    }

    /// Returns the contents without verifying the signature.
    #[must_use]
    pub fn into_contents(self) -> Contents {
        self.contents
    }
}

/// Why a file is not a bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Too long.
    #[error("the bundle is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// Not JSON, or with members missing, unknown or of another type.
    #[error("not a bundle: {0}; `pawl-control-plane records DEVICE --export FILE --bundle` makes one")]
    Form(serde_json::Error),
    /// JSON, but not byte for byte as bundles are written.
    #[error("the file was altered after the bundle was written")]
    OtherForm,
    /// The records cannot be encoded.
    #[error("the records cannot be written: {0}")]
    Contents(serde_json::Error),
}

/// The contents of a bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    /// The format's version.
    pub format: Format,
    /// The control plane's URL.
    pub control_plane: String,
    /// The device.
    pub device: DeviceId,
    /// When the bundle was made, Unix seconds.
    pub time: u64,
    /// `TPMT_PUBLIC` of the attestation keys of the device's pairings, which their records name.
    pub attestation_keys: Vec<Base64>,
    /// `TPMT_PUBLIC` of the control plane's lease key, which those records name too.
    pub lease_keys: Vec<Base64>,
    /// The approvers and their keys: lines of an `allowed_signers` file.
    pub approvers: Vec<String>,
    /// Replaces the control plane's records that were dropped; none while all are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
    /// The control plane's records about the device: those that the checkpoint carries, and those after it.
    pub records: Vec<Entry>,
    /// The device's own records that the control plane has.
    pub device_records: Vec<DeviceEntry>,
}

/// The versions of the bundle format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// The first version.
    #[serde(rename = "pawl-records/1")]
    First,
}

/// One record of the control plane, as it was stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The digest of the record before it.
    pub previous: Hex,
    /// Its own digest.
    pub digest: Hex,
    /// The record, encoded.
    pub body: Base64,
}

/// One record of the device, as it was stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceEntry {
    /// The number of the device's chain.
    pub chain: u32,
    /// Its place in the chain.
    pub sequence: u64,
    /// The pairing in whose report it was received.
    pub pairing: PairingId,
    /// When it was received, Unix seconds.
    pub received_at: u64,
    /// The record and its links.
    pub record: Entry,
}

impl Entry {
    fn new(link: Link) -> Self {
        Self { previous: Hex(link.previous), digest: Hex(link.digest), body: Base64(link.body) }
    }

    fn link(&self) -> Link {
        Link { body: self.body.0.clone(), previous: self.previous.0, digest: self.digest.0 }
    }
}

/// Collects the records of a device as they are stored, unverified.
pub(crate) fn collect(plane: &ControlPlane, tx: &Tx<'_>, device: DeviceId) -> Result<Contents, StoreError> {
    let links = tx.record_links(device)?;
    let approvers =
        links.iter().flat_map(approvals).filter_map(|by| allowed_line(&by)).collect::<BTreeSet<_>>();
    let device_records = tx.device_records(device)?.into_iter().map(|row| DeviceEntry {
        chain: row.chain,
        sequence: row.sequence,
        pairing: row.pairing,
        received_at: row.received_at,
        record: Entry::new(row.link),
    });
    Ok(Contents {
        format: Format::First,
        control_plane: plane.config.url.to_string(),
        device,
        time: plane.clock.now(),
        attestation_keys: tx.attestation_keys(device)?.into_iter().map(Base64).collect(),
        lease_keys: vec![Base64(plane.keys.signing.lease.public().as_bytes().to_vec())],
        approvers: approvers.into_iter().collect(),
        checkpoint: tx.checkpoint(device)?,
        device_records: device_records.collect(),
        records: links.into_iter().map(Entry::new).collect(),
    })
}

fn approvals(link: &Link) -> Vec<ApprovedBy> {
    match pawl_proto::decode(&link.body, pawl_proto::limits::MESSAGE) {
        Ok(Record { fact: Fact::Approved { by, .. }, .. }) => by,
        _ => Vec::new(),
    }
}

/// Returns an approver as a line of an `allowed_signers` file; none if the record has no valid signature.
fn allowed_line(by: &ApprovedBy) -> Option<String> {
    let signature = Signature::parse(&by.signature).ok()?;
    let (principal, key) = (&by.principal, signature.key());
    let blob = BASE64_STANDARD.encode(key.blob());
    Some(format!("{principal} namespaces=\"{NAMESPACE}\" {} {blob}", key.algorithm()))
}

#[cfg(test)]
mod tests;
