use std::sync::Arc;

use pawl_proto::message::{Area, Finding, PairingRequest, Receipt, SessionProof, TrustTier, Verdict};
use pawl_proto::{DeviceId, Nonce};

use pawl_verifier::incident::{incidents_digest, resolved_by_pairing};

use super::{ResolveError, resolve, resolve_by_operator};
use crate::control_plane::ControlPlane;
use crate::pairing;
use crate::testing::{Device, Reporting, Rig};
use pawl_verifier::incident::{Incident, IncidentKind};

const HOUR: u64 = 3600;

/// A machine on which a copy of the device runs: the daemon's run, and the TPM's resets and clock.
#[derive(Clone, Copy)]
struct Place {
    run: u8,
    reset_count: u32,
    clock: u64,
}

impl Place {
    fn of(reporting: &Reporting) -> Self {
        let Device { tpm, run, .. } = &reporting.device;
        Self { run: run.0[0], reset_count: tpm.reset_count, clock: tpm.clock }
    }

    /// Returns another machine that boots from a copy of this one.
    fn copy(self, run: u8) -> Self {
        Self { run, reset_count: self.reset_count + 1, ..self }
    }

    async fn report(&mut self, reporting: &mut Reporting) -> Verdict {
        let device = &mut reporting.device;
        (device.run, device.tpm.reset_count, device.tpm.clock) =
            (Nonce([self.run; 32]), self.reset_count, self.clock);
        let verdict = reporting.report().await;
        self.clock = reporting.device.tpm.clock;
        verdict
    }
}

fn pass(rig: &Rig, seconds: u64, places: &mut [&mut Place]) {
    rig.clock.advance(seconds);
    for place in places {
        place.clock += seconds * 1000;
    }
}

async fn open(plane: &Arc<ControlPlane>, device: DeviceId) -> Vec<Incident> {
    plane.store.transaction(move |tx| tx.open_incidents(device)).await.unwrap()
}

async fn open_kinds(plane: &Arc<ControlPlane>, device: DeviceId) -> Vec<IncidentKind> {
    open(plane, device).await.into_iter().map(|incident| incident.kind).collect()
}

#[tokio::test]
async fn a_copy_is_detected_once_both_machines_have_reported() {
    let rig = Rig::new();
    let (mut reporting, _) = Reporting::paired(&rig).await;
    let id = reporting.device.id();
    let mut here = Place::of(&reporting);
    let mut there = here.copy(2);
    pass(&rig, 300, &mut [&mut here, &mut there]);
    // This could be the same machine after a reboot.
    assert!(there.report(&mut reporting).await.lease.is_some());
    pass(&rig, 10, &mut [&mut here, &mut there]);

    let verdict = here.report(&mut reporting).await;
    assert_eq!(
        (verdict.result, verdict.areas[&Area::Hardware]),
        (Some(TrustTier::Contraindicated), TrustTier::Contraindicated)
    );
    assert!(
        verdict.lease.is_none() && verdict.reasons[0].as_str().contains("two machines"),
        "{:?}",
        verdict.reasons
    );
    assert_eq!(open_kinds(&rig.plane, id).await, [IncidentKind::TwoPlaces]);
    // The control plane cannot know which of them is the copy.
    pass(&rig, 10, &mut [&mut here, &mut there]);
    assert!(there.report(&mut reporting).await.lease.is_none());
    pass(&rig, 10, &mut [&mut here, &mut there]);
    assert!(here.report(&mut reporting).await.lease.is_none());

    // When the operator resolves the incident, the history of the runs is cleared: the remaining machine gets leases
    // again.
    let settle = async |seen| {
        let reason = "the copy was deleted".to_owned();
        rig.plane.store.transaction(move |tx| resolve_by_operator(tx, id, seen, reason, 1)).await
    };
    let seen = incidents_digest(&open(&rig.plane, id).await).unwrap();
    // The copy reports once more before the operator acts.
    pass(&rig, 10, &mut [&mut here, &mut there]);
    assert!(there.report(&mut reporting).await.lease.is_none());
    let refused = settle(seen).await;
    assert!(matches!(refused, Err(ResolveError::Other)), "{refused:?}");
    assert_eq!(open_kinds(&rig.plane, id).await, [IncidentKind::TwoPlaces]);
    assert_eq!(settle(incidents_digest(&open(&rig.plane, id).await).unwrap()).await.unwrap(), 1);
    pass(&rig, 10, &mut [&mut here, &mut there]);
    assert!(there.report(&mut reporting).await.lease.is_some());
    pass(&rig, 10, &mut [&mut here, &mut there]);
    assert!(here.report(&mut reporting).await.lease.is_none(), "the copy was not deleted");

    // After a wipe, the new pairing exists on only one of them.
    reporting.device.tpm.epoch += 1;
    let request = reporting.device.request();
    let (_, verdict) = Reporting::pair(&rig, reporting.device, request).await;
    assert!(verdict.lease.is_some(), "{verdict:?}");
    assert_eq!(open(&rig.plane, id).await, []);
}

#[tokio::test]
async fn a_copy_that_is_behind_looks_like_a_rollback_only_until_the_other_reports() {
    let rig = Rig::new();
    let (mut reporting, _) = Reporting::paired(&rig).await;
    let mut here = Place { reset_count: 9, ..Place::of(&reporting) };
    let mut there = Place::of(&reporting).copy(2);
    pass(&rig, 300, &mut [&mut here]);
    assert!(here.report(&mut reporting).await.lease.is_some());
    pass(&rig, 10, &mut [&mut here, &mut there]);
    let verdict = there.report(&mut reporting).await;
    assert!(verdict.reasons[0].as_str().contains("went back in time"), "{:?}", verdict.reasons);
    pass(&rig, 10, &mut [&mut here, &mut there]);
    let verdict = here.report(&mut reporting).await;
    assert!(verdict.reasons[0].as_str().contains("two machines"), "{:?}", verdict.reasons);
    assert_eq!(open_kinds(&rig.plane, reporting.device.id()).await, [IncidentKind::TwoPlaces]);
}

#[tokio::test]
async fn a_tpm_that_was_set_back_is_reported_until_it_has_caught_up() {
    let rig = Rig::new();
    let (mut reporting, _) = Reporting::paired(&rig).await;
    let id = reporting.device.id();
    let mut before = Place::of(&reporting);
    let mut here = before;
    pass(&rig, 300, &mut [&mut here]);
    assert!(here.report(&mut reporting).await.lease.is_some());

    before.run = 2;
    let verdict = before.report(&mut reporting).await;
    assert_eq!(
        (verdict.result, verdict.areas[&Area::Freshness]),
        (Some(TrustTier::Contraindicated), TrustTier::Contraindicated)
    );
    assert!(verdict.reasons[0].as_str().contains("order a repair"), "{:?}", verdict.reasons);
    assert_eq!(open_kinds(&rig.plane, id).await, [IncidentKind::SetBack]);
    pass(&rig, 100, &mut [&mut before]);
    assert!(before.report(&mut reporting).await.lease.is_none());
    pass(&rig, 300, &mut [&mut before]);
    assert!(before.report(&mut reporting).await.lease.is_some());
    let incidents = rig.plane.store.transaction(move |tx| tx.incidents(id)).await.unwrap();
    assert_eq!((incidents.len(), incidents[0].times), (1, 2));
    assert!(incidents[0].settled.is_some());
}

#[tokio::test]
async fn a_tpm_that_was_set_back_is_reported_after_any_number_of_resets() {
    let rig = Rig::new();
    let (mut reporting, _) = Reporting::paired(&rig).await;
    let id = reporting.device.id();
    let mut before = Place::of(&reporting);
    let mut here = before;
    pass(&rig, 24 * HOUR, &mut [&mut here]);
    assert!(here.report(&mut reporting).await.lease.is_some());

    (before.run, before.reset_count) = (2, before.reset_count + 1000);
    let verdict = before.report(&mut reporting).await;
    assert_eq!(verdict.areas[&Area::Freshness], TrustTier::Contraindicated);
    assert!(
        verdict.lease.is_none() && verdict.reasons[0].as_str().contains("went back in time"),
        "{:?}",
        verdict.reasons
    );
    assert_eq!(open_kinds(&rig.plane, id).await, [IncidentKind::SetBack]);
    // The check tolerates that an unclean stop loses an hour, but not for a TPM that was set back.
    pass(&rig, 23 * HOUR, &mut [&mut before]);
    assert!(before.report(&mut reporting).await.lease.is_none());
    pass(&rig, 2 * HOUR, &mut [&mut before]);
    assert!(before.report(&mut reporting).await.lease.is_some());
    assert_eq!(open_kinds(&rig.plane, id).await, []);
}

#[tokio::test]
async fn a_report_for_an_ended_epoch_is_refused_and_opens_an_incident_if_the_counter_fell() {
    let rig = Rig::new();
    let (mut reporting, _) = Reporting::paired(&rig).await;
    let id = reporting.device.id();
    let late = reporting.device.report(Nonce([1; 32]), None);
    let (pairing, epoch) = (reporting.device.pairing, reporting.device.tpm.epoch);
    let receipt = reporting.device.wipe(None);
    crate::orders::receive_receipt(&rig.plane, None, receipt).await.unwrap();

    // The report was made before the end and was delayed.
    let message = pawl_proto::encode(&late).unwrap();
    crate::posture::receive(&rig.plane, id, message).await.unwrap();
    assert_eq!(open_kinds(&rig.plane, id).await, []);

    let device = &mut reporting.device;
    (device.pairing, device.tpm.epoch) = (pairing, epoch);
    device.tpm.reset_count += 1;
    let revived = device.report(Nonce([1; 32]), None);
    let message = pawl_proto::encode(&revived).unwrap();
    crate::posture::receive(&rig.plane, id, message).await.unwrap();
    assert_eq!(open_kinds(&rig.plane, id).await, [IncidentKind::SetBack]);
    assert!(reporting.device.next_verdict(&rig.plane).await.is_none(), "the control plane answered it");
}

/// The receipt of a TPM that was set back and then wiped has more resets than all reports, and an older clock.
#[tokio::test]
async fn a_receipt_that_contradicts_what_was_seen_opens_an_incident() {
    let rig = Rig::new();
    let (mut reporting, _) = Reporting::paired(&rig).await;
    let id = reporting.device.id();
    let ended = reporting.device.wipe(None);
    let request = reporting.device.request();
    let (mut reporting, _) = Reporting::pair(&rig, reporting.device, request).await;
    let mut place = Place::of(&reporting);
    pass(&rig, 5 * HOUR, &mut [&mut place]);
    assert!(place.report(&mut reporting).await.lease.is_some());

    // The receipt of the epoch before was made before these reports and was delayed.
    crate::orders::receive_receipt(&rig.plane, None, ended.clone()).await.unwrap();
    assert_eq!(open_kinds(&rig.plane, id).await, []);

    let ended: Receipt = pawl_proto::decode(ended.receipt.as_bytes(), 2048).unwrap();
    let device = &mut reporting.device;
    let now = device.tpm.clock;
    for (lost, incidents) in [(HOUR, &[][..]), (2 * HOUR, &[IncidentKind::SetBack])] {
        device.tpm.reset_count += 1;
        device.tpm.clock = now - lost * 1000;
        let receipt = Receipt { time: lost, ..ended.clone() };
        let receipt = device.signed(&receipt);
        crate::orders::receive_receipt(&rig.plane, None, receipt).await.unwrap();
        assert_eq!(open_kinds(&rig.plane, id).await, incidents, "{lost} s of the clock were lost");
    }
}

#[tokio::test]
async fn restarts_reboots_and_power_cuts_open_no_incident() {
    let rig = Rig::new();
    let (mut reporting, _) = Reporting::paired(&rig).await;
    let mut place = Place::of(&reporting);
    let changes: [fn(&mut Place); 4] = [
        |_| {},
        // The daemon starts again, which also happens after a kexec.
        |place| place.run += 1,
        |place| (place.run, place.reset_count) = (place.run + 1, place.reset_count + 1),
        // The TPM loses some of its clock at a power cut.
        |place| (place.run, place.reset_count, place.clock) = (place.run + 1, place.reset_count + 1, 9),
    ];
    for change in changes {
        pass(&rig, 300, &mut [&mut place]);
        change(&mut place);
        assert!(place.report(&mut reporting).await.lease.is_some());
    }
    assert_eq!(open(&rig.plane, reporting.device.id()).await, []);
}

#[tokio::test]
async fn a_disk_in_another_machine_is_reported_on_both() {
    let rig = Rig::new();
    let (mut old, _) = Reporting::paired(&rig).await;
    let new = Device::enrolled(&rig.plane).await;
    let request = PairingRequest { finding: Finding::NewTpm, former: Some(old.device.id()), ..new.request() };
    let (new, there) = Reporting::pair(&rig, new, request).await;
    let here = old.report().await;
    for (verdict, other) in [(&there, old.device.id()), (&here, new.device.id())] {
        assert_eq!(verdict.areas[&Area::Hardware], TrustTier::Warning);
        let reason = verdict.reasons[0].as_str();
        assert!(reason.contains("disk") && reason.contains(other.as_str()), "{reason}");
        assert!(verdict.lease.is_some(), "it is a warning");
    }
    let [incident] = &open(&rig.plane, new.device.id()).await[..] else { panic!("one incident") };
    assert_eq!((incident.kind, incident.other), (IncidentKind::DiskOfAnother, Some(old.device.id())));
    let [incident] = &open(&rig.plane, old.device.id()).await[..] else { panic!("one incident") };
    assert_eq!((incident.kind, incident.other), (IncidentKind::DiskElsewhere, Some(new.device.id())));
}

#[tokio::test]
async fn a_request_without_the_tpms_proof_opens_no_incident() {
    let rig = Rig::new();
    let (old, _) = Reporting::paired(&rig).await;
    let mut new = Device::enrolled(&rig.plane).await;
    let request = PairingRequest { former: Some(old.device.id()), ..new.request() };
    let offer = pairing::offer(&rig.plane, request.clone()).await.unwrap();
    let mut proof = SessionProof { request, ..new.session_proof(&offer) };
    proof.secret = pawl_proto::Blob::new(vec![0; 32]).unwrap();
    pairing::open(&rig.plane, offer.session, proof, new.network).await.unwrap_err();
    assert_eq!(open(&rig.plane, old.device.id()).await, []);
}

#[tokio::test]
async fn a_reimaged_disk_is_a_warning_until_the_incident_is_resolved() {
    let rig = Rig::new();
    let (reporting, first) = Reporting::paired(&rig).await;
    assert_eq!(first.areas[&Area::Hardware], TrustTier::Affirming, "a first pairing is no incident");
    let request = PairingRequest { finding: Finding::NewDisk, ..reporting.device.request() };
    let (mut reporting, verdict) = Reporting::pair(&rig, reporting.device, request).await;
    let id = reporting.device.id();
    assert!(verdict.reasons[0].as_str().contains("disk of this device was new"), "{:?}", verdict.reasons);
    assert!(verdict.lease.is_some(), "it is a warning");
    assert!(reporting.report().await.reasons[0].as_str().contains("disk of this device was new"));

    let request = PairingRequest { finding: Finding::NewDisk, ..reporting.device.request() };
    let resolution = resolved_by_pairing(&request, true);
    rig.plane.store.transaction(move |tx| resolve(tx, id, resolution, 1)).await.unwrap();
    assert_eq!(open(&rig.plane, id).await, []);
    assert_eq!(reporting.report().await.areas[&Area::Hardware], TrustTier::Affirming);
}

#[tokio::test]
async fn a_pairing_request_of_a_tpm_that_was_set_back_opens_an_incident() {
    let rig = Rig::new();
    let (mut reporting, _) = Reporting::paired(&rig).await;
    reporting.device.tpm.reset_count -= 1;
    let request = reporting.device.request();
    let refused = reporting.device.ask(&rig.plane, request).await.unwrap_err();
    assert!(refused.to_string().contains("went back in time"), "{refused}");
    assert_eq!(open_kinds(&rig.plane, reporting.device.id()).await, [IncidentKind::SetBack]);
}
