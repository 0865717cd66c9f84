use std::sync::Arc;

use pawl_evidence::assurance::{self, AssuranceError, Claims, Expected};
use pawl_proto::message::Standing;
use pawl_proto::{DeviceId, Digest, PairingId};
use serde::{Deserialize, Serialize};

use super::LEEWAY;
use crate::control_plane::ControlPlane;
use crate::store::{StoreError, Tx};
use pawl_verifier::pairing::PairingState;
use pawl_verifier::record::Fact;

/// A receiver's question about an assurance.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The compact JWS.
    pub assurance: String,
    /// The action that it must be for.
    pub action: String,
    /// The resource that it must be for.
    pub resource: String,
    /// SHA-256 of the data that it must be for, 64 hexadecimal digits.
    pub digest: String,
    /// The workload's session that it must be for.
    pub session: String,
    /// The device that it must be of; none accepts every device of this control plane.
    #[serde(default)]
    pub device: Option<String>,
    /// Whether the receiver acts on it now, which marks it as used.
    #[serde(default)]
    pub consume: bool,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outcome {
    /// The assurance is valid.
    Valid {
        /// `true`
        valid: bool,
        /// Its claims.
        claims: Box<Claims>,
    },
    /// The assurance is not valid, or no longer.
    Invalid {
        /// `false`
        valid: bool,
        /// For programs.
        reason: Reason,
        /// For people.
        message: String,
    },
}

/// Why an assurance is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The assurance or the question is malformed.
    Malformed,
    /// This control plane did not certify its key for this use, or not for this time.
    Certificate,
    /// It is not signed by that key.
    Signature,
    /// It is not valid yet.
    NotYet,
    /// It has expired.
    Expired,
    /// It is of another device.
    Device,
    /// It is for another action.
    Action,
    /// It is for another resource.
    Resource,
    /// It is for other data.
    Digest,
    /// It is for another session of the workload.
    Session,
    /// The device's pairing has ended, or its end is ordered.
    PairingOver,
    /// The operator suspended the device.
    Suspended,
    /// It was used before.
    AlreadyUsed,
}

impl Outcome {
    fn invalid(reason: Reason, message: impl std::fmt::Display) -> Self {
        Self::Invalid { valid: false, reason, message: message.to_string() }
    }

    /// Returns why the assurance is not valid.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Valid { .. } => None,
            Self::Invalid { reason, .. } => Some(*reason),
        }
    }
}

/// Verifies an assurance: its signature and claims, as anybody can, then its pairing and whether it was used.
///
/// # Errors
/// [`StoreError`] when the database fails; the assurance is then not marked as used.
pub async fn verify(plane: &Arc<ControlPlane>, question: Question) -> Result<Outcome, StoreError> {
    let now = plane.clock.now();
    let digest = hex::decode(&question.digest).ok().and_then(|digest| <[u8; 32]>::try_from(digest).ok());
    let Some(digest) = digest else {
        return Ok(Outcome::invalid(Reason::Malformed, "digest: it must be 64 hexadecimal digits"));
    };
    let expected = Expected {
        device: question.device.as_deref(),
        action: &question.action,
        resource: &question.resource,
        digest: &digest,
        session: &question.session,
    };
    let authority = plane.keys.authority.certificate();
    let claims = match assurance::verify(&question.assurance, authority, now, &expected) {
        Ok(assurance) => assurance.claims().clone(),
        Err(error) => return Ok(Outcome::invalid(reason(error), error)),
    };
    let consume = question.consume;
    plane.store.transaction(move |tx| check_pairing_and_use(tx, claims, consume, now)).await
}

/// Checks that the pairing is live, the device not suspended and the assurance unused. An assurance is identified by its
/// session's id, not by its text: ECDSA gives another valid signature, and so another text, for the same claims.
fn check_pairing_and_use(
    tx: &Tx<'_>,
    claims: Claims,
    consume: bool,
    now: u64,
) -> Result<Outcome, StoreError> {
    let (Ok(device), Ok(pairing)) =
        (claims.sub.parse::<DeviceId>(), claims.pawl.pairing.parse::<PairingId>())
    else {
        return Ok(Outcome::invalid(Reason::Malformed, "it names no device or pairing"));
    };
    let live = tx.pairing(pairing)?.is_some_and(|pairing| pairing.state == PairingState::Live);
    if !live {
        return Ok(Outcome::invalid(Reason::PairingOver, "the device's pairing has ended"));
    }
    if tx.device(device)?.is_none_or(|device| device.standing != Standing::Active) {
        return Ok(Outcome::invalid(Reason::Suspended, "the device is suspended"));
    }
    let id = Digest::of(format!("assurance {}", claims.jti).as_bytes());
    let unused = if consume {
        tx.use_once(id.as_bytes(), claims.exp.saturating_add(2 * LEEWAY), now)?
    } else {
        !tx.is_used(id.as_bytes())?
    };
    if !unused {
        return Ok(Outcome::invalid(Reason::AlreadyUsed, "the assurance was used before"));
    }
    if consume {
        let fact = Fact::AssuranceUsed {
            session: claims.jti.clone(),
            action: claims.pawl.action.clone(),
            resource: claims.pawl.resource.clone(),
        };
        tx.record(device, now, fact)?;
    }
    Ok(Outcome::Valid { valid: true, claims: Box::new(claims) })
}

fn reason(error: AssuranceError) -> Reason {
    match error {
        AssuranceError::Authority
        | AssuranceError::Certificate
        | AssuranceError::Issuer
        | AssuranceError::Validity
        | AssuranceError::Purpose
        | AssuranceError::Key
        | AssuranceError::Subject => Reason::Certificate,
        AssuranceError::Signature => Reason::Signature,
        AssuranceError::NotYet => Reason::NotYet,
        AssuranceError::Expired => Reason::Expired,
        AssuranceError::Device => Reason::Device,
        AssuranceError::Action => Reason::Action,
        AssuranceError::Resource => Reason::Resource,
        AssuranceError::Digest => Reason::Digest,
        AssuranceError::Session => Reason::Session,
        _ => Reason::Malformed,
    }
}
