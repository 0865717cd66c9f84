//! The control plane's connection to the broker: publishes what the database holds for it, and takes in what devices send. It
//! does what `control-plane/server/src/broker` does around its MQTT client.

use std::collections::BTreeSet;

use pawl_control_plane::broker::receive;
use pawl_proto::message::{Event as Order, Standing, TrustTier, Verdict};
use pawl_proto::signed::{self, OrderKey};
use pawl_proto::{Channel, Digest, EventId, Topic};

use crate::broker::{self, Fate};
use crate::ledger::Published;
use crate::plane;
use crate::seen::Sight;
use crate::world::{Ms, World, WorldEvent};

/// The connection.
#[derive(Debug, Default)]
pub struct Publisher {
    connection: Option<u64>,
    is_subscribed: bool,
    in_flight: BTreeSet<Parcel>,
    /// A look into the database is due.
    pub is_woken: bool,
}

/// A message of the database on its way to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the fields say which")]
pub enum Parcel {
    Event(EventId),
    Verdict { device: pawl_proto::DeviceId, sequence: u64 },
}

const ROOM: usize = 32;
const AGAIN: Ms = 5_000;
const ACKNOWLEDGED_WITHIN: Ms = 20_000;

/// Connects where there is no connection, and publishes what waits.
pub fn tick(world: &mut World) {
    world.publisher.is_woken = false;
    if world.publisher.connection.is_none() && !connect(world) {
        return;
    }
    if !world.publisher.is_subscribed {
        let plane = world.devices.len();
        world.publisher.is_subscribed = broker::subscribe(world, plane);
        if !world.publisher.is_subscribed {
            world.after(AGAIN, WorldEvent::PlaneTick);
        }
    }
    publish(world);
}

fn connect(world: &mut World) -> bool {
    let plane = world.devices.len();
    let Some((connection, is_present)) = broker::connect(world, plane, false) else {
        let pause = world.rng.between(500, 20_000);
        world.after(pause, WorldEvent::PlaneTick);
        return false;
    };
    world.publisher.connection = Some(connection);
    world.publisher.is_subscribed = is_present;
    world.publisher.in_flight.clear();
    let again = plane::now(world.plane.control.store.transaction(move |tx| {
        tx.publish_events_again()?;
        if is_present { Ok(()) } else { tx.publish_verdicts_again() }
    }));
    if let Err(error) = again {
        world.trace(|| format!("control plane: nothing is published again: {error}"));
    }
    true
}

fn publish(world: &mut World) {
    let Some(connection) = world.publisher.connection else { return };
    let limit = ROOM + world.publisher.in_flight.len();
    let waiting = plane::now(world.plane.control.store.transaction(move |tx| {
        let events = tx
            .unpublished_events(limit)?
            .into_iter()
            .map(|(topic, id, payload)| (topic, Parcel::Event(id), payload));
        let verdicts = tx.unpublished_verdicts(limit)?.into_iter().map(|(topic, sequence, payload)| {
            (topic, Parcel::Verdict { device: topic.device, sequence }, payload)
        });
        Ok::<_, pawl_control_plane::store::StoreError>(events.chain(verdicts).collect::<Vec<_>>())
    }));
    let Ok(waiting) = waiting else {
        return world.after(AGAIN, WorldEvent::PlaneTick);
    };
    for (topic, parcel, payload) in waiting {
        if world.publisher.in_flight.len() >= ROOM || !world.publisher.in_flight.insert(parcel) {
            continue;
        }
        learn(world, &topic, &payload);
        world.broker.captured.push((topic.to_string(), payload.clone()));
        let Some(to) = world.devices.iter().position(|device| device.tpm.device() == topic.device) else {
            continue;
        };
        let fate = broker::publish(world, to, &topic, &payload);
        let latency = world.rng.between(2, 40);
        match fate {
            // The broker has it; an event is retained.
            Fate::Taken | Fate::NoSubscriber => {
                world.after(latency, WorldEvent::PlanePuback { connection, parcel, is_taken: true });
            }
            Fate::Silence => world.after(ACKNOWLEDGED_WITHIN, WorldEvent::PlaneStalled { connection }),
        }
    }
}

/// Remembers what a message is, for the promises.
fn learn(world: &mut World, topic: &Topic, payload: &[u8]) {
    let keys = [OrderKey::from(&world.plane.control.keys.signing.order)];
    let digest = Digest::of(payload);
    if world.ledger.published.contains_key(&digest) {
        return;
    }
    let published =
        match topic.channel {
            Channel::Verdict => {
                signed::verify::<Verdict>(payload, topic, &keys).ok().map(|verdict| verdict_of(&verdict))
            }
            Channel::Event => signed::verify::<Order>(payload, topic, &keys).ok().map(|event| {
                Published::Event { device: event.device, epoch: event.epoch.0, kind: event.kind }
            }),
            _ => None,
        };
    if let Some(published) = published {
        world.ledger.published.insert(digest, published);
    }
}

/// What a verdict is to the promises.
#[must_use]
pub fn verdict_of(verdict: &Verdict) -> Published {
    let bars = verdict.entitlement.standing == Standing::Suspended
        || verdict.result == Some(TrustTier::Contraindicated);
    Published::Verdict { pairing: verdict.pairing, sequence: verdict.sequence, bars }
}

/// The broker has acknowledged a message.
pub fn acknowledged(world: &mut World, connection: u64, parcel: Parcel, is_taken: bool) {
    if world.publisher.connection != Some(connection)
        || !world.publisher.in_flight.remove(&parcel)
        || !is_taken
    {
        return;
    }
    let now = world.plane.unix() * 1000;
    let noted = plane::now(world.plane.control.store.transaction(move |tx| match parcel {
        Parcel::Event(id) => tx.set_event_published(id, now, now),
        Parcel::Verdict { device, sequence } => tx.set_verdict_published(device, sequence),
    }));
    if noted.is_err() {
        world.after(AGAIN, WorldEvent::PlaneTick);
    } else {
        world.plane_acted();
    }
}

/// A message was not acknowledged in time: the control plane connects again.
pub fn stalled(world: &mut World, connection: u64) {
    if world.publisher.connection == Some(connection) && !world.publisher.in_flight.is_empty() {
        lose(world, connection);
    }
}

/// The connection was cut.
pub fn cut(world: &mut World, present: Option<u64>) {
    if let Some(connection) = world.publisher.connection
        && present != Some(connection)
    {
        lose(world, connection);
    }
}

fn lose(world: &mut World, connection: u64) {
    let plane = world.devices.len();
    broker::disconnect(world, plane, connection);
    world.publisher.connection = None;
    world.publisher.in_flight.clear();
    let pause = world.rng.between(100, 3_000);
    world.after(pause, WorldEvent::PlaneTick);
}

/// A device's message comes in. It is acknowledged when its transaction is committed.
pub fn message(world: &mut World, connection: u64, id: u64, topic: &str, payload: &[u8]) {
    if world.publisher.connection != Some(connection) {
        return;
    }
    let (plane, control) = (world.devices.len(), world.plane.control.clone());
    match plane::now(receive(&control, topic.as_bytes(), payload)) {
        Ok(()) => broker::acknowledge(world, plane, connection, id),
        Err(error) => {
            world.trace(|| format!("control plane: a message is not decided: {error}"));
            world.saw(Sight::PlaneFailed);
            lose(world, connection);
        }
    }
    world.plane_acted();
}
