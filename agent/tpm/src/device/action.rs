//! Signs with the action key, once for each authorization by the control plane.

use std::sync::Weak;
use std::time::Duration;

use pawl_evidence::assurance::cp_hash_of_sign;
use pawl_evidence::tpm::Public;
use tss_esapi::constants::SessionType;
use tss_esapi::interface_types::session_handles::PolicySession;
use tss_esapi::structures::{Digest, Nonce};

use super::wire::unreadable;
use super::{Device, wire};
use crate::bus::{NO_SESSION, Session};
use crate::{ActionStep, Authorization, Error, KeyBlob};

/// A policy session in which no policy command has run yet.
pub(super) struct PendingSession {
    /// The session's nonceTPM; no two sessions have the same.
    nonce_tpm: [u8; 32],
    session: Session,
    /// Dead once the caller has dropped its `PendingAction`.
    holder: Weak<()>,
}

impl Device {
    /// Implements [`crate::Tpm::begin_action`]; keeps the session while `holder` lives. Returns its nonceTPM.
    pub(crate) fn begin_action(&mut self, holder: Weak<()>) -> Result<[u8; 32], Error> {
        self.forget_actions();
        let session = self.bus.session(SessionType::Policy, None)?;
        let doing = "Esys_TRSess_GetNonceTPM";
        let nonce =
            self.bus.run(doing, NO_SESSION, |context| context.tr_sess_get_nonce_tpm(session.auth()))?;
        let nonce_tpm = <[u8; 32]>::try_from(nonce.as_bytes())
            .map_err(|_| Error::Answer { doing, reason: "not 32 bytes".into() })?;
        self.pending_actions.push(PendingSession { nonce_tpm, session, holder });
        Ok(nonce_tpm)
    }

    /// Ends the sessions whose `PendingAction` was dropped.
    pub(crate) fn forget_actions(&mut self) {
        self.pending_actions.retain(|pending| pending.holder.strong_count() > 0);
    }

    /// Implements [`crate::Tpm::complete_action`]. Ends the session on success and on failure.
    pub(crate) fn complete_action(
        &mut self,
        nonce_tpm: [u8; 32],
        key: &KeyBlob,
        epoch: u64,
        authorization: &Authorization,
        digest: [u8; 32],
    ) -> Result<[u8; 64], Error> {
        let session =
            self.take_session(nonce_tpm).ok_or(Error::Action { step: ActionStep::Session, code: None })?;
        let name =
            Public::unmarshal(&key.public).map_err(|_| Error::Malformed("public part of a key"))?.name();
        let policy = session.policy()?;
        self.policy_epoch(policy, epoch).map_err(refused_at(ActionStep::Epoch))?;
        self.policy_signed(policy, nonce_tpm, authorization, cp_hash_of_sign(&name, &digest))?;
        let key = self.load_key(key)?;
        self.sign(&key, &session, digest).map_err(refused_at(ActionStep::Use))
    }

    fn take_session(&mut self, nonce_tpm: [u8; 32]) -> Option<Session> {
        let at = self.pending_actions.iter().position(|pending| pending.nonce_tpm == nonce_tpm)?;
        Some(self.pending_actions.swap_remove(at).session)
    }

    /// Has the TPM check the control plane's signature, which limits the session to the command with this
    /// cpHash. Frees the authorization key's slot before it returns.
    fn policy_signed(
        &self,
        session: PolicySession,
        nonce_tpm: [u8; 32],
        authorization: &Authorization,
        cp_hash: [u8; 32],
    ) -> Result<(), Error> {
        let doing = "TPM2_PolicySigned";
        let nonce = |bytes: &[u8; 32]| Nonce::from_bytes(bytes).map_err(|error| unreadable(doing, &error));
        let (nonce_tpm, policy_ref) = (nonce(&nonce_tpm)?, nonce(&authorization.policy_ref)?);
        let signature = wire::signature(&authorization.signature)?;
        let expiration = Duration::from_secs(authorization.expiration_s.get().into());
        let refused = refused_at(ActionStep::Authorization);
        let key =
            self.load_external("authorization key", &authorization.authority_public).map_err(&refused)?;
        self.bus
            .run(doing, NO_SESSION, |context| {
                context.policy_signed(
                    session,
                    key.object(),
                    nonce_tpm.clone(),
                    Digest::from(cp_hash),
                    policy_ref.clone(),
                    Some(expiration),
                    signature.clone(),
                )
            })
            .map(drop)
            .map_err(refused)
    }
}

fn refused_at(step: ActionStep) -> impl Fn(Error) -> Error {
    const EXPIRED: u32 = 0x0a3;
    move |error| {
        error.if_refused(|code| {
            let step = match code {
                code if code.is_reference() => ActionStep::Session,
                code if code.is(EXPIRED) => ActionStep::Expired,
                _ => step,
            };
            Error::Action { step, code: Some(code) }
        })
    }
}
