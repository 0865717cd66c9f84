//! Whether an approval counts.

use pawl_approval::{AllowedSigners, Approver, NAMESPACE, Signature, Touch};
use pawl_proto::message::{GivenApproval, Statement};

use super::binding::{Binding, Refused};
use super::boot_digest;
use crate::store::{ApprovalRow, Session, StoreError, Tx};

/// Who approved this session with that signature. `earlier` are the approvals of others.
///
/// The signature is verified before anything that it covers is looked at, and the approver before
/// the session: a stranger's signature says nothing about which sessions there are.
pub(super) fn approval(
    tx: &Tx<'_>,
    session: &Session,
    given: &GivenApproval,
    signers: &AllowedSigners,
    earlier: &[ApprovalRow],
    now: u64,
) -> Result<Result<Approver, Refused>, StoreError> {
    let checked = signed(given, signers, now).and_then(|approver| {
        let refused = |binding, detail| refused(now, binding, detail, Some(&approver));
        let (bytes, own) = session.asked().map_err(|error| refused(Binding::Session, error.to_string()))?;
        if given.statement != *bytes {
            let approved = given.statement.decode().map_err(|error| {
                refused(Binding::Session, format!("what was signed is no statement: {error}"))
            })?;
            // Bytes that differ have fields that differ: the encoding has one form.
            let binding = Binding::differing(&own, &approved).unwrap_or(Binding::Session);
            let detail = format!("the approval was given for another {binding} than this session's");
            return Err(refused(binding, detail));
        }
        // Who has lost the confirmation of an approval gives it again.
        let again = |other: &&ApprovalRow| other.confirmation.is_some() && other.approver.key == approver.key;
        let mut others = earlier.iter().filter(|other| !again(other));
        if let Some(other) = others.find(|other| other.approver.may_be(&approver)) {
            let detail =
                format!("{} has approved already; another person is needed", other.approver.principal);
            return Err(refused(Binding::Person, detail));
        }
        Ok((approver, own))
    });
    let (approver, own) = match checked {
        Ok(checked) => checked,
        Err(refused) => return Ok(Err(refused)),
    };
    Ok(match newer_posture(tx, &own)? {
        Some(detail) => Err(refused(now, Binding::Boot, detail, Some(&approver))),
        None => Ok(approver),
    })
}

/// The approver, if the signature over the statement that came with it holds.
fn signed(given: &GivenApproval, signers: &AllowedSigners, now: u64) -> Result<Approver, Refused> {
    let armored = std::str::from_utf8(given.signature.as_bytes())
        .map_err(|_| refused(now, Binding::Signature, "the signature is no text".to_owned(), None))?;
    let message = given.statement.to_be_signed();
    let key = Signature::parse(armored)
        .and_then(|signature| signature.verify(NAMESPACE, message.as_bytes(), Touch::Require))
        .map_err(|error| refused(now, Binding::of_signature(&error), error.to_string(), None))?;
    signers.approver(&key, NAMESPACE, now).map_err(|refusal| Refused {
        time: now,
        binding: Binding::of_signer(&refusal),
        detail: refusal.to_string(),
        key: Some(key.fingerprint().to_string()),
    })
}

/// What the device runs now, where it has said so since the session was opened and it is not what
/// an approver was shown.
fn newer_posture(tx: &Tx<'_>, own: &Statement) -> Result<Option<String>, StoreError> {
    let reported = tx.reported_state(own.device)?.map(|state| boot_digest(&state));
    Ok(reported.filter(|reported| *reported != own.boot).map(|reported| {
        format!(
            "the device has since reported another boot state, {reported}, than the session's, {}",
            own.boot
        )
    }))
}

fn refused(now: u64, binding: Binding, detail: String, approver: Option<&Approver>) -> Refused {
    Refused { time: now, binding, detail, key: approver.map(|approver| approver.key.to_string()) }
}
