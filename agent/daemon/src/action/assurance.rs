//! The one signature: the TPM opens a policy session, the control plane authorizes one digest in it, the daemon checks what
//! that digest covers, and the TPM signs.

use std::num::NonZeroU16;

use pawl_evidence::assurance::SigningInput;
use pawl_proto::codec::Version;
use pawl_proto::message::{AuthorizationRequest, GrantedApproval};
use pawl_proto::record::DeviceFact;
use pawl_proto::{Blob, Digest};

use super::ActionError;
use super::session::Session;
use crate::shared::Shared;
use crate::telemetry::event::SecurityEvent;

impl Session {
    /// Has the TPM sign the assurance, a compact JWS.
    ///
    /// # Errors
    /// [`ActionError`]. The control plane gives one authorization per session: once it has answered there is no second try.
    pub(super) async fn assure(
        &self,
        shared: &Shared,
        approvals: &[GrantedApproval],
    ) -> Result<String, ActionError> {
        let record = &self.acting.record;
        let pending = shared.tpm.begin_action().await?;
        let request = AuthorizationRequest {
            version: Version,
            secret: Blob::new(self.secret.to_vec())?,
            nonce_tpm: Blob::new(pending.nonce_tpm().to_vec())?,
        };
        let authorization = shared.control_plane.authorize_action(self.id, &request).await?;
        let input = SigningInput::parse(authorization.signing_input.as_str())?;
        self.asking.check_claims(input.claims(), record, &self.statement, approvals)?;
        let expiration_s = u16::try_from(authorization.expiration)
            .ok()
            .and_then(NonZeroU16::new)
            .ok_or(ActionError::Expiration(authorization.expiration))?;
        let authorization = pawl_tpm::Authorization {
            authority_public: record.authorization_key.as_bytes().to_vec(),
            policy_ref: record.policy_ref.0,
            expiration_s,
            signature: authorization.signature.0,
        };
        // The gate may have closed since: check it last, before the TPM signs.
        shared.gate.signer()?;
        let signature = shared
            .tpm
            .complete_action(pending, &self.acting.key, record.epoch.0, &authorization, input.digest())
            .await?;
        let digest = Digest(input.digest());
        self.record(
            shared,
            DeviceFact::Assurance { session: self.id, action: self.asking.action().clone(), digest },
        );
        SecurityEvent::ASSURANCE_MADE.log(
            Some(record.epoch),
            format_args!("the TPM has signed for {:?} in session {}", self.asking.action().as_str(), self.id),
        );
        Ok(input.signed(&signature))
    }
}
