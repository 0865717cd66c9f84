use pawl_proto::message::{Access, EventKind, RefusalCode, ShortText};

use super::*;
use crate::admin::view::{DeviceLine, DeviceStatus, PendingView};
use crate::admin::{ClientError, EnrolRequest};
use crate::bundle;
use crate::entitlement::{AccessChange, entitled};
use crate::lookup;
use crate::orders;
use crate::refusal::RequestError;
use crate::store::{DeadLink, StoreError};
use crate::testing::{Device as TestDevice, Operator, Rig};

async fn paired(rig: &Rig) -> TestDevice {
    let mut device = TestDevice::enrolled(&rig.plane).await;
    device.pair(&rig.plane).await.unwrap();
    device
}

async fn retired(rig: &Rig, device: &TestDevice) -> Retired {
    retire(&rig.plane, device.id(), ShortText::lossy("scrapped")).await.unwrap()
}

async fn kinds(rig: &Rig, id: DeviceId) -> Vec<String> {
    let records = rig.plane.store.transaction(move |tx| tx.records(id)).await;
    let records = records.unwrap_or_else(|error: crate::store::ChainError| panic!("{error}"));
    records.into_iter().map(|(record, _)| serde_json::to_value(record).unwrap()["kind"].to_string()).collect()
}

async fn enrol(operator: &Operator, device: &TestDevice) {
    let request =
        EnrolRequest { ek_sha256: vec![device.tpm.ek_sha256().to_string()], ..EnrolRequest::default() };
    operator.client.post::<serde_json::Value>("/v1/devices", &request).await.unwrap();
}

async fn error(operator: &Operator, path: String, body: serde_json::Value) -> String {
    match operator.client.post::<serde_json::Value>(&path, &body).await {
        Err(ClientError::Refused(refused)) => refused.error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_retired_device_is_revoked_and_gets_nothing() {
    let rig = Rig::new();
    let (operator, mut device) = (rig.operator().await, paired(&rig).await);
    let id = device.id();
    let done = retired(&rig, &device).await;
    assert_eq!(done.order.unwrap().event.kind, EventKind::Revoke);
    let now = rig.plane.clock.now();
    let (entitled, granted) = rig
        .plane
        .store
        .transaction(move |tx| Ok::<_, StoreError>((entitled(tx, id, now).is_ok(), tx.granted(id)?)))
        .await
        .unwrap();
    assert_eq!((entitled, granted), (false, Access::default()));
    assert_eq!(
        kinds(&rig, id).await.iter().rev().take(2).collect::<Vec<_>>(),
        ["\"retired\"", "\"revoke-ordered\""]
    );

    // It is as if it were not enrolled, and the operator sees that it was.
    let request = device.request();
    let refused = device.ask(&rig.plane, request).await;
    assert!(
        matches!(&refused, Err(RequestError::Refused(refusal)) if refusal.code == RefusalCode::NotEnrolled)
    );
    let pending: Vec<PendingView> = operator.client.get("/v1/pending").await.unwrap();
    assert_eq!((pending[0].device, pending[0].retired_at), (id, Some(now)));

    let path = |verb: &str| format!("/v1/devices/{id}/{verb}");
    let reason = serde_json::json!({ "reason": "x" });
    let change = serde_json::json!({ "scopes": ["a"], "audiences": [], "remove_scopes": [], "remove_audiences": [],
        "exactly": false });
    for (verb, body) in [
        ("suspend", reason.clone()),
        ("resume", serde_json::json!({ "suspension": 1 })),
        ("entitle", change),
        ("retire", reason),
    ] {
        assert_eq!(error(&operator, path(verb), body).await, "retired", "{verb}");
    }
}

#[tokio::test]
async fn a_retired_device_that_is_enrolled_again_pairs_with_what_is_granted_then() {
    let rig = Rig::new();
    let (operator, mut device) = (rig.operator().await, paired(&rig).await);
    retired(&rig, &device).await;
    enrol(&operator, &device).await;
    let grant = device.pair(&rig.plane).await.unwrap();
    assert!(grant.scopes.is_empty(), "the grant of before came back: {:?}", grant.scopes);
    let lines: Vec<DeviceLine> = operator.client.get("/v1/devices").await.unwrap();
    assert_eq!((lines[0].status, lines[0].retired_at), (DeviceStatus::Entitled, None));
    let add = AccessChange { exactly: true, ..AccessChange::default() };
    orders::entitle(&rig.plane, device.id(), add).await.unwrap();
}

/// The TPM of a retired device may ignore its order, as that of a replaced one.
#[tokio::test]
async fn the_broker_refuses_a_retired_device_after_a_while() {
    let rig = Rig::new();
    let device = paired(&rig).await;
    retired(&rig, &device).await;
    let now = rig.plane.clock.now();
    let dead = |ordered| rig.plane.store.transaction(move |tx| tx.dead_links(ordered));
    assert_eq!(dead(now).await.unwrap(), []);
    let listed = dead(now + 1).await.unwrap();
    assert!(
        matches!(listed.as_slice(), [DeadLink { device: id, is_proven: false, .. }] if *id == device.id())
    );
    // A deletion takes nothing off the list.
    delete(&rig.plane, device.id()).await.unwrap();
    assert_eq!(dead(now + 1).await.unwrap(), listed);
}

#[tokio::test]
async fn only_a_retired_device_is_deleted_and_its_records_stay() {
    let rig = Rig::new();
    let (operator, mut device) = (rig.operator().await, paired(&rig).await);
    let id = device.id();
    orders::rename(&rig.plane, id, Some("pump 4".parse().unwrap())).await.unwrap();
    assert!(matches!(delete(&rig.plane, id).await, Err(OrderError::NotRetired)));
    let order = retired(&rig, &device).await.order.unwrap();
    assert_eq!(delete(&rig.plane, id).await.unwrap().device.label.as_deref(), Some("pump 4"));

    assert_eq!(operator.client.get::<Vec<DeviceLine>>("/v1/devices").await.unwrap(), []);
    let found = rig.plane.store.transaction(|tx| lookup::find(tx, "pump 4")).await;
    assert!(found.is_err(), "{found:?}");
    let shown = operator.client.get::<serde_json::Value>(&format!("/v1/devices/{id}")).await;
    assert!(matches!(&shown, Err(ClientError::Refused(refused)) if refused.error == "deleted-device"));
    assert!(matches!(delete(&rig.plane, id).await, Err(OrderError::UnknownDevice)));

    // Its TPM may still prove the end, and the whole chain verifies.
    let receipt = device.wipe(Some(&order.event));
    orders::receive_receipt(&rig.plane, None, receipt).await.unwrap();
    let plane = std::sync::Arc::clone(&rig.plane);
    let contents = rig.plane.store.transaction(move |tx| bundle::collect(&plane, tx, id)).await.unwrap();
    let checked = bundle::check(&contents);
    assert!(checked.failures.is_empty() && checked.quotes > 0 && checked.receipts == 1, "{checked:?}");
    assert!(
        operator.client.get::<Vec<serde_json::Value>>(&format!("/v1/devices/{id}/records")).await.is_ok()
    );
    assert_eq!(
        kinds(&rig, id).await.iter().rev().take(2).collect::<Vec<_>>(),
        ["\"receipt\"", "\"deleted\""]
    );

    // Enrolled again, it continues its chain, in an epoch that was not used.
    enrol(&operator, &device).await;
    let grant = device.pair(&rig.plane).await.unwrap();
    assert_eq!(grant.epoch.0, 8);
    assert!(kinds(&rig, id).await.contains(&"\"deleted\"".to_owned()));
}

#[tokio::test]
async fn a_new_name_is_recorded_once_and_found() {
    let rig = Rig::new();
    let device = TestDevice::enrolled(&rig.plane).await;
    let id = device.id();
    for _ in 0..2 {
        orders::rename(&rig.plane, id, Some("pump 4".parse().unwrap())).await.unwrap();
    }
    let found = rig.plane.store.transaction(|tx| lookup::find(tx, "pump 4")).await.unwrap();
    assert_eq!(found.device, id);
    let before = orders::rename(&rig.plane, id, None).await.unwrap();
    assert_eq!(before.label.as_deref(), Some("pump 4"));
    assert_eq!(kinds(&rig, id).await, ["\"renamed\"", "\"renamed\""]);
}

#[tokio::test]
async fn a_label_means_the_device_in_service_and_not_the_retired_one() {
    let rig = Rig::new();
    let (old, new) = (TestDevice::enrolled(&rig.plane).await, TestDevice::enrolled(&rig.plane).await);
    for device in [&old, &new] {
        orders::rename(&rig.plane, device.id(), Some("pump 4".parse().unwrap())).await.unwrap();
    }
    let find = || rig.plane.store.transaction(|tx| lookup::find(tx, "pump 4"));
    assert!(find().await.is_err());
    assert!(retired(&rig, &old).await.order.is_none(), "no pairing was live");
    assert_eq!(find().await.unwrap().device, new.id());
    orders::rename(&rig.plane, new.id(), None).await.unwrap();
    assert_eq!(find().await.unwrap().device, old.id(), "a retired device has its name while no other has it");
}
