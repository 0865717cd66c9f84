//! Verdicts and the leases in them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ShortText;
use super::entitlement::Entitlement;
use crate::bounded::{Digest, Nonce, SignatureBytes};
use crate::codec::Version;
use crate::id::{DeviceId, Epoch, PairingId};
use crate::open_enum;
use crate::pcr::PcrBank;

/// Control plane: the attestation result of a report, or a change of the entitlement; signed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The message version.
    pub version: Version,
    /// The device.
    pub device: DeviceId,
    /// The pairing. The device ignores a verdict for another one.
    pub pairing: PairingId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Higher in every verdict of a pairing. The device refuses a verdict that is not higher as a replay.
    pub sequence: u64,
    /// Unix time of the control plane, seconds; for people.
    pub time: u64,
    /// SHA-256 of the evidence that this verdict answers; none if it answers no report.
    pub answers: Option<Digest>,
    /// What the operator grants the device now. The device applies it before the rest of the verdict.
    pub entitlement: Entitlement,
    /// The trust tier; none if the control plane appraised nothing and this verdict only carries a nonce.
    pub result: Option<TrustTier>,
    /// The trust tier of each area to which a rule applied; the worst of them is `result`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub areas: BTreeMap<Area, TrustTier>,
    /// Why, in words that a technician understands.
    pub reasons: Vec<ShortText>,
    /// SHA-256 of the policy that was applied; none if the boot state was compared with accepted states.
    pub policy: Option<Digest>,
    /// The nonce of the next report.
    pub nonce: Nonce,
    /// Whether the next report must be full instead of incremental.
    pub whole: bool,
    /// The handles of the NvPCRs that the next report must certify, at most [`crate::limits::NVPCRS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nvpcrs: Vec<u32>,
    /// The seconds until the next report; 0 for at once.
    pub interval: u32,
    /// The sequence number of the last audit record that the control plane has.
    pub records: u64,
    /// The lease under which the TPM uses the device key and opens the vault.
    pub lease: Option<Lease>,
    /// Leases for approved boot states that the device has not booted yet, at most
    /// [`crate::limits::LEASES_AHEAD`]. A device that boots into one of them can work before its next verdict. The next
    /// verdict replaces them together with `lease`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ahead: Vec<Lease>,
}

open_enum! {
    /// A trust tier, best first (AR4SI and EAR, drafts of the IETF's RATS group).
    pub enum TrustTier {
        /// The device is in an approved state.
        Affirming = "affirming",
        /// The device is in an approved state, but some required information about it is missing.
        Warning = "warning",
        /// The device is not in an approved state, or its state cannot be determined: it gets no lease.
        Contraindicated = "contraindicated",
    }
}

open_enum! {
    /// The part of a device that a trust tier or a reason is about.
    pub enum Area {
        /// The TPM.
        Hardware = "hardware",
        /// The firmware and its configuration, before the boot loader.
        Firmware = "firmware",
        /// Boot loader, kernel, command line.
        Boot = "boot",
        /// Everything that ran since boot.
        Runtime = "runtime",
        /// The age of the evidence.
        Freshness = "freshness",
    }
}

/// The control plane's signature over one approved policy, and the terms from which the TPM
/// computes that policy: PolicyPCR, PolicyNV, and PolicyCounterTimer twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    /// The bank of the PCRs: that of the device's quotes. The default is sha256: leases of earlier versions, which
    /// devices keep on their disks, have no such entry.
    #[serde(default, skip_serializing_if = "PcrBank::is_default")]
    pub bank: PcrBank,
    /// The PCRs that must have the appraised values, ascending.
    pub pcrs: Vec<u8>,
    /// SHA-256 over their values, in that order, whatever the bank.
    pub pcr_digest: Digest,
    /// The highest allowed resetCount of the TPM.
    pub reset_count: u32,
    /// The value of the TPM's clock at which the lease ends, milliseconds.
    pub clock: u64,
    /// The lease key's signature over the approved policy and the pairing's policyRef.
    pub signature: SignatureBytes,
}
