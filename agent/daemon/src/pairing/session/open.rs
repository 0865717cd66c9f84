//! The opening of a session: the TPM proves that it is the one that asks.

use std::sync::Arc;

use pawl_proto::codec::Version;
use pawl_proto::message::{PairingOffer, PairingRequest, SessionProof};
use pawl_proto::{Digest, PairingId};
use tokio::time::{Instant, sleep};

use super::{FIRST_RETRY, LONGEST_RETRY, PATIENCE, Session};
use crate::backoff::Backoff;
use crate::control_plane::{Answer, CallError};
use crate::fail_point;
use crate::pairing::{PairingError, Progress, Wanted, proof};
use crate::posture::{self, Subject};
use crate::shared::Shared;

impl<'a> Session<'a> {
    /// Asks for a session and opens it; the session, and how it stands.
    pub(super) async fn open(
        shared: &'a Arc<Shared>,
        wanted: &Wanted,
        progress: &'a Progress,
    ) -> Result<(Self, Answer), PairingError> {
        shared.store.reserve()?;
        let counter = shared.tpm.provision_counter().await?;
        let identity = shared.identity().await?;
        // The control plane is shown this one. The pairing before may have been another TPM's.
        shared.tpm.pin_endorsement_key(&identity.ek_name);
        let request = wanted.message(shared, &identity, &counter)?;
        let offer = shared.control_plane.request_pairing(&request).await?;
        progress.offered(offer.session);
        let secret = proof::activate(&shared.tpm, &offer.credential).await?;
        let (proof, evidence) = prove(shared, &request, &offer, &secret).await?;
        let session = Self {
            shared,
            progress,
            id: offer.session,
            request,
            evidence,
            secret,
            statement: None,
            refused: None,
            over: Instant::now() + PATIENCE,
        };
        let answer = session.hand_in_proof(&proof).await?;
        fail_point::reach("re-pair.proven");
        Ok((session, answer))
    }

    /// An answer that was lost is asked for again: it may have ended the old pairing.
    async fn hand_in_proof(&self, proof: &SessionProof) -> Result<Answer, CallError> {
        let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        loop {
            match self.shared.control_plane.open_session(self.id, proof).await {
                Err(error) if self.outlives(&error) => sleep(backoff.delay()).await,
                other => return other,
            }
        }
    }
}

/// The proof that the session is this TPM's, and the digest of the evidence in it.
async fn prove(
    shared: &Shared,
    request: &PairingRequest,
    offer: &PairingOffer,
    secret: &[u8],
) -> Result<(SessionProof, Digest), PairingError> {
    let counter = shared.tpm.certify_counter(offer.nonce.0).await?;
    let subject = Subject {
        device: request.device,
        pairing: PairingId::from(offer.session),
        epoch: request.epoch,
        nonce: offer.nonce,
    };
    let prepared = posture::prepare(&shared.tpm, &shared.logs, subject, None, &shared.audit, &[]).await?;
    let proof = SessionProof {
        version: Version,
        request: request.clone(),
        expires: offer.expires,
        secret: secret.to_vec().try_into()?,
        counter_attest: counter.attest.try_into()?,
        counter_signature: counter.signature.try_into()?,
        report: prepared.report,
    };
    Ok((proof, prepared.tells.digest))
}
