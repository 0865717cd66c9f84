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
mod credential;
mod grant;
mod offer;
mod policy;
mod proof;
mod session_data;
mod state;
mod statement;

#[cfg(test)]
pub(crate) mod tests;

pub use appraisal::{AppraisedDevice, PairingBasis, PairingStep, appraise_device, check_time};
pub use claim::{
    Claim, EnrolledDevice, Enrolment, ReplacedDevice, VendorCheck, check_enrolled, check_replaced,
};
pub use credential::credential;
pub use grant::{
    GrantSecrets, approve_pairing, check_epoch, check_unchanged, ek_kind, epoch_above, new_pairing,
    paired_fact,
};
pub use offer::{OFFER_SECONDS, OfferError, OfferKey, OpenedOffer};
pub use policy::{ApprovalPolicy, LastOrder, RequiredApprovals};
pub use proof::{PolicyKeys, ProvenPairing, check_grant_secret, check_pairing, check_session, verifying_key};
pub use session_data::{ApprovedPairing, GrantedPairing, PairingSession, Posture};
pub use state::{Base, Pairing, PairingState};
pub use statement::PairingStatement;
