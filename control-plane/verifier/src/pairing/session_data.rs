use pawl_proto::codec::EncodeError;
use pawl_proto::message::{PairingApproved, PairingGrant, PairingRequest, TrustTier};
use pawl_proto::{DecodeError, Digest, Nonce, limits};
use serde::{Deserialize, Serialize};

use super::claim::{Claim, VendorCheck};
use crate::boot_state::BootState;
use crate::refusal::Refusal;

/// What an approval session for a pairing keeps beside its statement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairingSession {
    /// The request, without the certificates, which were checked.
    pub request: PairingRequest,
    /// How the endorsement key was checked, for people.
    pub endorsement: String,
    /// The file of the trusted CA to which the endorsement key's certificate leads; none without a certificate
    /// that holds.
    pub vendor_ca: Option<String>,
    /// The nonce of the offer.
    pub nonce: Nonce,
    /// What the device runs; none until the session is open.
    pub posture: Option<Posture>,
    /// The grant that its TPM can open; none until the session is approved.
    pub approved: Option<ApprovedPairing>,
    /// What was granted; none until then.
    pub granted: Option<GrantedPairing>,
}

/// What the device ran when the session was opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Posture {
    /// The judgement.
    pub result: TrustTier,
    /// Why.
    pub reasons: Vec<String>,
    /// The values of the PCRs that leases name.
    pub boot: BootState,
}

/// The grant of an approved session: the device proves the pairing with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApprovedPairing {
    /// SHA-256 of the secret in its credential.
    pub secret: Digest,
    /// The answer that the device got.
    pub answer: PairingApproved,
}

/// The pairing that was granted: an answer that was lost on the way is given again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GrantedPairing {
    /// SHA-256 of the proof.
    pub proof: Digest,
    /// The answer that the device got.
    pub answer: PairingGrant,
}

impl PairingSession {
    /// Returns the data of a session whose endorsement key was checked.
    #[must_use]
    pub fn new(
        request: PairingRequest,
        endorsement: String,
        vendor_ca: Option<String>,
        nonce: Nonce,
    ) -> Self {
        let request = PairingRequest { endorsement_certificates: Vec::new(), ..request };
        Self { request, endorsement, vendor_ca, nonce, posture: None, approved: None, granted: None }
    }

    /// Encodes it.
    ///
    /// # Errors
    /// [`EncodeError`]
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        pawl_proto::encode(self)
    }

    /// Decodes what [`PairingSession::encode`] made.
    ///
    /// # Errors
    /// [`DecodeError`]
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        pawl_proto::decode(bytes, limits::MESSAGE)
    }

    /// Returns what the vendors' certificates said of the endorsement key when the session was opened.
    /// `vendors_required`: TPM vendors are configured.
    #[must_use]
    pub fn vendor_check(&self, vendors_required: bool) -> VendorCheck {
        match &self.vendor_ca {
            Some(anchor) => VendorCheck::Certified { anchor: anchor.clone(), stale_lists: Vec::new() },
            None if vendors_required => {
                VendorCheck::Uncertified("it showed no certificate that holds".to_owned())
            }
            None => VendorCheck::Unconfigured,
        }
    }

    /// Returns the claim in the request.
    ///
    /// # Errors
    /// [`Refusal`]; not for a session that was opened, whose claim was well formed.
    pub fn claim(&self) -> Result<Claim, Refusal> {
        Claim::parse(&self.request)
    }
}
