use std::sync::Arc;

use pawl_proto::message::{
    ApprovalStep, GivenApproval, PairingApproved, PairingOffer, PairingRequest, SessionProof, Waiting,
};
use pawl_proto::{Blob, PairingId, SessionId, Text};

use super::device::Device;
use crate::control_plane::ControlPlane;
use crate::pairing::{self, Progress};
use crate::refusal::RequestError;

/// A device's end of a session for a pairing.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) id: SessionId,
    /// What opened it.
    pub(crate) secret: Vec<u8>,
}

impl Device {
    /// The proof that answers an offer for [`Device::request`].
    pub(crate) fn session_proof(&mut self, offer: &PairingOffer) -> SessionProof {
        let secret = self.tpm.activate(&offer.credential).unwrap_or_default();
        let (counter_attest, counter_signature) = self.tpm.certify_counter(&offer.nonce.0);
        let pairing = self.pairing.replace(PairingId::from(offer.session));
        let report = self.report(offer.nonce, None);
        // The old pairing goes on until the new one is granted.
        self.pairing = pairing;
        let request = self.request();
        SessionProof {
            version: Default::default(),
            request,
            expires: offer.expires,
            secret: Blob::new(secret).unwrap(),
            counter_attest,
            counter_signature,
            report,
        }
    }

    /// Opens a session.
    pub(crate) async fn ask(
        &mut self,
        plane: &Arc<ControlPlane>,
        request: PairingRequest,
    ) -> Result<(Asked, Progress), RequestError> {
        let offer = pairing::offer(plane, request.clone()).await?;
        let proof = SessionProof { request, ..self.session_proof(&offer) };
        let asked = Asked { id: offer.session, secret: proof.secret.as_bytes().to_vec() };
        Ok((asked, pairing::open(plane, offer.session, proof, self.network).await?))
    }

    /// Opens a session that a person has to approve.
    pub(crate) async fn ask_persons(
        &mut self,
        plane: &Arc<ControlPlane>,
        request: PairingRequest,
    ) -> (Asked, Waiting) {
        let (asked, progress) = self.ask(plane, request).await.unwrap();
        (asked, progress.waits())
    }
}

impl Asked {
    pub(crate) async fn step(
        &self,
        plane: &Arc<ControlPlane>,
        approval: Option<GivenApproval>,
        confirmation: Option<&str>,
    ) -> Result<Progress, RequestError> {
        let step = ApprovalStep {
            version: Default::default(),
            secret: Blob::new(self.secret.clone()).unwrap(),
            approval,
            confirmation: confirmation.map(|typed| Text::new(typed).unwrap()),
        };
        pairing::step(plane, self.id, step).await
    }

    pub(crate) async fn poll(&self, plane: &Arc<ControlPlane>) -> Result<Progress, RequestError> {
        self.step(plane, None, None).await
    }

    pub(crate) async fn approve(
        &self,
        plane: &Arc<ControlPlane>,
        approval: GivenApproval,
    ) -> Result<Progress, RequestError> {
        self.step(plane, Some(approval), None).await
    }
}

impl Progress {
    pub(crate) fn waits(self) -> Waiting {
        match self {
            Self::Waiting(waiting) => *waiting,
            Self::Approved(approved) => panic!("approved: {approved:?}"),
        }
    }

    pub(crate) fn approved(self) -> PairingApproved {
        match self {
            Self::Approved(approved) => *approved,
            Self::Waiting(waiting) => panic!("waits: {waiting:?}"),
        }
    }
}
