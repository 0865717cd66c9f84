//! Verdicts and the leases in them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Entitlement, ShortText};
use crate::bounded::{Digest, Nonce, SignatureBytes};
use crate::codec::Version;
use crate::id::{DeviceId, Epoch, PairingId};
use crate::open_enum;
use crate::pcr::PcrBank;

/// Control plane: the judgement on a report, or a change of the device's standing; signed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The message version.
    pub version: Version,
    /// The device.
    pub device: DeviceId,
    /// The pairing; a verdict for another one is history.
    pub pairing: PairingId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Rises with every verdict of a pairing; one that does not rise is a replay.
    pub sequence: u64,
    /// Unix time of the control plane, seconds; for people.
    pub time: u64,
    /// SHA-256 of the evidence that is answered; none when nothing was reported.
    pub answers: Option<Digest>,
    /// What the operator grants the device now. It takes effect before anything else of the verdict.
    pub entitlement: Entitlement,
    /// The judgement; none when this verdict judges nothing and only hands out a nonce.
    pub result: Option<TrustTier>,
    /// The judgement on each area about which there is something to say; the worst of them is `result`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub areas: BTreeMap<Area, TrustTier>,
    /// Why, in words that a technician understands.
    pub reasons: Vec<ShortText>,
    /// SHA-256 of the policy by whose rules it was judged; none where known states were compared.
    pub policy: Option<Digest>,
    /// The nonce of the next report.
    pub nonce: Nonce,
    /// The next report is to be a whole one.
    pub whole: bool,
    /// The handles of the NvPCRs that the next report has to certify, at most [`crate::limits::NVPCRS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nvpcrs: Vec<u32>,
    /// Report again after so many seconds; 0 is at once.
    pub interval: u32,
    /// The control plane has the device's records up to this sequence.
    pub records: u64,
    /// What the TPM wants before it uses the device key or opens the vault.
    pub lease: Option<Lease>,
    /// The same for boot states that are approved and still to come, at most
    /// [`crate::limits::LEASES_AHEAD`]: a device that boots into one of them can work before anybody has
    /// judged it. They are kept with `lease`, and replaced with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ahead: Vec<Lease>,
}

open_enum! {
    /// The operator's decision, apart from any judgement on the device's state.
    pub enum Standing {
        /// The device may work.
        Active = "active",
        /// It may not, until the operator resumes it; nothing is destroyed.
        Suspended = "suspended",
    }
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
    /// The part of a device that a tier or a reason is about.
    pub enum Area {
        /// The TPM.
        Hardware = "hardware",
        /// The firmware and its configuration, before the boot loader.
        Firmware = "firmware",
        /// Boot loader, kernel, command line.
        Boot = "boot",
        /// Whatever ran since boot.
        Runtime = "runtime",
        /// The age of the evidence.
        Freshness = "freshness",
    }
}

/// The control plane's signature over one approved policy, and the terms from which the TPM
/// computes that policy: PolicyPCR, PolicyNV, and PolicyCounterTimer twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    /// The bank of the PCRs: that of the device's quotes. Without an entry it is sha256, as in leases of earlier versions,
    /// which devices keep on their disks.
    #[serde(default, skip_serializing_if = "PcrBank::is_default")]
    pub bank: PcrBank,
    /// The PCRs that must hold what was appraised, ascending.
    pub pcrs: Vec<u8>,
    /// SHA-256 over their values, in that order, whatever the bank.
    pub pcr_digest: Digest,
    /// The TPM's resetCount may be at most this.
    pub reset_count: u32,
    /// The TPM's clock must be below this, milliseconds.
    pub clock: u64,
    /// By the lease key, over the approved policy and the pairing's policyRef.
    pub signature: SignatureBytes,
}
