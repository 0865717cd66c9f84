//! A device's link to the broker, as `pawld`'s own: it keeps trying to connect, sends one parcel at a time, and keeps
//! each until its PUBACK.

use std::collections::VecDeque;

use pawl_proto::{Channel, Topic};
use pawld::core::{Input, LinkInput, MessageId, PairingRecord, Parcel, ParcelKind};

use crate::broker::{self, Fate};
use crate::device::{Inbound, Link};
use crate::execute::feed;
use crate::world::{Ms, World, WorldEvent};

const FIRST_PAUSE: Ms = 500;
const LONGEST_PAUSE: Ms = 60_000;
const ACKNOWLEDGED_WITHIN: Ms = 20_000;

/// Takes a pairing's keys into use, and begins to connect.
pub fn begin(world: &mut World, index: usize, record: &PairingRecord) {
    let Some(device) = world.devices.get_mut(index) else { return };
    let run = device.run;
    let Some(process) = &mut device.process else { return };
    if !process.parts.use_keys(record) {
        return;
    }
    process.next += 1;
    let number = process.next;
    process.link = Some(Link {
        number,
        epoch: record.epoch.0,
        connection: None,
        outbox: VecDeque::new(),
        in_flight: false,
        is_first: true,
        pause: FIRST_PAUSE,
    });
    let latency = device.rng.between(20, 200);
    world.after(latency, WorldEvent::Connect { device: index, run, link: number });
}

/// Gives the link up.
pub fn end(world: &mut World, index: usize) {
    let Some(process) = world.devices.get_mut(index).and_then(|device| device.process.as_mut()) else {
        return;
    };
    process.messages.clear();
    process.parts.drop_keys();
    if let Some(connection) = process.link.take().and_then(|link| link.connection) {
        broker::disconnect(world, index, connection);
    }
}

fn link(world: &mut World, index: usize) -> Option<&mut Link> {
    world.devices.get_mut(index)?.process.as_mut()?.link.as_mut()
}

/// Tries to connect: the TPM signs the handshake with the link key.
pub fn connect(world: &mut World, index: usize, run: u64, number: u64) {
    let Some(device) = world.devices.get_mut(index) else { return };
    if device.run != run {
        return;
    }
    let Some(process) = &mut device.process else { return };
    let (keys, Some(link)) = (process.parts.keys(), process.link.as_mut()) else { return };
    if link.number != number || link.connection.is_some() {
        return;
    }
    let Some(keys) = keys else { return };
    let (epoch, is_first) = (link.epoch, link.is_first);
    if let Err(error) = device.tpm.use_link(&keys.link, epoch) {
        return lost(world, index, format!("the link key does not sign: {error}"));
    }
    match broker::connect(world, index, is_first) {
        Some((connection, _)) => {
            if let Some(link) = self::link(world, index) {
                (link.connection, link.in_flight, link.is_first) = (Some(connection), false, false);
            }
            world.trace(|| format!("device {index}: connected to the broker"));
            let (granted, latency) = (broker::subscribe(world, index), world.rng.between(2, 40));
            world.after(latency, WorldEvent::Suback { device: index, run, connection, granted });
            feed(world, index, Input::Link(LinkInput::Connected));
            send_next(world, index);
        }
        None => lost(world, index, "the broker cannot be reached".to_owned()),
    }
}

/// The connection is gone, or was not made.
pub fn lost(world: &mut World, index: usize, error: String) {
    let Some(device) = world.devices.get_mut(index) else { return };
    let run = device.run;
    let Some(process) = &mut device.process else { return };
    let Some(link) = &mut process.link else { return };
    (link.connection, link.in_flight) = (None, false);
    // Their packet ids are void: the broker sends the messages again.
    process.messages.clear();
    let pause = device.rng.between(link.pause / 10, link.pause);
    link.pause = (link.pause * 2).min(LONGEST_PAUSE);
    let number = link.number;
    world.after(pause, WorldEvent::Connect { device: index, run, link: number });
    feed(world, index, Input::Link(LinkInput::Lost(error)));
}

/// Asks for the subscriptions again.
pub fn subscribe(world: &mut World, index: usize) {
    let Some(device) = world.devices.get(index) else { return };
    let run = device.run;
    let Some(connection) = link(world, index).and_then(|link| link.connection) else { return };
    let granted = broker::subscribe(world, index);
    world.after(10, WorldEvent::Suback { device: index, run, connection, granted });
}

/// The broker has answered a SUBSCRIBE.
pub fn subscribed(world: &mut World, index: usize, connection: u64, granted: bool) {
    if link(world, index).and_then(|link| link.connection) != Some(connection) {
        return;
    }
    if let Some(link) = link(world, index) {
        link.pause = FIRST_PAUSE;
    }
    let input = if granted {
        LinkInput::Subscribed
    } else {
        LinkInput::SubscriptionRefused("the broker refuses the subscription".to_owned())
    };
    feed(world, index, Input::Link(input));
}

/// A message comes in.
pub fn message(world: &mut World, index: usize, connection: u64, id: u64, topic: String, payload: Vec<u8>) {
    if link(world, index).and_then(|link| link.connection) != Some(connection) {
        return;
    }
    let Some(process) = world.devices.get_mut(index).and_then(|device| device.process.as_mut()) else {
        return;
    };
    process.next += 1;
    let message = MessageId(process.next);
    process.messages.insert(message, Inbound { id, connection, payload: payload.clone() });
    feed(world, index, Input::Link(LinkInput::Message { topic, payload, id: Some(message) }));
}

/// Publishes a parcel, now or when the connection stands again.
pub fn publish(world: &mut World, index: usize, parcel: Parcel) {
    let Some(link) = link(world, index) else { return };
    let waiting = link.outbox.iter_mut().skip(usize::from(link.in_flight));
    match waiting.into_iter().find(|waiting| overtakes(parcel.kind, waiting.kind)) {
        Some(overtaken) => *overtaken = parcel,
        None => link.outbox.push_back(parcel),
    }
    send_next(world, index);
}

fn overtakes(new: ParcelKind, old: ParcelKind) -> bool {
    matches!(
        (new, old),
        (ParcelKind::Status, ParcelKind::Status) | (ParcelKind::Posture(_), ParcelKind::Posture(_))
    )
}

fn send_next(world: &mut World, index: usize) {
    let (plane, Some(device)) = (world.devices.len(), world.devices.get(index)) else { return };
    let run = device.run;
    // The certificate names the device that was paired, which is this TPM's: another one's link key does not sign.
    let id = device.tpm.device();
    let Some(link) = link(world, index) else { return };
    let Some(connection) = link.connection.filter(|_| !link.in_flight) else { return };
    let Some(parcel) = link.outbox.front().cloned() else { return };
    link.in_flight = true;
    let channel = match parcel.kind {
        ParcelKind::Status => Channel::Status,
        ParcelKind::Posture(_) => Channel::Posture,
        ParcelKind::Receipt(_) => Channel::Receipt,
    };
    let fate = broker::publish(world, plane, &Topic::new(id, channel), &parcel.payload);
    let latency = world.rng.between(2, 40);
    // A broker that does not answer in time has lost the message: the link connects again.
    let latency = if fate == Fate::Silence { ACKNOWLEDGED_WITHIN } else { latency };
    world.after(latency, WorldEvent::Puback { device: index, run, connection, fate });
}

/// The broker has answered a PUBLISH.
pub fn acknowledged(world: &mut World, index: usize, connection: u64, fate: Fate) {
    let Some(link) = link(world, index) else { return };
    if link.connection != Some(connection) || !std::mem::take(&mut link.in_flight) {
        return;
    }
    if fate == Fate::Silence {
        broker::disconnect(world, index, connection);
        return lost(world, index, "the broker acknowledges nothing".to_owned());
    }
    let Some(parcel) = link.outbox.pop_front() else { return };
    let input = match fate {
        Fate::Taken => LinkInput::Delivered(parcel.kind),
        Fate::NoSubscriber | Fate::Silence => LinkInput::Undelivered(parcel.kind),
    };
    feed(world, index, Input::Link(input));
    send_next(world, index);
}
