//! Pairing: from a claim, through the proof that it is one TPM's and an approval, to a grant.
//!
//! 1. [`OfferKey::offer`] answers a claim with a credential that only the claimed TPM can open.
//! 2. [`OfferKey::open`] and [`check_session`] check the opened credential, a report and the certified counter: they open
//!    an approval session, whose [`PairingStatement`] persons approve.
//! 3. [`approve_pairing`] makes the grant. With it the device's old pairing ends, and so does that of a device whose
//!    place it takes.
//! 4. [`check_pairing`] checks the keys of the new pairing, made by the same TPM.
//!
//! A claim and a session end nothing: knowing a device's public keys is not enough to take it down.

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

/// A pairing, current or ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Pairing {
    /// Its id.
    pub id: PairingId,
    /// The device.
    pub device: DeviceId,
    /// The epoch in which it lives.
    pub epoch: Epoch,
    /// Its state.
    pub state: PairingState,
    /// When it was granted, Unix seconds.
    pub paired_at: u64,
    /// When its end became known, Unix seconds.
    pub ended_at: Option<u64>,
    /// The scopes that it asked for and those that were granted to it since: it has those of them that the
    /// operator grants now.
    pub scopes: Vec<Scope>,
    /// The same of audiences, beside the control plane's own URL.
    pub audiences: Vec<Audience>,
    /// `TPMT_PUBLIC` of the attestation key, proven to live in the device's TPM.
    pub attestation_key: Vec<u8>,
    /// `TPMS_NV_PUBLIC` of the epoch counter, written.
    pub counter: Vec<u8>,
    /// `TPMT_PUBLIC` of the device key, certified.
    pub device_key: Vec<u8>,
    /// `TPMT_PUBLIC` of the action key, certified; the pairings of earlier versions have none.
    pub action_key: Option<Vec<u8>>,
    /// The policyRef of its leases.
    pub policy_ref: Digest,
    /// The nonce of the next report.
    pub nonce: Nonce,
    /// What the next report may build on.
    pub base: Option<Base>,
}

/// The state of a pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PairingState {
    /// It is in force.
    Live,
    /// Its end is ordered: it gets no token and no lease, and there is no receipt yet.
    Revoking,
    /// Its epoch has ended for certain: its keys are unusable.
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
    /// The handles of the NvPCRs that the TPM has, of those that systemd's log names.
    #[serde(default)]
    pub nvpcrs: Vec<u32>,
    /// How far the IMA log was followed.
    pub ima: Option<ImaState>,
    /// The PCRs that leases of this pairing name beside the configuration's: its boot chain measured kernel or
    /// command line into them.
    #[serde(default)]
    pub lease_pcrs_added: BTreeSet<u8>,
}

#[cfg(test)]
pub(crate) mod tests;
