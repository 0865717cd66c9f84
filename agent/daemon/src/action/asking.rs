//! The request of a workload, and the check that the control plane's statement and claims are over that request.

#[cfg(test)]
mod tests;

use std::time::Duration;

use pawl_evidence::assurance::{Approved, Claims, Expected};
use pawl_local_api::ActionRequest;
use pawl_proto::message::{GrantedApproval, ShortText, Statement, StatementBytes};
use pawl_proto::{Digest, Nonce, SessionId};
use pawl_tpm::Tpm;
use serde_json::json;

use super::error::ActionError;
use crate::core::StatementError;
use crate::jws::{self, Signer};
use crate::random;
use crate::record::PairingRecord;

/// The request of a workload.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    action: ShortText,
    resource: ShortText,
    /// SHA-256 of the action's input.
    digest: Digest,
    /// The workload's own session.
    context: ShortText,
    reason: ShortText,
    /// The caller, as the kernel identifies it.
    origin: ShortText,
    /// A nonce for this request. No other statement has it.
    nonce: Nonce,
}

/// How long the control plane accepts the request.
const LIFETIME: Duration = Duration::from_secs(60);

impl Asking {
    /// Parses `request`. Returns none if its digest is not 64 hexadecimal digits.
    pub(crate) fn new(request: ActionRequest, origin: ShortText) -> Option<Self> {
        let mut digest = [0; 32];
        hex::decode_to_slice(&request.digest, &mut digest).ok()?;
        Some(Self {
            action: request.action,
            resource: request.resource,
            digest: Digest(digest),
            context: request.session,
            reason: request.reason,
            origin,
            nonce: Nonce(random::bytes()),
        })
    }

    pub(super) fn action(&self) -> &ShortText {
        &self.action
    }

    /// Returns the request to the control plane at `url`: a JWS by the device key, and therefore under a lease. `now`: Unix time,
    /// seconds.
    pub(super) async fn sign(
        &self,
        tpm: &Tpm,
        url: &str,
        now: u64,
        signer: &Signer,
        record: &PairingRecord,
    ) -> Result<String, ActionError> {
        let claims = json!({
            "iss": record.device, "sub": record.device, "aud": url,
            "jti": random::id(), "iat": now, "exp": now.saturating_add(LIFETIME.as_secs()),
            "pairing": record.pairing, "epoch": record.epoch,
            "action": self.action, "resource": self.resource, "digest": self.digest.to_string(),
            "session": self.context, "origin": self.origin, "reason": self.reason,
            "nonce": self.nonce.to_string(),
        });
        let header = json!({"alg": "ES256", "typ": "pawl-action+jwt"});
        Ok(jws::sign(tpm, signer, &header, &claims).await?)
    }

    /// Returns the control plane's statement if it is over this request. Does not check the fields that the device cannot know: the
    /// posture that the control plane appraised last, and the control plane's times.
    ///
    /// # Errors
    /// [`StatementError`] names the first field that differs.
    pub(super) fn check_statement(
        &self,
        session: SessionId,
        record: &PairingRecord,
        bytes: &StatementBytes,
    ) -> Result<Statement, StatementError> {
        let statement = bytes.decode()?;
        differing(&[
            ("session", statement.session == session),
            ("device", statement.device == record.device),
            ("nonce", statement.nonce == self.nonce),
            ("origin", statement.origin == self.origin),
            ("action", statement.action == self.action),
            ("resource", statement.resource.as_ref() == Some(&self.resource)),
            ("subject", statement.subject == Some(self.digest)),
            ("context", statement.context.as_ref() == Some(&self.context)),
            ("reason", statement.reason == self.reason),
            ("scopes", statement.scopes.is_empty()),
            ("audiences", statement.audiences.is_empty()),
            ("granted", statement.granted.is_none()),
            ("replaces", statement.replaces.is_none()),
            ("epoch", statement.epoch == record.epoch),
        ])
        .map_or(Ok(statement), |field| Err(StatementError::Differs(field)))
    }

    /// Checks that the claims that the TPM will sign contain exactly what was requested and approved.
    ///
    /// # Errors
    /// [`ActionError::Assurance`], or [`ActionError::Claims`] with the claim that differs.
    pub(super) fn check_claims(
        &self,
        claims: &Claims,
        record: &PairingRecord,
        bytes: &StatementBytes,
        approvals: &[GrantedApproval],
    ) -> Result<(), ActionError> {
        claims.check(&Expected {
            device: Some(record.device.as_str()),
            action: self.action.as_str(),
            resource: self.resource.as_str(),
            digest: self.digest.as_bytes(),
            session: self.context.as_str(),
        })?;
        let statement = bytes.decode().map_err(StatementError::from)?;
        let said = &claims.pawl;
        differing(&[
            ("jti", claims.jti == statement.session.to_string()),
            ("pairing", said.pairing == record.pairing.to_string()),
            ("epoch", said.epoch == record.epoch.0),
            ("origin", said.origin == self.origin.as_str()),
            ("boot", said.boot == statement.boot.0),
            ("evidence", said.evidence == statement.evidence.0),
            ("statement", said.statement == bytes.digest().0),
            ("approved", names(&said.approved, approvals)),
        ])
        .map_or(Ok(()), |claim| Err(ActionError::Claims(claim)))
    }
}

/// Returns whether the claims name exactly the approvers.
fn names(approved: &Approved, approvals: &[GrantedApproval]) -> bool {
    match approved {
        Approved::Policy => approvals.is_empty(),
        Approved::Persons(persons) => {
            persons.len() == approvals.len()
                && approvals.iter().all(|approval| {
                    persons.iter().any(|person| {
                        person.by == approval.principal.as_str()
                            && person.key == approval.key.as_str()
                            && person.time == approval.time
                    })
                })
        }
    }
}

/// Returns the first condition that does not hold.
fn differing(parts: &[(&'static str, bool)]) -> Option<&'static str> {
    parts.iter().find(|(_, holds)| !holds).map(|(name, _)| *name)
}
