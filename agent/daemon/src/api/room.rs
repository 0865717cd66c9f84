//! Limits the connections to the socket.
//!
//! Each process and each user has a limit of its own, so that none can shut out another. Root and the daemon's user do not count
//! towards the limit of all users. If a limit is reached, a new connection replaces the oldest one that still waits for its caller
//! (for the head or the body of a request). A connection whose request has arrived completely is never closed.
//!
//! A call that may take long, because it waits for the entitlement or the control plane, counts as a waiting call until its
//! connection ends. Waiting calls have limits of their own, so that they take no places from other calls.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Limits of places.
struct Places {
    of_a_process: usize,
    of_a_user: usize,
    /// Of all users who do not administrate.
    of_users: usize,
}

/// Limits of connections whose calls do not wait.
const CALLS: Places = Places { of_a_process: 16, of_a_user: 32, of_users: 128 };
/// Limits of connections whose call waits.
const WAITING_CALLS: Places = Places { of_a_process: 8, of_a_user: 32, of_users: 256 };

/// The open connections.
#[derive(Default)]
pub(super) struct Room(Mutex<Connections>);

#[derive(Default)]
struct Connections {
    next: u64,
    /// Oldest first.
    open: Vec<Connection>,
}

struct Connection {
    number: u64,
    holder: Holder,
    stage: Stage,
    evicted: Arc<Notify>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No request has arrived completely.
    Idle,
    /// A request is being answered.
    Serving,
    /// The last request of this connection may take long.
    Waiting,
}

/// The holder of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// None if the kernel does not name the user.
    pub(super) user: Option<u32>,
    /// The process that connected; none if the kernel does not name it.
    pub(super) process: Option<i32>,
    pub(super) administrates: bool,
}

impl Room {
    /// Gives a connection a place. Returns none if a limit is reached and every connection that could be closed is being served.
    pub(super) fn admit(self: &Arc<Self>, holder: Holder) -> Option<Seat> {
        let mut connections = self.connections();
        connections.make_room(holder)?;
        let number = connections.next;
        connections.next += 1;
        let evicted = Arc::new(Notify::new());
        let stage = Stage::Idle;
        connections.open.push(Connection { number, holder, stage, evicted: Arc::clone(&evicted) });
        Some(Seat { room: Arc::clone(self), number, evicted })
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    /// Closes an idle connection if the new one would exceed a limit. Returns none if there is no idle one.
    fn make_room(&mut self, newcomer: Holder) -> Option<()> {
        let calls = |connection: &Connection| connection.stage != Stage::Waiting;
        match self.full(newcomer, &CALLS, calls) {
            None => Some(()),
            Some(Full::Process) => self.evict(|connection| connection.holder == newcomer),
            Some(Full::User) => self.evict(|connection| connection.holder.user == newcomer.user),
            Some(Full::Users) => {
                let crowd = self.crowd()?;
                self.evict(|connection| connection.holder.user == crowd)
            }
        }
    }

    /// Returns the limit that the newcomer would exceed, counting the connections that `of` selects; none if it has a place.
    fn full(&self, newcomer: Holder, places: &Places, of: impl Fn(&Connection) -> bool) -> Option<Full> {
        let count = |is: &dyn Fn(Holder) -> bool| {
            self.open.iter().filter(|connection| of(connection) && is(connection.holder)).count()
        };
        if count(&|holder| holder == newcomer) >= places.of_a_process {
            Some(Full::Process)
        } else if count(&|holder| holder.user == newcomer.user) >= places.of_a_user {
            Some(Full::User)
        } else if !newcomer.administrates && count(&|holder| !holder.administrates) >= places.of_users {
            Some(Full::Users)
        } else {
            None
        }
    }

    /// Returns the user with the most calls, among those who do not administrate.
    fn crowd(&self) -> Option<Option<u32>> {
        let calls = self.open.iter().filter(|connection| connection.stage != Stage::Waiting);
        let users = calls.filter(|connection| !connection.holder.administrates);
        let users: Vec<Option<u32>> = users.map(|connection| connection.holder.user).collect();
        users.iter().max_by_key(|user| users.iter().filter(|other| other == user).count()).copied()
    }

    /// Closes the oldest of these connections that is idle.
    fn evict(&mut self, of: impl Fn(&Connection) -> bool) -> Option<()> {
        let is_idle = |connection: &Connection| connection.stage == Stage::Idle;
        let at = self.open.iter().position(|connection| of(connection) && is_idle(connection))?;
        self.open.remove(at).evicted.notify_one();
        Some(())
    }

    fn find(&mut self, number: u64) -> Option<&mut Connection> {
        self.open.iter_mut().find(|connection| connection.number == number)
    }
}

/// The limit that is reached.
enum Full {
    Process,
    User,
    Users,
}

/// The place of one connection, until it is dropped.
pub(super) struct Seat {
    room: Arc<Room>,
    number: u64,
    evicted: Arc<Notify>,
}

impl Seat {
    /// Resolves when another connection gets the place.
    pub(super) async fn evicted(&self) {
        self.evicted.notified().await;
    }

    /// Keeps the place while the returned value lives: the request has arrived completely.
    pub(super) fn serve(&self) -> Serving<'_> {
        self.change(Stage::Idle, Stage::Serving);
        Serving(self)
    }

    fn change(&self, from: Stage, to: Stage) {
        let mut connections = self.room.connections();
        // An evicted connection is no longer in the list.
        if let Some(connection) = connections.find(self.number)
            && connection.stage == from
        {
            connection.stage = to;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.connections().open.retain(|connection| connection.number != self.number);
    }
}

/// A request that is being answered.
pub(super) struct Serving<'a>(&'a Seat);

impl Serving<'_> {
    /// Moves the connection to the waiting calls until it ends. Returns whether there was a place.
    pub(super) fn wait(&self) -> bool {
        let mut connections = self.0.room.connections();
        let Some(holder) = connections.find(self.0.number).map(|connection| connection.holder) else {
            return false;
        };
        let waiting = |connection: &Connection| connection.stage == Stage::Waiting;
        let is_full = connections.full(holder, &WAITING_CALLS, waiting).is_some();
        if let Some(connection) = connections.find(self.0.number)
            && !is_full
        {
            connection.stage = Stage::Waiting;
        }
        !is_full
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.0.change(Stage::Serving, Stage::Idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Holder = Holder { user: Some(0), process: Some(1), administrates: true };

    fn process(user: u32, process: usize) -> Holder {
        Holder { user: Some(user), process: i32::try_from(process).ok(), administrates: false }
    }

    fn is_evicted(seat: &Seat) -> bool {
        let evicted = std::pin::pin!(seat.evicted());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::future::Future::poll(evicted, &mut context).is_ready()
    }

    /// Returns `count` connections of a user whose requests are being answered. They are of several processes, each within its
    /// limit.
    fn serve(room: &Arc<Room>, user: u32, count: usize) -> Vec<Seat> {
        (0..count)
            .map(|number| {
                let seat = room.admit(process(user, number / CALLS.of_a_process)).unwrap();
                seat.change(Stage::Idle, Stage::Serving);
                seat
            })
            .collect()
    }

    /// Returns `count` connections of a user whose calls wait, of several processes, each within its limit.
    fn wait(room: &Arc<Room>, user: u32, count: usize) -> Vec<Seat> {
        (0..count)
            .map(|number| {
                let seat = room.admit(process(user, number / WAITING_CALLS.of_a_process)).unwrap();
                let serving = seat.serve();
                assert!(serving.wait());
                drop(serving);
                seat
            })
            .collect()
    }

    fn can_wait(room: &Arc<Room>, holder: Holder) -> bool {
        room.admit(holder).unwrap().serve().wait()
    }

    #[test]
    fn a_process_at_its_limit_loses_its_own_oldest_idle_connection() {
        let room = Arc::new(Room::default());
        let others = [process(2, 1), process(1, 2)].map(|other| room.admit(other).unwrap());
        let seats: Vec<Seat> = (0..=CALLS.of_a_process).map(|_| room.admit(process(1, 1)).unwrap()).collect();
        let evicted: Vec<bool> = seats.iter().map(is_evicted).collect();
        assert!(evicted[0] && !evicted[1..].contains(&true), "{evicted:?}");
        assert!(!others.iter().any(is_evicted));
    }

    #[test]
    fn a_process_cannot_take_all_places_of_its_user() {
        let room = Arc::new(Room::default());
        let _served = serve(&room, 1, CALLS.of_a_process);
        assert!(room.admit(process(1, 0)).is_none());
        assert!(room.admit(process(1, 1)).is_some());
    }

    #[test]
    fn users_cannot_take_the_places_of_root() {
        let room = Arc::new(Room::default());
        let seats: Vec<Seat> = (1..=4).flat_map(|user| serve(&room, user, CALLS.of_a_user)).collect();
        assert_eq!(seats.len(), CALLS.of_users);
        assert!(room.admit(process(99, 1)).is_none(), "all are being served");
        assert!(room.admit(ROOT).is_some());
        drop(seats);
        assert!(room.admit(process(99, 1)).is_some());
        assert!(room.connections().open.is_empty());
    }

    #[test]
    fn the_user_with_the_most_connections_loses_one_to_another_user() {
        let room = Arc::new(Room::default());
        let few = room.admit(process(1, 1)).unwrap();
        let crowd: Vec<Seat> = (0..CALLS.of_users - 1)
            .map(|number| (u32::try_from(number / CALLS.of_a_user).unwrap() + 2, number))
            .map(|(user, number)| room.admit(process(user, number / CALLS.of_a_process)).unwrap())
            .collect();
        let newcomer = room.admit(process(99, 1)).unwrap();
        assert!(crowd.iter().any(is_evicted));
        assert!(!is_evicted(&few) && !is_evicted(&newcomer));
    }

    #[test]
    fn waiting_calls_take_no_places_from_other_calls() {
        let room = Arc::new(Room::default());
        let waiting = wait(&room, 1, WAITING_CALLS.of_a_user);
        assert!(!can_wait(&room, process(1, 99)), "the user has no place for another waiting call");
        let served = serve(&room, 1, CALLS.of_a_user);
        assert!(can_wait(&room, process(2, 1)));
        assert!(!waiting.iter().chain(&served).any(is_evicted));
        drop(waiting);
        drop(served);
        assert!(can_wait(&room, process(1, 99)));
    }

    #[test]
    fn waiting_calls_of_users_take_no_places_from_root() {
        let room = Arc::new(Room::default());
        let users = WAITING_CALLS.of_users / WAITING_CALLS.of_a_user;
        let waiting: Vec<Seat> = (1..=u32::try_from(users).unwrap())
            .flat_map(|user| wait(&room, user, WAITING_CALLS.of_a_user))
            .collect();
        assert!(!can_wait(&room, process(99, 1)));
        assert!(can_wait(&room, ROOT));
        assert!(!waiting.iter().any(is_evicted));
    }

    #[test]
    fn a_process_cannot_take_all_waiting_places_of_its_user() {
        let room = Arc::new(Room::default());
        let _waiting = wait(&room, 1, WAITING_CALLS.of_a_process);
        assert!(!can_wait(&room, process(1, 0)));
        assert!(can_wait(&room, process(1, 1)));
    }
}
