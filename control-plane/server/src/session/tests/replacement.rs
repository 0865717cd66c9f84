//! Tests of a device that replaces another one.

use pawl_proto::DeviceId;
use pawl_proto::message::{EventKind, Standing};

use super::*;
use crate::http::Network;
use crate::{orders, store};

async fn device(plane: &Arc<ControlPlane>, id: DeviceId) -> Option<store::Device> {
    plane.store.transaction(move |tx| tx.device(id)).await.unwrap()
}

fn replacing(new: &Device, old: DeviceId) -> PairingRequest {
    PairingRequest { replaces: Some(old), ..new.request() }
}

#[tokio::test]
async fn the_approval_enrols_the_new_device_and_ends_the_old_one() {
    let stage = Stage::new("", &["ann"]).await;
    let (plane, old) = (stage.plane(), stage.device.id());
    let ek = stage.device.tpm.ek_sha256();
    plane.store.transaction(move |tx| tx.enrol(ek, Some("gate 4"), 1)).await.unwrap();
    let mut new = Device::new();
    let request = replacing(&new, old);
    let (asked, waiting) = new.ask_persons(plane, request).await;
    assert_eq!(waiting.known.replaced.as_ref().map(|ends| ends.pairing), stage.device.pairing);
    assert!(device(plane, new.id()).await.is_none(), "nothing has changed yet");
    assert_eq!(stage.pairing().await, PairingState::Live);

    let approved = asked.approve(plane, stage.persons[0].sign(&waiting.statement)).await.unwrap().approved();
    let (here, gone) = (device(plane, new.id()).await.unwrap(), device(plane, old).await.unwrap());
    assert_eq!((here.label.as_deref(), here.replaces), (Some("gate 4"), Some(old)));
    assert_eq!((gone.label.as_deref(), gone.replaced_by), (Some("gate 4 (replaced)"), Some(new.id())));
    assert_eq!(gone.standing, Standing::Suspended);
    assert!(gone.standing_reason.is_some_and(|reason| reason.contains(new.id().as_str())));
    assert_eq!(stage.pairing().await, PairingState::Revoking);
    let events = plane.store.transaction(move |tx| tx.events(old)).await.unwrap();
    assert_eq!((events[0].kind, events[0].session), (EventKind::Revoke, Some(asked.id)));

    let proof = new.proof(asked.id, &approved);
    let grant = pairing::prove(plane, asked.id, proof).await.unwrap();
    assert_eq!(grant.scopes, new.request().scopes, "the requested ones");
    let late = refused(pairing::offer(plane, stage.device.request()).await);
    assert_eq!(late.code, RefusalCode::Suspended);
}

#[tokio::test]
async fn without_approvers_an_unknown_device_cannot_replace_another() {
    let rig = Rig::new();
    let old = paired(&rig.plane).await;
    let mut new = Device::new();
    let request = replacing(&new, old.id());
    let refusal = refused(new.ask(&rig.plane, request).await);
    assert_eq!(refusal.code, RefusalCode::NotEnrolled);
    assert!(refusal.message.contains(&new.tpm.ek_sha256().to_string()), "{refusal}");
}

#[tokio::test]
async fn an_enrolled_device_replaces_another_only_with_a_persons_approval() {
    for policy in ["re_pair = 0", "pair = 0\nre_pair = 0\nafter_repair = 0"] {
        let stage = Stage::new(policy, &["ann"]).await;
        let (plane, old) = (stage.plane(), stage.device.id());
        let stranger = stage.rig.person("stranger");
        // The first has no pairing, the second a live one, and the third one with a repair order.
        let (fresh, live, repaired) =
            (Device::enrolled(plane).await, paired(plane).await, paired(plane).await);
        let why = pawl_proto::message::ShortText::lossy("new board");
        orders::order(plane, repaired.id(), EventKind::Repair, why).await.unwrap();
        for mut device in [fresh, live, repaired] {
            let request = replacing(&device, old);
            let (asked, progress) = device.ask(plane, request).await.unwrap();
            let waiting = progress.waits();
            assert_eq!(waiting.needed, 1);
            assert_eq!(stage.pairing().await, PairingState::Live, "nobody approved");
            refused(asked.approve(plane, stranger.sign(&waiting.statement)).await);
            assert_eq!(stage.pairing().await, PairingState::Live);
        }
    }
}

#[tokio::test]
async fn without_approvers_an_enrolled_device_cannot_replace_another() {
    let rig = Rig::new();
    let old = paired(&rig.plane).await;
    let mut new = Device::enrolled(&rig.plane).await;
    let request = replacing(&new, old.id());
    assert_eq!(refused(new.ask(&rig.plane, request).await).code, RefusalCode::NoApprovers);
    assert_eq!(state_of(&rig.plane, old.pairing.unwrap()).await, PairingState::Live);
}

#[tokio::test]
async fn a_device_is_replaced_once_and_not_by_itself() {
    let stage = Stage::new("", &["ann"]).await;
    let (plane, old) = (stage.plane(), stage.device.id());
    let unknown = refused(pairing::offer(plane, replacing(&Device::new(), Device::new().id())).await);
    assert_eq!(unknown.code, RefusalCode::Malformed);
    let own = refused(pairing::offer(plane, replacing(&stage.device, old)).await);
    assert_eq!(own.code, RefusalCode::Malformed);

    let mut new = Device::new();
    let request = replacing(&new, old);
    let (asked, waiting) = new.ask_persons(plane, request.clone()).await;
    asked.approve(plane, stage.persons[0].sign(&waiting.statement)).await.unwrap().approved();
    let third = refused(pairing::offer(plane, replacing(&Device::new(), old)).await);
    assert_eq!(third.code, RefusalCode::Malformed);
    assert!(new.ask(plane, request).await.is_ok(), "the same device may request it again");
}

#[tokio::test]
async fn of_two_devices_that_would_replace_another_the_first_approved_does() {
    let stage = Stage::new("", &["ann"]).await;
    let (plane, old) = (stage.plane(), stage.device.id());
    let (mut first, mut second) = (Device::new(), Device::new());
    let request = replacing(&first, old);
    let (firsts, firsts_waiting) = first.ask_persons(plane, request).await;
    let request = replacing(&second, old);
    let (seconds, seconds_waiting) = second.ask_persons(plane, request).await;
    let ann = &stage.persons[0];
    firsts.approve(plane, ann.sign(&firsts_waiting.statement)).await.unwrap().approved();
    let late = refused(seconds.approve(plane, ann.sign(&seconds_waiting.statement)).await);
    assert_eq!(late.code, RefusalCode::Malformed);
    assert!(device(plane, second.id()).await.is_none(), "the second device was enrolled");
    assert_eq!(device(plane, old).await.unwrap().replaced_by, Some(first.id()));
}

#[tokio::test]
async fn the_waiting_session_of_a_replaced_device_is_declined() {
    let mut stage = Stage::new("", &["ann"]).await;
    let (olds, olds_waiting) = stage.ask().await;
    let plane = stage.plane();
    let mut new = Device::new();
    let request = replacing(&new, stage.device.id());
    let (asked, waiting) = new.ask_persons(plane, request).await;
    asked.approve(plane, stage.persons[0].sign(&waiting.statement)).await.unwrap().approved();
    let given = stage.persons[0].sign(&olds_waiting.statement);
    assert_eq!(refused(olds.approve(plane, given).await).code, RefusalCode::Declined);
}

#[tokio::test]
async fn a_device_that_nobody_enrolled_writes_no_record_before_a_person_approves() {
    let stage = Stage::new("", &["ann"]).await;
    let plane = stage.plane();
    let before = facts(plane, &stage.device).await;
    let mut new = Device::new();
    let request = replacing(&new, stage.device.id());
    let (asked, waiting) = new.ask_persons(plane, request).await;
    let stranger = stage.rig.person("stranger").sign(&waiting.statement);
    refused(asked.approve(plane, stranger).await);
    assert_eq!(facts(plane, &stage.device).await, before);
    // The session stores the refused approval, for the operator.
    let refusals = session(plane, asked.id).await.refusals;
    assert!(matches!(&refusals[..], [Refused { binding: Binding::Key, .. }]), "{refusals:?}");

    asked.approve(plane, stage.persons[0].sign(&waiting.statement)).await.unwrap().approved();
    let recorded = facts(plane, &stage.device).await;
    assert!(recorded.iter().any(|fact| matches!(fact, Fact::Approved { .. })), "{recorded:?}");
}

/// Requests a replacement from this network, with a TPM of its own.
async fn stranger(
    plane: &Arc<ControlPlane>,
    network: u8,
    old: DeviceId,
) -> Result<OpenedSession, RequestError> {
    let mut device = Device { network: Network::of([198, 51, 100, network].into()), ..Device::new() };
    let request = replacing(&device, old);
    device.ask(plane, request).await.map(|(asked, _)| asked)
}

#[tokio::test]
async fn unknown_devices_block_neither_an_enrolled_device_nor_another_network() {
    let stage = Stage::new("", &["ann"]).await;
    let (plane, old) = (stage.plane(), stage.device.id());
    let mut let_in = 0;
    for _ in 0..20 {
        match stranger(plane, 1, old).await {
            Ok(_) => let_in += 1,
            refused_ => assert_eq!(refused(refused_).code, RefusalCode::Busy),
        }
    }
    assert_eq!(let_in, plane.config.limits.unknown_per_address);
    // Another network has room.
    stranger(plane, 2, old).await.unwrap();

    // Many networks can exhaust the limit for one replaced device, but not for another.
    for network in 3..30 {
        let _ = stranger(plane, network, old).await;
    }
    let waiting = plane.store.transaction(|tx| tx.waiting_strangers()).await.unwrap();
    assert_eq!(waiting.len(), plane.config.limits.unknown_per_device);
    let full = refused(stranger(plane, 40, old).await);
    assert!(full.message.contains("enrol this one"), "{full}");
    let other = paired(plane).await.id();
    stranger(plane, 40, other).await.unwrap();

    // The limits do not apply to a device that the operator enrolled.
    let mut known = Device::enrolled(plane).await;
    let request = replacing(&known, old);
    known.ask_persons(plane, request).await;
}

#[tokio::test]
async fn expired_sessions_of_unknown_devices_that_no_approver_saw_are_removed() {
    let stage = Stage::new("", &["ann"]).await;
    let (plane, old) = (stage.plane(), stage.device.id());
    let before = plane.store.transaction(|tx| tx.sessions(None, 100)).await.unwrap().len();
    stranger(plane, 1, old).await.unwrap();
    stage.rig.clock.advance(600);
    stranger(plane, 1, old).await.unwrap();
    let after = plane.store.transaction(|tx| tx.sessions(None, 100)).await.unwrap().len();
    assert_eq!(after, before + 1);
}
