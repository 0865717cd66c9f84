//! The model of the broker: sessions that keep messages for clients that are away, retained messages, and everything that a
//! broker, or somebody with a client's place on it, can do wrong.

use std::collections::{BTreeMap, VecDeque};

use pawl_proto::{Channel, Topic};

use crate::seen::Sight;
use crate::world::{Ms, World, WorldEvent};

/// A client: a device by its index, and the control plane after all devices.
pub type Client = usize;

/// The broker.
#[derive(Debug, Default)]
pub struct Broker {
    sessions: BTreeMap<Client, Session>,
    retained: BTreeMap<String, Vec<u8>>,
    /// What the control plane ever published: anyone who reads along can send it again.
    pub captured: Vec<(String, Vec<u8>)>,
    next: u64,
    connections: u64,
    /// What is wrong with it.
    pub weather: Weather,
}

/// Until when each fault lasts.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each says what happens until then")]
pub struct Weather {
    pub down: Ms,
    pub drop: Ms,
    pub duplicate: Ms,
    pub reorder: Ms,
    pub no_puback: Ms,
    pub no_subscriber: Ms,
    /// Until when messages for a client are held back.
    pub withhold: BTreeMap<Client, Ms>,
    pub refuse_suback: BTreeMap<Client, Ms>,
}

#[derive(Debug, Default)]
struct Session {
    connection: Option<u64>,
    is_subscribed: bool,
    queue: VecDeque<Message>,
    /// When the last message on this connection arrives: one that is sent later arrives later.
    last_at: Ms,
}

#[derive(Clone, Debug)]
struct Message {
    id: u64,
    topic: String,
    payload: Vec<u8>,
    /// The connection on which it was sent.
    sent_on: Option<u64>,
}

/// What the broker answers to a PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// PUBACK: it has a subscriber.
    Taken,
    /// PUBACK: nobody subscribes.
    NoSubscriber,
    /// No PUBACK comes.
    Silence,
}

impl Broker {
    /// Returns whether the session of a client waits for nothing.
    #[must_use]
    pub fn is_empty(&self, client: Client) -> bool {
        self.sessions.get(&client).is_none_or(|session| session.queue.is_empty())
    }

    /// Returns the connection of a client.
    #[must_use]
    pub fn connection(&self, client: Client) -> Option<u64> {
        self.sessions.get(&client).and_then(|session| session.connection)
    }
}

/// A client connects; `is_clean`: without the session that was there. Returns the connection, and whether the session was there; none while the broker is away.
pub fn connect(world: &mut World, client: Client, is_clean: bool) -> Option<(u64, bool)> {
    if world.now < world.broker.weather.down {
        return None;
    }
    let broker = &mut world.broker;
    broker.connections += 1;
    let connection = broker.connections;
    if is_clean {
        broker.sessions.remove(&client);
    }
    let is_present = broker.sessions.contains_key(&client);
    let session = broker.sessions.entry(client).or_default();
    (session.connection, session.last_at) = (Some(connection), 0);
    session.queue.iter_mut().for_each(|message| message.sent_on = None);
    pump(world, client);
    Some((connection, is_present))
}

/// A client's connection ends.
pub fn disconnect(world: &mut World, client: Client, connection: u64) {
    if let Some(session) = world.broker.sessions.get_mut(&client)
        && session.connection == Some(connection)
    {
        session.connection = None;
    }
}

/// A client subscribes to its topics. Returns whether the broker grants it.
pub fn subscribe(world: &mut World, client: Client) -> bool {
    if world.broker.weather.refuse_suback.get(&client).is_some_and(|until| world.now < *until) {
        world.seen.saw(Sight::SubackRefused);
        return false;
    }
    let retained: Vec<(String, Vec<u8>)> = match world.devices.get(client) {
        Some(device) => {
            let topic = Topic::new(device.tpm.device(), Channel::Event).to_string();
            world.broker.retained.get(&topic).map(|payload| (topic, payload.clone())).into_iter().collect()
        }
        None => Vec::new(),
    };
    if let Some(session) = world.broker.sessions.get_mut(&client) {
        session.is_subscribed = true;
    }
    for (topic, payload) in retained {
        enqueue(world, client, topic, payload);
    }
    pump(world, client);
    true
}

/// A client publishes.
pub fn publish(world: &mut World, to: Client, topic: &Topic, payload: &[u8]) -> Fate {
    let name = topic.to_string();
    if topic.channel == Channel::Event {
        world.broker.retained.insert(name.clone(), payload.to_vec());
    }
    let is_silent = world.now < world.broker.weather.no_puback;
    let is_subscribed = world.broker.sessions.get(&to).is_some_and(|session| session.is_subscribed);
    let is_unheard = world.now < world.broker.weather.no_subscriber;
    if is_unheard {
        world.seen.saw(Sight::NoSubscriber);
    }
    if !is_subscribed || is_unheard {
        return if is_silent { Fate::Silence } else { Fate::NoSubscriber };
    }
    if is_silent {
        world.seen.saw(Sight::PubackMissing);
        if world.rng.chance(1, 2) {
            enqueue(world, to, name, payload.to_vec());
            pump(world, to);
        }
        return Fate::Silence;
    }
    if world.now < world.broker.weather.drop && world.rng.chance(1, 2) {
        world.seen.saw(Sight::MessageDropped);
        return Fate::Taken;
    }
    enqueue(world, to, name.clone(), payload.to_vec());
    if world.now < world.broker.weather.duplicate && world.rng.chance(1, 2) {
        world.seen.saw(Sight::MessageDuplicated);
        enqueue(world, to, name, payload.to_vec());
    }
    pump(world, to);
    Fate::Taken
}

/// Puts a message of anybody's into a client's session.
pub fn inject(world: &mut World, client: Client, topic: String, payload: Vec<u8>) {
    enqueue(world, client, topic, payload);
    pump(world, client);
}

/// The broker forgets a client's session: what it held is lost, and so is the subscription.
pub fn forget(world: &mut World, client: Client) {
    if let Some(session) = world.broker.sessions.remove(&client) {
        world.seen.saw(Sight::SessionForgotten);
        if session.connection.is_some() {
            cut(world, client);
        }
    }
}

/// Another client connects in a client's place, and acknowledges what it finds.
pub fn take_over(world: &mut World, client: Client) {
    let Some(session) = world.broker.sessions.get_mut(&client) else { return };
    session.connection = None;
    session.queue.clear();
    world.seen.saw(Sight::SessionTaken);
    cut(world, client);
}

/// Cuts a client's connection.
pub fn cut(world: &mut World, client: Client) {
    if let Some(session) = world.broker.sessions.get_mut(&client) {
        session.connection = None;
    }
    world.after(5, WorldEvent::Cut(client));
}

/// A client acknowledges a message.
pub fn acknowledge(world: &mut World, client: Client, connection: u64, id: u64) {
    if let Some(session) = world.broker.sessions.get_mut(&client) {
        session.queue.retain(|message| message.id != id || message.sent_on != Some(connection));
    }
}

const MOST_QUEUED: usize = 1000;

fn enqueue(world: &mut World, client: Client, topic: String, payload: Vec<u8>) {
    world.broker.next += 1;
    let message = Message { id: world.broker.next, topic, payload, sent_on: None };
    if let Some(session) = world.broker.sessions.get_mut(&client)
        && session.queue.len() < MOST_QUEUED
    {
        session.queue.push_back(message);
    }
}

/// Sends what was not sent on the present connection.
fn pump(world: &mut World, client: Client) {
    let held_back = world.broker.weather.withhold.get(&client).copied().unwrap_or(0).max(world.now);
    if held_back > world.now {
        world.seen.saw(Sight::MessageWithheld);
    }
    let is_reordered = world.now < world.broker.weather.reorder;
    let Some(session) = world.broker.sessions.get_mut(&client) else { return };
    let Some(connection) = session.connection.filter(|_| session.is_subscribed) else { return };
    let mut at = held_back.max(session.last_at);
    let mut sent = Vec::new();
    for message in session.queue.iter_mut().filter(|message| message.sent_on.is_none()) {
        message.sent_on = Some(connection);
        sent.push(message.clone());
    }
    for message in sent {
        at += world.rng.between(1, 20);
        if let Some(session) = world.broker.sessions.get_mut(&client) {
            session.last_at = at;
        }
        let at = if is_reordered {
            world.seen.saw(Sight::MessageReordered);
            at + world.rng.below(20_000)
        } else {
            at
        };
        let Message { id, topic, payload, .. } = message;
        world.at(at, WorldEvent::Message { client, connection, id, topic, payload });
    }
}
