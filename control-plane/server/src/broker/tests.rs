//! Tests on a real mosquitto with the packaged configuration, except where the broker must misbehave.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use pawl_proto::message::{EventKind, ShortText};
use pawl_proto::{Channel, Topic};
use rumqttc::QoS;
use rumqttc::mqttbytes::v5::Publish;
use tokio::task::JoinHandle;

use crate::broker::Subscriptions;
use crate::control_plane::ControlPlane;
use crate::orders;
use crate::store::StoreError;
use crate::testing::{Broker, Device, MuteBroker, Reporting, Rig};

/// Polls the condition until it holds, for at most 30 s.
async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let poll = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), poll).await.is_ok(), "{what}");
}

async fn connect(plane: &Arc<ControlPlane>) -> JoinHandle<Result<(), super::TlsError>> {
    let session = tokio::spawn(super::run(Arc::clone(plane)));
    until("the broker is connected", async || plane.outbox.connected()).await;
    session
}

async fn disconnect(plane: &ControlPlane, session: JoinHandle<Result<(), super::TlsError>>) {
    session.abort();
    let _ = session.await;
    plane.outbox.set_connected(false);
}

async fn acknowledged_at(plane: &ControlPlane, device: &Device) -> Option<u64> {
    let id = device.id();
    let events = plane.store.transaction(move |tx| tx.events(id)).await.unwrap();
    events.last().unwrap().acknowledged_at_ms
}

#[tokio::test]
async fn orders_reach_the_broker_through_restarts_of_either_side() {
    let rig = Rig::new();
    let plane = &rig.plane;
    let mut broker = Broker::start(plane);
    let mut device = Device::enrolled(plane).await;
    device.pair(plane).await.unwrap();

    let session = connect(plane).await;
    let changed = orders::suspend(plane, device.id(), "audit".to_owned()).await.unwrap();
    assert!(changed.published);
    disconnect(plane, session).await;

    // The control plane stores this order while it is disconnected; then the broker resumes the MQTT session.
    let ordered =
        orders::order(plane, device.id(), EventKind::Revoke, ShortText::lossy("sold")).await.unwrap();
    assert_eq!(ordered.delivered_at_ms, None);
    let session = connect(plane).await;
    until("the event is published", async || acknowledged_at(plane, &device).await.is_some()).await;

    // After the broker lost all state, every order without a receipt is published again.
    let before = acknowledged_at(plane, &device).await;
    rig.clock.advance(60);
    broker.restart_empty();
    until("the event is published again", async || acknowledged_at(plane, &device).await > before).await;
    disconnect(plane, session).await;
}

#[tokio::test]
async fn a_refused_message_is_published_once_the_broker_accepts_it() {
    let rig = Rig::new();
    let plane = &rig.plane;
    let broker = Broker::start(plane);
    let mut device = Device::enrolled(plane).await;
    device.pair(plane).await.unwrap();
    let session = connect(plane).await;

    broker.let_control_plane("topic read pawl/v1/#");
    let suspended = orders::suspend(plane, device.id(), "audit".to_owned()).await.unwrap();
    assert!(!suspended.published);
    broker.let_control_plane("topic readwrite pawl/v1/#");
    until("the verdict is published", async || {
        plane.store.transaction(|tx| tx.unpublished_verdicts(1)).await.unwrap().is_empty()
    })
    .await;
    assert!(plane.outbox.connected());
    disconnect(plane, session).await;
}

#[tokio::test]
async fn a_message_that_the_broker_never_acknowledges_delays_no_other_and_is_sent_again() {
    let rig = Rig::new();
    let plane = &rig.plane;
    let mut first = Device::enrolled(plane).await;
    first.pair(plane).await.unwrap();
    let mut second = Device::enrolled(plane).await;
    second.pair(plane).await.unwrap();
    let stuck = Topic::new(first.id(), Channel::Event).to_string();
    let broker = MuteBroker::start(plane, stuck.clone()).await;
    let session = connect(plane).await;

    let revoke =
        |device: &Device| orders::order(plane, device.id(), EventKind::Revoke, ShortText::lossy("sold"));
    let (waiting, ()) = tokio::join!(revoke(&first), async {
        until("the first order reached the broker", async || broker.published(&stuck) == 1).await;
        // This waits for at most five seconds, less than the time after which the first order counts as lost.
        let ordered = revoke(&second).await.unwrap();
        assert!(ordered.delivered_at_ms.is_some(), "the second order waits behind the first one");
    });
    waiting.unwrap();
    until("the first order is acknowledged", async || acknowledged_at(plane, &first).await.is_some()).await;
    assert_eq!((broker.connections(), broker.published(&stuck)), (2, 2));
    disconnect(plane, session).await;
}

#[tokio::test]
async fn a_refused_subscription_is_told_and_asked_for_again() {
    let rig = Rig::new();
    let plane = &rig.plane;
    let broker = MuteBroker::start(plane, String::new()).await;
    broker.refuse_subscriptions(true);
    let session = connect(plane).await;
    until("the refusal is reported", async || plane.outbox.subscriptions() == Some(Subscriptions::Refused))
        .await;

    broker.refuse_subscriptions(false);
    until("the subscriptions are granted", async || {
        plane.outbox.subscriptions() == Some(Subscriptions::Granted)
    })
    .await;
    assert_eq!(broker.connections(), 1, "the control plane connected again");
    disconnect(plane, session).await;
}

/// Damages the database, as a faulty disk or a person could.
async fn damage(plane: &ControlPlane, statement: &'static str) {
    plane.store.transaction(move |tx| tx.execute(statement)).await.unwrap();
}

#[tokio::test]
async fn a_malformed_order_in_the_database_delays_no_other() {
    let rig = Rig::new();
    let plane = &rig.plane;
    let mut first = Device::enrolled(plane).await;
    first.pair(plane).await.unwrap();
    let mut second = Device::enrolled(plane).await;
    second.pair(plane).await.unwrap();
    orders::order(plane, first.id(), EventKind::Revoke, ShortText::lossy("sold")).await.unwrap();
    damage(plane, "UPDATE event SET id = 'no event id'").await;
    orders::order(plane, second.id(), EventKind::Revoke, ShortText::lossy("sold")).await.unwrap();

    let _broker = Broker::start(plane);
    let session = connect(plane).await;
    until("the other order is published", async || acknowledged_at(plane, &second).await.is_some()).await;
    disconnect(plane, session).await;
}

#[tokio::test]
async fn a_message_for_damaged_rows_is_dropped_and_any_other_failure_is_not() {
    let rig = Rig::new();
    let (mut reporting, _) = Reporting::paired(&rig).await;
    let topic = Topic::new(reporting.device.id(), Channel::Posture).to_string();
    let publish = Publish::new(topic, QoS::AtLeastOnce, reporting.message(), None);
    damage(&rig.plane, "UPDATE pairing SET nonce = x'00'").await;
    super::receive(&rig.plane, &publish.topic, &publish.payload).await.unwrap();

    damage(&rig.plane, "ALTER TABLE device RENAME TO lost").await;
    let kept = super::receive(&rig.plane, &publish.topic, &publish.payload).await;
    assert!(matches!(kept, Err(StoreError::Sqlite(_))), "{kept:?}");
}

#[tokio::test]
async fn a_report_counts_after_the_wall_clock_was_set_back() {
    let rig = Rig::new();
    let (mut reporting, _) = Reporting::paired(&rig).await;
    let topic = Topic::new(reporting.device.id(), Channel::Posture).to_string();
    let mut sequences = Vec::new();
    for back in [0, 3600] {
        rig.clock.set_back(back);
        super::receive(&rig.plane, topic.as_bytes(), &reporting.message()).await.unwrap();
        let verdict = reporting.device.next_verdict(&rig.plane).await;
        sequences.extend(verdict.map(|verdict| verdict.sequence));
    }
    assert!(matches!(sequences[..], [first, second] if first < second), "{sequences:?}");
}
