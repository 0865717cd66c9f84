//! What the grant writes into the database: the pairing, its first report and the verdict on it.

use pawl_evidence::appraise::{HighWater, TpmTime};
use pawl_evidence::endorsement::EkTemplate;
use pawl_proto::message::{Appraisal, RefusalCode, Standing, Verdict};
use pawl_proto::{Nonce, PairingId};

use super::case::Approved;
use super::claim::{Claim, check_enrolled};
use super::grant::Open;
use super::proof::{self, Proven};
use crate::control_plane::ControlPlane;
use crate::entitlement;
use crate::incident;
use crate::posture::audit::{self, Occasion};
use crate::posture::{self, Judgement, LeasePcrs, Shown};
use crate::record::Fact;
use crate::refusal::{Refusal, RequestError};
use crate::store::{AcceptedState, BootState, Pairing, PairingState, Tx};

/// Enters the pairing, and issues its first verdict: gives that and the signed message.
pub(super) fn enter(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    open: &Open,
    proven: &Proven,
    (lease_pcrs, boot): (&LeasePcrs, BootState),
    report_length: usize,
) -> Result<(Verdict, Vec<u8>), RequestError> {
    let now = plane.clock.now();
    let Open { claim, case, approved, session } = open;
    let (device, epoch) = (claim.device, proven.epoch);
    let ak_name = claim.attestation_key.name();
    // Again, since all this may have changed after the session was approved.
    check_enrolled(plane, tx, claim, &case.vendor_check(plane), None)?;
    check_epoch(tx, claim, approved, proven)?;
    let highest = tx.high_water(device)?;
    let time = TpmTime::new(epoch.0, proven.quote.clock());
    if !posture::raise_high_water(tx, device, time)? {
        return Err(proof::went_backwards().into());
    }
    incident::begin(
        tx,
        &incident::Now { device, time, evidence: proven.evidence(), now_ms: plane.clock.now_ms() },
    )?;
    incident::settle_by_pairing(tx, &case.request, !tx.approvals(session.id)?.is_empty(), now)?;
    let policy = plane.policies.of(device);
    let rules = policy.as_ref().and_then(|policy| policy.ima.as_ref());
    let quoted = proven.quote.pcrs();
    let mut complete = posture::Complete::new(proven.evidence(), proven.quoted.digest, None, quoted, rules)
        .map_err(|error| Refusal::new(RefusalCode::Proof, error))?;
    complete.base.lease_pcrs_added.clone_from(lease_pcrs.added());
    let shown = Shown {
        device,
        policy: policy.as_deref(),
        quote: &proven.quote,
        lease_pcrs,
        epoch,
        // A session is short, and nothing that came before it counts.
        age: 0,
        boot_log: complete.boot_log.as_deref(),
        measure_log: complete.measure_log(),
        measure_log_behind: complete.measured_behind,
        ima: complete.ima_log(),
    };
    let judgement = judge(plane, tx, &shown, boot, highest)?;
    let pairing = Pairing {
        id: PairingId::from(session.id),
        device,
        epoch,
        state: PairingState::Live,
        paired_at: now,
        ended_at: None,
        scopes: case.request.scopes.clone(),
        audiences: case.request.audiences.clone(),
        attestation_key: claim.attestation_key.public().as_bytes().to_vec(),
        counter: claim.counter.as_bytes().to_vec(),
        device_key: proven.device_key.as_bytes().to_vec(),
        action_key: Some(proven.action_key.as_bytes().to_vec()),
        policy_ref: approved.answer.policy_ref,
        nonce: Nonce(crate::random::bytes()),
        base: None,
        reported: None,
    };
    // TPM2_NV_Certify has just shown where the counter stands: what lived below it is dead.
    tx.end_pairings_below(device, epoch, now)?;
    tx.settle_below(device, epoch)?;
    tx.add_pairing(&pairing)?;
    tx.set_endorsement(device, ek_kind(claim.template), &case.endorsement)?;
    let host = proven.evidence().host.as_ref().unwrap_or(&case.request.host);
    tx.set_boot_log(pairing.id, complete.boot_log.as_deref())?;
    tx.take_report(pairing.id, &complete.base, report_length, true, Some(host), now)?;
    posture::keep_sample(tx, &shown, &proven.quoted, &pairing.attestation_key, now)?;
    let granted = entitlement::entitlement(plane, tx, &pairing, Standing::Active)?;
    let fact = Fact::Paired {
        pairing: pairing.id.to_string(),
        epoch: epoch.0,
        endorsement: case.endorsement.clone(),
        scopes: granted.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        audiences: Some(granted.audiences.iter().map(|audience| audience.as_str().to_owned()).collect()),
        attestation_key: ak_name.to_string(),
        reason: case.request.reason.as_str().to_owned(),
        counter: Some(claim.counter.name().to_string()),
        policy_ref: Some(pairing.policy_ref.to_string()),
        lease_key: Some(plane.keys.signing.lease.name().to_string()),
    };
    tx.record(device, now, fact)?;

    let occasion = Occasion::Pairing(case.request.finding);
    let seen = audit::take(tx, device, pairing.id, proven.evidence().audit.as_ref(), occasion, now)?;
    let mut draft = judgement.into_draft(plane, Standing::Active, None, proven.quoted.digest);
    seen.tell(&mut draft);
    incident::tell(&mut draft, &tx.open_incidents(device)?);
    let (verdict, message) = draft.issue(plane, tx, &pairing)?;
    posture::record_verdict(tx, &verdict, &proven.quoted, seen.head)?;
    // The device gets it with the grant.
    tx.verdict_published(device, verdict.sequence)?;
    Ok((verdict, message))
}

/// The counter has moved past all that lived before.
fn check_epoch(tx: &Tx<'_>, claim: &Claim, approved: &Approved, proven: &Proven) -> Result<(), RequestError> {
    let paired = tx.newest_pairing(claim.device)?.map(|pairing| pairing.epoch);
    let above = paired.max(Some(approved.answer.above));
    if Some(proven.epoch) <= above {
        let message = format_args!("epoch {} is spent; the device has to move its counter on", proven.epoch);
        return Err(Refusal::new(RefusalCode::EpochSpent, message).into());
    }
    Ok(())
}

/// Appraises the first report. Without a policy, the boot state of a device that has none accepted becomes its
/// accepted one: who enrolled or approved it vouches for what it runs now.
fn judge(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    shown: &Shown<'_>,
    boot: BootState,
    highest: Option<HighWater>,
) -> Result<Judgement, RequestError> {
    let device = shown.device;
    let mut accepted = tx.boot_states(device)?;
    if accepted.is_empty() && shown.policy.is_none() {
        let now = plane.clock.now();
        let first = AcceptedState::at_first_pairing(boot, now);
        tx.accept_boot_state(device, &first)?;
        tx.record(device, now, posture::accepted_fact(&first.pcrs, &first.name))?;
        accepted.push(first);
    }
    let judgement = posture::judge(shown, accepted, highest);
    if judgement.result == Appraisal::Contraindicated {
        let reasons = judgement.reasons.join("; ");
        return Err(Refusal::new(RefusalCode::Posture, reasons).into());
    }
    Ok(judgement)
}

/// As the device names it too.
fn ek_kind(template: EkTemplate) -> &'static str {
    match template {
        EkTemplate::Rsa2048 => "rsa-2048",
        EkTemplate::EccP256 => "ecc-p256",
        EkTemplate::EccP384 => "ecc-p384",
    }
}
