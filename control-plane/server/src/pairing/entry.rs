//! What the grant writes into the database: the pairing, its first report and the verdict on it.

use pawl_proto::Nonce;
use pawl_proto::message::{Standing, Verdict};
use pawl_verifier::AcceptedState;
use pawl_verifier::audit::{Occasion, RecordsReport};
use pawl_verifier::incident::{TpmSighting, resolved_by_pairing, weigh};
use pawl_verifier::pairing::{
    AppraisedDevice, Pairing, ProvenPairing, check_epoch, check_time, ek_kind, new_pairing, paired_fact,
};
use pawl_verifier::record::Fact;

use super::appraisal::keep_sample;
use super::enrolment::check_device;
use super::grant::Open;
use crate::control_plane::ControlPlane;
use crate::entitlement;
use crate::incident;
use crate::posture;
use crate::refusal::RequestError;
use crate::store::{NewReport, Tx};
use crate::verdict;

/// Enters the pairing, and issues its first verdict: gives that and the signed message.
pub(super) fn enter(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    open: &Open,
    proven: &ProvenPairing,
    appraised: &AppraisedDevice,
    report_length: usize,
) -> Result<(Verdict, Vec<u8>), RequestError> {
    let now = plane.clock.now();
    let Open { claim, data, approved, session } = open;
    let (device, epoch) = (claim.device, proven.epoch);
    // Again, since all this may have changed after the session was approved.
    check_device(plane, tx, claim, &data.vendor_check(plane.vendors.are_required()), None)?;
    let newest = tx.newest_pairing(device)?.map(|pairing| pairing.epoch);
    check_epoch(epoch, newest, approved.answer.above)?;
    begin_history(plane, tx, proven, appraised)?;
    let by_person = !tx.approvals(session.id)?.is_empty();
    incident::resolve(tx, device, resolved_by_pairing(&data.request, by_person), now)?;
    accept_first(plane, tx, open, appraised)?;
    appraised.check_result()?;

    let nonce = Nonce(plane.random.bytes());
    let pairing = new_pairing(session.id, data, claim, proven, approved.answer.policy_ref, nonce, now);
    // TPM2_NV_Certify has just shown where the counter stands: what lived below it is dead.
    tx.end_pairings_below(device, epoch, now)?;
    tx.settle_below(device, epoch)?;
    tx.add_pairing(&pairing)?;
    tx.set_endorsement(device, ek_kind(claim.template), &data.endorsement)?;
    let report = &appraised.report;
    let evidence = proven.evidence();
    let new_report = NewReport {
        at: now,
        bytes: report_length,
        whole: true,
        host: Some(evidence.host.as_ref().unwrap_or(&data.request.host)),
        health: evidence.health.as_ref(),
    };
    tx.set_boot_log(pairing.id, report.boot_log.as_deref())?;
    tx.take_report(pairing.id, &report.base, new_report)?;
    keep_sample(tx, device, appraised)?;
    let granted = entitlement::entitlement(plane, tx, &pairing, Standing::Active)?;
    let fact = paired_fact(&pairing, data, claim, &plane.keys.signing.policy_keys(), &granted);
    tx.record(device, now, fact)?;
    first_verdict(plane, tx, open, &pairing, (proven, appraised))
}

/// Remembers where the TPM is now, and that its earlier runs are over.
fn begin_history(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    proven: &ProvenPairing,
    appraised: &AppraisedDevice,
) -> Result<(), RequestError> {
    let (evidence, time) = (proven.evidence(), appraised.report.time);
    let sighting = TpmSighting { device: evidence.device, time, evidence, now_ms: plane.clock.now_ms() };
    let history = tx.tpm_history(evidence.device)?;
    check_time(history.highest, time)?;
    if let Some(history) = history.begin(&sighting) {
        tx.set_tpm_history(evidence.device, &history)?;
    }
    Ok(())
}

/// Without a policy, the boot state of a device that has none accepted becomes its accepted one: who enrolled or approved
/// it vouches for what it runs now.
fn accept_first(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    open: &Open,
    appraised: &AppraisedDevice,
) -> Result<(), RequestError> {
    let (device, now) = (open.claim.device, plane.clock.now());
    if plane.policies.of(device).is_none() && tx.boot_states(device)?.is_empty() {
        let first = AcceptedState::at_first_pairing(appraised.boot.clone(), now);
        tx.accept_boot_state(device, &first)?;
        tx.record(device, now, Fact::accepted(&first.pcrs, &first.name))?;
    }
    Ok(())
}

fn first_verdict(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    open: &Open,
    pairing: &Pairing,
    (proven, appraised): (&ProvenPairing, &AppraisedDevice),
) -> Result<(Verdict, Vec<u8>), RequestError> {
    let device = pairing.device;
    let occasion = Occasion::Pairing(open.data.request.finding);
    let report = RecordsReport { pairing: pairing.id, occasion, now: plane.clock.now() };
    let records = posture::take_records(tx, device, proven.evidence().audit.as_ref(), report)?;
    let judgement = appraised.report.judgement.clone();
    let interval = plane.config.report_interval();
    let mut draft = judgement.into_draft(Standing::Active, None, proven.quoted.digest, interval);
    records.weigh(&mut draft);
    weigh(&mut draft, &tx.open_incidents(device)?);
    let (verdict, message) = verdict::issue(plane, tx, pairing, draft)?;
    posture::record_verdict(tx, &verdict, &proven.quoted, records.head)?;
    // The device gets it with the grant.
    tx.verdict_published(device, verdict.sequence)?;
    Ok((verdict, message))
}
