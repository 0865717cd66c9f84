//! What follows from an approval, in the transaction that made it: the old pairing is over, and a
//! new one may be proven.

use pawl_evidence::tpm::Public;
use pawl_proto::codec::Version;
use pawl_proto::message::{
    EventKind, PairingApproved, RefusalCode, ShortText, Standing, Statement, TpmStructure,
};
use pawl_proto::{DeviceId, Digest, Epoch, Nonce};

use super::case::{Approved, Case};
use super::claim::{Claim, check_enrolled, check_replaced};
use super::credential;
use crate::control_plane::ControlPlane;
use crate::entitlement;
use crate::incident;
use crate::orders;
use crate::record::Fact;
use crate::refusal::{Refusal, RequestError};
use crate::session;
use crate::store::{ApprovalRow, Session, StoreError, Tx};

/// Ends what the approved session ends, and gives the grant that its TPM alone can open.
pub(super) fn carry_out(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    session: Session,
) -> Result<PairingApproved, RequestError> {
    let now = plane.clock.now();
    let case = Case::of(&session)?;
    let claim = case.claim()?;
    let (bytes, statement) = session.asked()?;
    // Again, since all this may have changed while persons approved.
    check_enrolled(plane, tx, &claim, &case.vendor_check(plane), statement.replaces)?;
    check_replaced(tx, claim.device, statement.replaces)?;
    if let Some(replaced) = statement.replaces {
        // The policy asks for a person; this keeps a fault there from ending another device.
        if !tx.approvals(session.id)?.iter().any(|approval| approval.confirmation.is_none()) {
            return Err(Refusal::new(
                RefusalCode::ApprovalRequired,
                "a person must approve that a device takes another one's place",
            )
            .into());
        }
        replace(plane, tx, &session, &claim, replaced)?;
    }
    // The counter was certified at the opening: what lived below it is over.
    tx.end_pairings_below(claim.device, claim.epoch, now)?;
    tx.settle_below(claim.device, claim.epoch)?;
    let reason = because("a new pairing was approved", &statement);
    orders::end(plane, tx, claim.device, EventKind::Repair, reason, session.id)?;

    let (secret, credential) = credential::make(&claim)?;
    let approvals = tx.approvals(session.id)?;
    let answer = PairingApproved {
        version: Version,
        statement: bytes.clone(),
        approvals: approvals.iter().filter_map(ApprovalRow::granted).collect(),
        credential,
        nonce: Nonce(crate::random::bytes()),
        lease_key: structure(plane.keys.signing.lease.public())?,
        authorization_key: structure(plane.keys.signing.authorization.public())?,
        policy_ref: Digest(crate::random::bytes()),
        above: above(tx, &claim)?,
    };
    let approved = Approved { secret: Digest::of(secret.as_slice()), answer: answer.clone() };
    let body = Case { approved: Some(approved), ..case }.encode()?;
    tx.put_session(&Session { body, ..session })?;
    Ok(answer)
}

/// The epoch above which the pairing must live. One in which no pairing ever lived, and after
/// which nothing was seen, is good as it is.
fn above(tx: &Tx<'_>, claim: &Claim) -> Result<Epoch, StoreError> {
    let paired = tx.newest_pairing(claim.device)?.map(|pairing| pairing.epoch);
    let seen = tx.high_water(claim.device)?.map(|highest| Epoch(highest.epoch));
    if paired < Some(claim.epoch) && seen <= Some(claim.epoch) {
        return Ok(Epoch(claim.epoch.0.saturating_sub(1)));
    }
    Ok(claim.epoch.max(paired.unwrap_or(claim.epoch)).max(seen.unwrap_or(claim.epoch)))
}

/// Puts the device in another one's place: who approved it vouches for it, and the other one is
/// revoked and kept out. A device that nobody had enrolled inherits the operator's grant, which the
/// approvers were shown; one that was enrolled keeps its own.
fn replace(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    session: &Session,
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
    incident::settle_by_replacing(tx, replaced, device, now)?;
    if let Some(label) = &old.label {
        tx.enrol(old.ek_sha256, Some(&format!("{label}{SUFFIX}")), now)?;
    }
    let (_, statement) = session.asked()?;
    let reason = because("another device took its place", &statement);
    orders::end(plane, tx, replaced, EventKind::Revoke, reason, session.id)?;
    let reason = format!("replaced by {device}");
    session::decline_all(tx, replaced, &reason, now)?;
    tx.set_standing(replaced, Standing::Suspended, Some(&reason))?;
    tx.record(replaced, now, Fact::Replaced { by: device.to_string(), session: session.id.to_string() })?;
    tx.record(replaced, now, Fact::Suspended { reason })?;
    tracing::info!(%device, %replaced, session = %session.id, "a device takes another one's place");
    Ok(())
}

/// Gives the device the grant of the one that it replaces, if that is what the approvers were shown.
fn inherit(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    session: &Session,
    device: DeviceId,
    replaced: DeviceId,
) -> Result<(), RequestError> {
    let (_, statement) = session.asked()?;
    if statement.granted != Some(entitlement::granted(plane, tx, replaced)?) {
        let message =
            "the operator has changed what the replaced device is granted since it was shown; ask anew";
        return Err(Refusal::new(RefusalCode::Stale, message).into());
    }
    let granted = tx.granted(replaced)?;
    tx.set_granted(device, &granted)?;
    Ok(tx.record(device, plane.clock.now(), Fact::granted(&granted, Some(replaced)))?)
}

fn because(what: &str, statement: &Statement) -> ShortText {
    ShortText::lossy(&format!("{what} (session {}): {}", statement.session, statement.reason))
}

fn structure(public: &Public) -> Result<TpmStructure, Refusal> {
    let too_long = |error| Refusal::new(RefusalCode::Malformed, error);
    TpmStructure::new(public.as_bytes().to_vec()).map_err(too_long)
}
