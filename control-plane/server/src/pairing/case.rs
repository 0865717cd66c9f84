use pawl_proto::message::{Appraisal, PairingApproved, PairingGrant, PairingRequest};
use pawl_proto::{Digest, Nonce, limits};
use serde::{Deserialize, Serialize};

use super::claim::{Claim, VendorCheck};
use crate::control_plane::ControlPlane;
use crate::refusal::{Refusal, RequestError};
use crate::store::{BootState, Session, StoreError};

/// What a session for a pairing keeps with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Case {
    /// What was asked for; without the certificates, which were checked.
    pub(crate) request: PairingRequest,
    /// How the endorsement key was checked, for people.
    pub(crate) endorsement: String,
    /// The file of the trusted CA to which the endorsement key's certificate leads; none without a certificate
    /// that holds.
    pub(crate) vendor_ca: Option<String>,
    /// The nonce of the offer.
    pub(crate) nonce: Nonce,
    /// What the device runs; none until the session is open.
    pub(crate) posture: Option<Posture>,
    /// What may be proven; none until the session is approved.
    pub(crate) approved: Option<Approved>,
    /// What was granted; none until then.
    pub(crate) granted: Option<Granted>,
}

/// What the device ran when the session was opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Posture {
    /// The judgement.
    pub(crate) result: Appraisal,
    /// Why.
    pub(crate) reasons: Vec<String>,
    /// The values of the PCRs that leases name.
    pub(crate) boot: BootState,
}

/// What may be proven.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Approved {
    /// SHA-256 of the secret in its credential.
    pub(crate) secret: Digest,
    /// As the device was told.
    pub(crate) answer: PairingApproved,
}

/// What was granted: an answer that was lost on the way is given again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Granted {
    /// SHA-256 of the proof.
    pub(crate) proof: Digest,
    /// As the device was told.
    pub(crate) answer: PairingGrant,
}

impl Case {
    /// The case of a request whose certificates were checked.
    pub(super) fn new(
        request: PairingRequest,
        endorsement: String,
        vendor_ca: Option<String>,
        nonce: Nonce,
    ) -> Self {
        let request = PairingRequest { endorsement_certificates: Vec::new(), ..request };
        Self { request, endorsement, vendor_ca, nonce, posture: None, approved: None, granted: None }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, RequestError> {
        Ok(pawl_proto::encode(self)?)
    }

    /// What the vendors' certificates said of the endorsement key when the session was offered.
    pub(super) fn vendor_check(&self, plane: &ControlPlane) -> VendorCheck {
        match &self.vendor_ca {
            Some(anchor) => VendorCheck::Certified { anchor: anchor.clone(), stale_lists: Vec::new() },
            None if plane.vendors.are_required() => {
                VendorCheck::Uncertified("it showed no certificate that holds".to_owned())
            }
            None => VendorCheck::Unconfigured,
        }
    }

    /// What this session keeps.
    pub(crate) fn of(session: &Session) -> Result<Self, StoreError> {
        pawl_proto::decode(&session.body, limits::MESSAGE).map_err(|_| StoreError::Malformed("session"))
    }

    /// The claim anew; it was well formed when the session was offered.
    pub(super) fn claim(&self) -> Result<Claim, Refusal> {
        Claim::parse(&self.request)
    }
}
