//! Pairs a device: checks its claim, the proof that the claim belongs to one TPM, the approval and the proof of the new keys.
//!
//! 1. [`OfferKey::offer`] answers a claim with a credential that only the claimed TPM can open.
//! 2. [`OfferKey::open`] and [`check_session`] check the opened credential, a report and the certified counter. The caller then
//!    opens an approval session, whose [`PairingStatement`] persons approve.
//! 3. [`approve_pairing`] creates the grant. The caller ends the device's old pairing in the same commit, and the pairing of a
//!    device that it replaces.
//! 4. [`check_pairing`] checks the keys of the new pairing, which the same TPM created.
//!
//! A claim and a session end no pairing: an attacker who knows a device's public keys cannot take the device down.

mod appraisal;
mod claim;
mod grant;
mod offer;
mod policy;
mod proof;
mod session_data;

use std::collections::{BTreeMap, BTreeSet};

use pawl_proto::message::{Audience, Scope};
use pawl_proto::{DeviceId, Digest, Epoch, Nonce, PairingId, PcrValue};
use serde::{Deserialize, Serialize};

use crate::report::{ImaState, MeasureLogState};

pub use appraisal::{AppraisedDevice, PairingBasis, PairingStep, appraise_device, check_time};
pub use claim::{
    Claim, EnrolledDevice, Enrolment, ReplacedDevice, VendorCheck, check_enrolled, check_replaced,
};
pub use grant::{
    GrantSecrets, approve_pairing, check_epoch, check_unchanged, ek_kind, epoch_above, new_pairing,
    paired_fact,
};
pub use offer::{OFFER_SECONDS, OfferError, OfferKey, OpenedOffer, credential};
pub use policy::{ApprovalPolicy, LastOrder, PairingStatement, RequiredApprovals};
pub use proof::{PolicyKeys, ProvenPairing, check_grant_secret, check_pairing, check_session, verifying_key};
pub use session_data::{ApprovedPairing, GrantedPairing, PairingSession, Posture};

/// A pairing, live or ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Pairing {
    /// Its id.
    pub id: PairingId,
    /// The device.
    pub device: DeviceId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its state.
    pub state: PairingState,
    /// When it was granted, Unix seconds.
    pub paired_at: u64,
    /// When the control plane learnt of its end, Unix seconds.
    pub ended_at: Option<u64>,
    /// The scopes that it requested and those that it got since. The entitlement contains those that the operator grants
    /// now.
    pub scopes: Vec<Scope>,
    /// The audiences that it requested and those that it got since, without the control plane's own URL.
    pub audiences: Vec<Audience>,
    /// `TPMT_PUBLIC` of the attestation key, which is proven to be in the device's TPM.
    pub attestation_key: Vec<u8>,
    /// `TPMS_NV_PUBLIC` of the epoch counter, with the attribute `written`.
    pub counter: Vec<u8>,
    /// `TPMT_PUBLIC` of the device key, certified.
    pub device_key: Vec<u8>,
    /// `TPMT_PUBLIC` of the action key, certified. Pairings of earlier versions have none.
    pub action_key: Option<Vec<u8>>,
    /// The policyRef of its leases.
    pub policy_ref: Digest,
    /// The nonce of the next report.
    pub nonce: Nonce,
    /// The evidence on which the next report may build.
    pub base: Option<Base>,
}

/// The state of a pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PairingState {
    /// It is in force.
    Live,
    /// Its end was ordered, and is not proven yet. It gets no token and no lease.
    Revoking,
    /// Its epoch has provably ended: its keys are unusable.
    Ended,
}

/// The acknowledged evidence on which the next report builds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Base {
    /// SHA-256 of that evidence.
    pub evidence: Digest,
    /// The boot in which it was made.
    pub boot_id: String,
    /// Every quoted PCR, all of one bank.
    pub pcrs: BTreeMap<u8, PcrValue>,
    /// systemd's measurement log, as far as it was reported.
    #[serde(default)]
    pub measured: Option<MeasureLogState>,
    /// The handles of the NvPCRs that systemd's log names and the TPM has.
    #[serde(default)]
    pub nvpcrs: Vec<u32>,
    /// The position up to which the IMA log was followed.
    pub ima: Option<ImaState>,
    /// The PCRs that leases of this pairing name in addition to the configuration's: its boot chain measured the kernel
    /// or the command line into them.
    #[serde(default)]
    pub lease_pcrs_added: BTreeSet<u8>,
}

#[cfg(test)]
pub(crate) mod tests;
