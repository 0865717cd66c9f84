use pawl_proto::record::Link;
use pawl_proto::{DeviceId, PairingId};
use serde::{Deserialize, Serialize};

use super::text::{Base64, Hex};
use crate::records::Checkpoint;

/// What is in a bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    /// Which form this is.
    pub format: Format,
    /// The control plane's URL.
    pub control_plane: String,
    /// The device.
    pub device: DeviceId,
    /// When the bundle was made, Unix seconds.
    pub time: u64,
    /// `TPMT_PUBLIC` of the attestation keys under which the device was paired. The records of the
    /// pairings name them.
    pub attestation_keys: Vec<Base64>,
    /// `TPMT_PUBLIC` of the control plane's lease key, which those records name too.
    pub lease_keys: Vec<Base64>,
    /// Who approved, and their keys: lines of an `allowed_signers` file.
    pub approvers: Vec<String>,
    /// What stands for the control plane's records that were dropped; none while there are all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
    /// The control plane's records about the device: those that the checkpoint carries, and those after it.
    pub records: Vec<Entry>,
    /// The device's own records that the control plane has.
    pub device_records: Vec<DeviceEntry>,
}

/// The forms of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// The first one.
    #[serde(rename = "pawl-records/1")]
    First,
}

/// One record of the control plane, as it was stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The digest of the record before it.
    pub previous: Hex,
    /// Its own.
    pub digest: Hex,
    /// The record, encoded.
    pub body: Base64,
}

/// One record of the device, as it was stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceEntry {
    /// Which of the device's chains.
    pub chain: u32,
    /// Its place in the chain.
    pub sequence: u64,
    /// In whose report it came.
    pub pairing: PairingId,
    /// When it came, Unix seconds.
    pub received_at: u64,
    /// The record and those around it.
    pub record: Entry,
}

impl Entry {
    pub(super) fn new(link: Link) -> Self {
        Self { previous: Hex(link.previous), digest: Hex(link.digest), body: Base64(link.body) }
    }

    pub(super) fn link(&self) -> Link {
        Link { body: self.body.0.clone(), previous: self.previous.0, digest: self.digest.0 }
    }
}
