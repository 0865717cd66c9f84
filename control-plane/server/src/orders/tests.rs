use pawl_proto::message::{Cause, EventKind, Receipt, ShortText, SignedReceipt};
use pawl_proto::open::Word;
use pawl_proto::signed::OrderKey;
use pawl_proto::{Channel, Epoch, Topic};

use pawl_verifier::event::OrderRefused;
use pawl_verifier::receipt;
use pawl_verifier::record::Fact;

use super::*;
use crate::testing::{Device, Rig};
use pawl_verifier::pairing::PairingState;

async fn paired() -> (Rig, Device) {
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    device.pair(&rig.plane).await.unwrap();
    (rig, device)
}

async fn order_of(rig: &Rig, device: &Device, kind: EventKind) -> Result<Ordered, OrderError> {
    order(&rig.plane, device.id(), kind, ShortText::lossy("sold")).await
}

async fn state(rig: &Rig, device: &Device) -> PairingState {
    let id = device.id();
    rig.plane.store.transaction(move |tx| tx.newest_pairing(id)).await.unwrap().unwrap().state
}

#[tokio::test]
async fn a_revocation_ends_the_pairing_and_waits_for_the_broker() {
    let (rig, device) = paired().await;
    let ordered = order_of(&rig, &device, EventKind::Revoke).await.unwrap();
    assert_eq!((ordered.event.epoch, ordered.delivered_at_ms), (Epoch(7), None));
    assert_eq!(state(&rig, &device).await, PairingState::Revoking);

    let waiting = rig.plane.store.transaction(|tx| tx.unpublished_events(9)).await.unwrap();
    let [(topic, id, message)] = waiting.as_slice() else { panic!("{waiting:?}") };
    assert_eq!((*topic, *id), (Topic::new(device.id(), Channel::Event), ordered.event.id));
    let keys = [OrderKey::from(&rig.plane.keys.signing.order)];
    assert_eq!(pawl_proto::signed::verify(message, topic, &keys), Ok(ordered.event));
}

#[tokio::test]
async fn the_receipt_settles_the_order() {
    let (rig, mut device) = paired().await;
    let ordered = order_of(&rig, &device, EventKind::Revoke).await.unwrap();
    let receipt = device.wipe(Some(&ordered.event));
    receive_receipt(&rig.plane, Some(device.id()), receipt.clone()).await.unwrap();
    // The broker may deliver it twice.
    receive_receipt(&rig.plane, Some(device.id()), receipt).await.unwrap();

    assert_eq!(state(&rig, &device).await, PairingState::Ended);
    let id = device.id();
    let (events, receipts) = rig
        .plane
        .store
        .transaction(move |tx| Ok::<_, crate::store::StoreError>((tx.events(id)?, tx.receipts(id)?)))
        .await
        .unwrap();
    assert!(events.iter().all(|event| event.settled));
    assert_eq!(receipts.len(), 1);
    assert!(matches!(
        order_of(&rig, &device, EventKind::Refresh).await,
        Err(OrderError::Refused(OrderRefused::NotPaired))
    ));
}

#[tokio::test]
async fn a_device_that_does_not_know_what_ended_its_epoch_gets_the_order() {
    let (rig, mut device) = paired().await;
    let ordered = order_of(&rig, &device, EventKind::Repair).await.unwrap();
    let known = device.wipe(None);
    let receipt: Receipt = pawl_proto::decode(known.receipt.as_bytes(), 2048).unwrap();
    let unknown = device.signed(&Receipt { cause: Cause::Recovery, ..receipt });

    assert_eq!(receive_receipt(&rig.plane, None, known).await.unwrap(), None);
    let topic = Topic::new(device.id(), Channel::Event);
    let keys = [OrderKey::from(&rig.plane.keys.signing.order)];
    // The answer may have been lost: the same receipt gets the same answer again.
    for _ in 0..2 {
        let event = receive_receipt(&rig.plane, None, unknown.clone()).await.unwrap().unwrap();
        assert_eq!(pawl_proto::signed::verify(&event, &topic, &keys).as_ref(), Ok(&ordered.event));
    }

    // Once the device is paired again, the order of the earlier pairing is no longer returned.
    device.pair(&rig.plane).await.unwrap();
    assert_eq!(receive_receipt(&rig.plane, None, unknown).await.unwrap(), None);
}

#[tokio::test]
async fn a_receipt_with_a_cause_of_a_newer_device_settles_the_order() {
    let (rig, mut device) = paired().await;
    let ordered = order_of(&rig, &device, EventKind::Revoke).await.unwrap();
    let receipt = device.wipe(Some(&ordered.event));
    let cause = "tamper-switch".parse::<Word>().unwrap().into();
    let receipt = Receipt { cause, ..pawl_proto::decode(receipt.receipt.as_bytes(), 2048).unwrap() };
    receive_receipt(&rig.plane, Some(device.id()), device.signed(&receipt)).await.unwrap();
    assert_eq!(state(&rig, &device).await, PairingState::Ended);
    let id = device.id();
    let records = rig.plane.store.transaction(move |tx| tx.records(id)).await;
    let last = records.unwrap_or_else(|error: crate::store::ChainError| panic!("{error}")).pop().unwrap().0;
    assert!(matches!(last.fact, Fact::Receipt { cause, .. } if cause == "tamper-switch"));
}

#[tokio::test]
async fn a_receipt_that_proves_nothing_changes_nothing() {
    let (rig, mut device) = paired().await;
    let good: SignedReceipt = device.wipe(None);
    let receipt: Receipt = pawl_proto::decode(good.receipt.as_bytes(), 2048).unwrap();

    let altered = Receipt { epoch: Epoch(9), ..receipt.clone() };
    let mut forged = device.signed(&altered);
    assert!(matches!(
        receive_receipt(&rig.plane, None, forged.clone()).await,
        Err(ReceiptError::Unproven(receipt::ReceiptError::Epoch { .. }))
    ));
    forged.receipt = good.receipt.clone();
    assert!(matches!(
        receive_receipt(&rig.plane, None, forged).await,
        Err(ReceiptError::Unproven(receipt::ReceiptError::Attest(_)))
    ));

    let mut stranger = Device::new();
    let foreign = stranger.signed(&receipt);
    assert!(matches!(
        receive_receipt(&rig.plane, None, foreign).await,
        Err(ReceiptError::Unproven(receipt::ReceiptError::Attest(_)))
    ));
    let from_elsewhere = receive_receipt(&rig.plane, Some(stranger.id()), good.clone()).await;
    assert!(matches!(from_elsewhere, Err(ReceiptError::OtherDevice)));

    device.tpm.epoch -= 1;
    let still_alive = device.signed(&Receipt { epoch: Epoch(7), ..receipt });
    let unmoved = receive_receipt(&rig.plane, None, still_alive).await;
    assert!(matches!(unmoved, Err(ReceiptError::Unproven(receipt::ReceiptError::Epoch { .. }))));
    assert_eq!(state(&rig, &device).await, PairingState::Live);
}

#[tokio::test]
async fn a_lesser_order_does_not_replace_the_end() {
    let (rig, device) = paired().await;
    order_of(&rig, &device, EventKind::Refresh).await.unwrap();
    order_of(&rig, &device, EventKind::Refresh).await.unwrap();
    order_of(&rig, &device, EventKind::Repair).await.unwrap();
    assert!(matches!(
        order_of(&rig, &device, EventKind::Refresh).await,
        Err(OrderError::Refused(OrderRefused::Pending { .. }))
    ));
    order_of(&rig, &device, EventKind::Revoke).await.unwrap();
    assert!(matches!(
        order_of(&rig, &device, EventKind::Repair).await,
        Err(OrderError::Refused(OrderRefused::Pending { .. }))
    ));

    let waiting = rig.plane.store.transaction(|tx| tx.unpublished_events(9)).await.unwrap();
    assert_eq!(waiting.len(), 1, "the broker retains only the newest");
}

#[tokio::test]
async fn every_decision_leaves_a_record() {
    let (rig, mut device) = paired().await;
    suspend(&rig.plane, device.id(), "audit".to_owned()).await.unwrap();
    resume(&rig.plane, device.id(), 1).await.unwrap();
    let ordered = order_of(&rig, &device, EventKind::Revoke).await.unwrap();
    let receipt = device.wipe(Some(&ordered.event));
    receive_receipt(&rig.plane, None, receipt).await.unwrap();

    let id = device.id();
    let records = rig.plane.store.transaction(move |tx| tx.records(id)).await;
    let kinds: Vec<String> = records
        .unwrap_or_else(|error: crate::store::ChainError| panic!("{error}"))
        .into_iter()
        .map(|(record, _)| serde_json::to_value(record).unwrap()["kind"].as_str().unwrap().to_owned())
        .collect();
    let paired = ["session-opened", "approved", "accepted", "paired", "lease", "verdict"];
    let ordered = ["suspended", "resumed", "revoke-ordered", "receipt"];
    assert_eq!(kinds, [&paired[..], &ordered].concat());
}
