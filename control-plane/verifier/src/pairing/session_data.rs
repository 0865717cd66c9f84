use pawl_proto::codec::EncodeError;
use pawl_proto::message::{PairingApproved, PairingGrant, PairingRequest, TrustTier};
use pawl_proto::{DecodeError, Digest, Nonce, limits};
use serde::{Deserialize, Serialize};

use super::claim::{Claim, VendorCheck};
use crate::boot_state::BootState;
use crate::refusal::Refusal;

/// The data of an approval session for a pairing that its statement does not contain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairingSession {
    /// The request, without the certificates: they are already checked.
    pub request: PairingRequest,
    /// How the endorsement key was checked, for people.
    pub endorsement: String,
    /// The file of the trusted CA that certifies the endorsement key; `None` without a valid certificate.
    pub vendor_ca: Option<String>,
    /// The nonce of the offer.
    pub nonce: Nonce,
    /// The device's posture; `None` until the session is open.
    pub posture: Option<Posture>,
    /// The grant that its TPM can open; `None` until the session is approved.
    pub approved: Option<ApprovedPairing>,
    /// The granted pairing; `None` until then.
    pub granted: Option<GrantedPairing>,
}

/// The appraised state of the device when the session was opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Posture {
    /// The trust tier.
    pub result: TrustTier,
    /// The reasons for it.
    pub reasons: Vec<String>,
    /// The values of the PCRs that leases name.
    pub boot: BootState,
}

/// The grant of an approved session, with which the device proves the pairing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApprovedPairing {
    /// SHA-256 of the secret in its credential.
    pub secret: Digest,
    /// The answer that the device got.
    pub answer: PairingApproved,
}

/// The granted pairing, stored so that the answer can be sent again if it was lost.
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

    /// Encodes the data.
    ///
    /// # Errors
    /// [`EncodeError`]
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        pawl_proto::encode(self)
    }

    /// Decodes the output of [`PairingSession::encode`].
    ///
    /// # Errors
    /// [`DecodeError`]
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        pawl_proto::decode(bytes, limits::MESSAGE)
    }

    /// Returns the result of the vendor check when the session was opened. `vendors_required`: whether TPM vendors are
    /// configured.
    #[must_use]
    pub fn vendor_check(&self, vendors_required: bool) -> VendorCheck {
        match &self.vendor_ca {
            Some(anchor) => VendorCheck::Certified { anchor: anchor.clone(), stale_lists: Vec::new() },
            None if vendors_required => {
                VendorCheck::Uncertified("the device presented no valid certificate".to_owned())
            }
            None => VendorCheck::Unconfigured,
        }
    }

    /// Returns the claim in the request.
    ///
    /// # Errors
    /// [`Refusal`] if the claim is malformed. The claim of an opened session never is.
    pub fn claim(&self) -> Result<Claim, Refusal> {
        Claim::parse(&self.request)
    }
}
