//! Carries out an approval, in the same transaction: ends the old pairing, and lets the device prove a new one.

use pawl_proto::message::{EventKind, PairingApproved, RefusalCode, ShortText, Standing, Statement};
use pawl_proto::{DeviceId, Digest, Nonce};
use pawl_verifier::Refusal;
use pawl_verifier::incident::{REPLACED_NEW, REPLACED_OLD};
use pawl_verifier::pairing::{Claim, GrantSecrets, PairingSession, approve_pairing, epoch_above};
use pawl_verifier::record::Fact;
use zeroize::Zeroizing;

use super::offer::{check_device, check_place};
use super::session_data;
use crate::control_plane::ControlPlane;
use crate::entitlement;
use crate::incident;
use crate::orders;
use crate::refusal::RequestError;
use crate::session;
use crate::store::{StoreError, Tx};
use pawl_verifier::session::{ApprovalSession, SessionApproval};

/// Ends the pairings that the approved session ends, and returns the grant, whose credential only the session's TPM can
/// open.
pub(super) fn carry_out(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    session: ApprovalSession,
) -> Result<PairingApproved, RequestError> {
    let now = plane.clock.now();
    let data = session_data(&session)?;
    let claim = data.claim()?;
    let (bytes, statement) = session.asked()?;
    // Checked again: all of it may have changed while persons approved.
    let vendor_check = data.vendor_check(plane.vendors.are_required());
    check_device(plane, tx, &claim, &vendor_check, statement.replaces)?;
    check_place(tx, claim.device, statement.replaces)?;
    if let Some(replaced) = statement.replaces {
        // The policy requires a person's approval. If a fault there let a session pass without one, this check still
        // protects the other device's pairing.
        if !tx.approvals(session.id)?.iter().any(|approval| approval.confirmation.is_none()) {
            return Err(Refusal::new(
                RefusalCode::ApprovalRequired,
                "a person must approve the replacement of a device",
            )
            .into());
        }
        replace(plane, tx, &session, &claim, replaced)?;
    }
    // The TPM certified its counter when the session was opened: pairings of earlier epochs are over.
    tx.end_pairings_below(claim.device, claim.epoch, now)?;
    tx.settle_events_below(claim.device, claim.epoch)?;
    let reason = because("a new pairing was approved", &statement);
    orders::end(plane, tx, claim.device, EventKind::Repair, reason, session.id)?;

    let newest = tx.newest_pairing(claim.device)?.map(|pairing| pairing.epoch);
    let secrets = GrantSecrets {
        secret: Zeroizing::new(plane.random.bytes()),
        nonce: Nonce(plane.random.bytes()),
        policy_ref: Digest(plane.random.bytes()),
    };
    let signing = &plane.keys.signing;
    let approved = approve_pairing(
        &claim,
        bytes.clone(),
        tx.approvals(session.id)?.iter().filter_map(SessionApproval::granted).collect(),
        (signing.lease.public(), signing.authorization.public()),
        epoch_above(claim.epoch, newest, tx.high_water(claim.device)?),
        &secrets,
        &mut plane.random.clone(),
    )?;
    let answer = approved.answer.clone();
    let body = PairingSession { approved: Some(approved), ..data }.encode()?;
    tx.put_session(&ApprovalSession { body, ..session })?;
    Ok(answer)
}

/// Replaces another device by this one: revokes and suspends the other one. If this device was not enrolled, the
/// approval enrols it, and it inherits the other one's grant, which the approvers were shown. A device that was
/// enrolled keeps its own grant.
fn replace(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    session: &ApprovalSession,
    claim: &Claim,
    replaced: DeviceId,
) -> Result<(), RequestError> {
    const SUFFIX: &str = " (replaced)";

    let now = plane.clock.now();
    let device = claim.device;
    let old = tx.device(replaced)?.ok_or(StoreError::Malformed("device id"))?;
    let own_label = tx.device(device)?.and_then(|device| device.label);
    let label =
        own_label.or_else(|| old.label.clone().map(|label| label.trim_end_matches(SUFFIX).to_owned()));
    if tx.enrol(claim.ek_sha256, label.as_deref(), now)? {
        let ek_sha256 = claim.ek_sha256.to_string();
        let fact = Fact::Enrolled { ek_sha256, label, without_certificate: Some(false) };
        tx.record(device, now, fact)?;
        inherit(plane, tx, session, device, replaced)?;
        tx.record(device, now, session::approved_fact(tx, session)?)?;
    }
    if old.replaced_by == Some(device) {
        return Ok(());
    }
    tx.set_replaced(replaced, device)?;
    incident::resolve(tx, replaced, REPLACED_OLD, now)?;
    incident::resolve(tx, device, REPLACED_NEW, now)?;
    if let Some(label) = &old.label {
        tx.set_label(replaced, Some(&format!("{label}{SUFFIX}")))?;
    }
    let (_, statement) = session.asked()?;
    let reason = because("another device replaced it", &statement);
    orders::end(plane, tx, replaced, EventKind::Revoke, reason, session.id)?;
    let reason = format!("replaced by {device}");
    session::decline_all(tx, replaced, &reason, now)?;
    tx.set_standing(replaced, Standing::Suspended, Some(&reason))?;
    tx.record(replaced, now, Fact::Replaced { by: device.to_string(), session: session.id.to_string() })?;
    tx.record(replaced, now, Fact::Suspended { reason })?;
    tracing::info!(%device, %replaced, session = %session.id, "device replaced");
    Ok(())
}

/// Gives the device the grant of the one that it replaces, if the approvers were shown that grant.
fn inherit(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    session: &ApprovalSession,
    device: DeviceId,
    replaced: DeviceId,
) -> Result<(), RequestError> {
    let (_, statement) = session.asked()?;
    if statement.granted != Some(entitlement::granted(plane, tx, replaced)?) {
        let message = "the operator changed the grant of the replaced device after the approvers saw it; request the pairing again";
        return Err(Refusal::new(RefusalCode::Stale, message).into());
    }
    let granted = tx.granted(replaced)?;
    tx.set_granted(device, &granted)?;
    Ok(tx.record(device, plane.clock.now(), Fact::granted(&granted, Some(replaced)))?)
}

fn because(what: &str, statement: &Statement) -> ShortText {
    ShortText::lossy(&format!("{what} (session {}): {}", statement.session, statement.reason))
}
