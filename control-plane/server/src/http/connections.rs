//! Limits the connections, in all and per network.
//!
//! At a limit, a new connection evicts the one that has waited longest for its client: for a handshake, the head of a
//! request or its body. So a client that opens connections and sends nothing cannot keep others out. A connection is
//! never evicted while its request is being answered.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tokio::sync::Notify;

use crate::config::LimitsConfig;

/// The network of a client: an IPv4 address, or the /64 network of an IPv6 address, all of which one client may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// Returns the network of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        })
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(address) => write!(f, "{address}/64"),
        }
    }
}

/// The open connections.
pub(super) struct Connections {
    limits: LimitsConfig,
    table: Mutex<Table>,
    changed: Notify,
}

#[derive(Default)]
struct Table {
    next: u64,
    /// By ascending number, so the oldest connection of a network is first.
    places: HashMap<Network, Vec<Place>>,
    count: usize,
}

struct Place {
    number: u64,
    state: Arc<State>,
}

/// State of a connection, shared with its requests.
#[derive(Default)]
struct State {
    serving: Mutex<bool>,
    evicted: Notify,
}

impl Connections {
    pub(super) fn new(limits: LimitsConfig) -> Arc<Self> {
        Arc::new(Self { limits, table: Mutex::default(), changed: Notify::new() })
    }

    /// Reserves a place for a connection. Returns none if every connection that could be evicted is being served.
    pub(super) fn admit(self: &Arc<Self>, network: Network) -> Option<Seat> {
        let mut table = self.table();
        let own = table.places.get(&network).map_or(0, Vec::len);
        if own >= self.limits.connections_per_address {
            table.evict_from(network)?;
        } else if table.count >= self.limits.connections {
            let crowded = table.places.iter().max_by_key(|(_, places)| places.len());
            let crowded = crowded.map(|(network, _)| *network)?;
            if table.evict_from(crowded).is_none() {
                table.evict_oldest()?;
            }
        }
        let number = table.next;
        table.next += 1;
        table.count += 1;
        let state = Arc::new(State::default());
        table.places.entry(network).or_default().push(Place { number, state: Arc::clone(&state) });
        Some(Seat { connections: Arc::clone(self), client: Client { network, state }, number })
    }

    /// Waits until no connection is open.
    pub(super) async fn ended(&self) {
        loop {
            let changed = self.changed.notified();
            if self.table().count == 0 {
                return;
            }
            changed.await;
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Evicts the oldest connection of this network that is not being served.
    fn evict_from(&mut self, network: Network) -> Option<()> {
        let places = self.places.get(&network)?;
        let number = places.iter().find(|place| !place.state.is_serving())?.number;
        self.remove(network, number)?.state.evicted.notify_one();
        Some(())
    }

    /// Evicts the oldest connection that is not being served.
    fn evict_oldest(&mut self) -> Option<()> {
        let waiting = self.places.iter().filter_map(|(network, places)| {
            let oldest = places.iter().find(|place| !place.state.is_serving())?;
            Some((oldest.number, *network))
        });
        let (_, network) = waiting.min_by_key(|(number, _)| *number)?;
        self.evict_from(network)
    }

    fn remove(&mut self, network: Network, number: u64) -> Option<Place> {
        let places = self.places.get_mut(&network)?;
        let at = places.binary_search_by_key(&number, |place| place.number).ok()?;
        let place = places.remove(at);
        if places.is_empty() {
            self.places.remove(&network);
        }
        self.count -= 1;
        Some(place)
    }
}

impl State {
    fn is_serving(&self) -> bool {
        *self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection; dropping it frees the place.
pub(super) struct Seat {
    connections: Arc<Connections>,
    client: Client,
    number: u64,
}

impl Seat {
    /// Returns the client, for the extensions of its requests.
    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Resolves when the connection is evicted.
    pub(super) async fn evicted(&self) {
        self.client.state.evicted.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Removes nothing if the connection was evicted.
        self.connections.table().remove(self.client.network, self.number);
        self.connections.changed.notify_waiters();
    }
}

/// The client of a connection, an extension of each of its requests.
#[derive(Clone)]
pub(crate) struct Client {
    network: Network,
    state: Arc<State>,
}

impl Client {
    /// Returns its network.
    pub(crate) fn network(&self) -> Network {
        self.network
    }

    /// Marks the connection as being served while the returned value lives.
    pub(super) fn serve(&self) -> Serving {
        *self.state.serving.lock().unwrap_or_else(PoisonError::into_inner) = true;
        Serving(Arc::clone(&self.state))
    }
}

/// Marks a connection as being served; see [`Client::serve`].
pub(super) struct Serving(Arc<State>);

impl Drop for Serving {
    fn drop(&mut self) {
        *self.0.serving.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }
}

/// The network that a request came from.
pub(super) struct ClientNetwork(pub(super) Network);

impl<S: Sync> FromRequestParts<S> for ClientNetwork {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Only the requests of tests have no connection.
        let unspecified = || Network(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        Ok(Self(parts.extensions.get::<Client>().map_or_else(unspecified, Client::network)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(all: usize, per_address: usize) -> Arc<Connections> {
        Connections::new(LimitsConfig {
            connections: all,
            connections_per_address: per_address,
            ..LimitsConfig::default()
        })
    }

    fn network(number: u8) -> Network {
        Network::of(IpAddr::from([192, 0, 2, number]))
    }

    fn is_evicted(seat: &Seat) -> bool {
        let evicted = std::pin::pin!(seat.evicted());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::future::Future::poll(evicted, &mut context).is_ready()
    }

    #[test]
    fn a_network_at_its_limit_loses_its_own_oldest_idle_connection() {
        let connections = connections(10, 2);
        let other = connections.admit(network(1)).unwrap();
        let seats: Vec<Seat> = (0..3).map(|_| connections.admit(network(2)).unwrap()).collect();
        assert_eq!([0, 1, 2].map(|at| is_evicted(&seats[at])), [true, false, false]);
        assert!(!is_evicted(&other));
    }

    #[test]
    fn without_a_free_place_the_network_with_most_connections_loses_one() {
        let connections = connections(4, 4);
        let first = connections.admit(network(1)).unwrap();
        let crowd: Vec<Seat> = (0..3).map(|_| connections.admit(network(2)).unwrap()).collect();
        let newcomer = connections.admit(network(3)).unwrap();
        assert_eq!([0, 1, 2].map(|at| is_evicted(&crowd[at])), [true, false, false]);
        assert!(!is_evicted(&first) && !is_evicted(&newcomer));
    }

    #[test]
    fn a_connection_that_is_being_served_is_not_evicted() {
        let connections = connections(2, 2);
        let seats: Vec<Seat> = (0..2).map(|_| connections.admit(network(1)).unwrap()).collect();
        let serving: Vec<Serving> = seats.iter().map(|seat| seat.client().serve()).collect();
        assert!(connections.admit(network(1)).is_none());
        assert!(connections.admit(network(2)).is_none());
        drop(serving);
        assert!(connections.admit(network(2)).is_some());
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let connections = connections(1, 1);
        for _ in 0..3 {
            let seat = connections.admit(network(1)).unwrap();
            assert!(!is_evicted(&seat));
        }
        assert_eq!(connections.table().count, 0);
        assert!(connections.table().places.is_empty());
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_client() {
        let of = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::2:3"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_eq!(of("2001:db8::1").to_string(), "2001:db8::/64");
    }
}
