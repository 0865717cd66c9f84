//! Who may hold a connection to the socket.
//!
//! Each user has places of their own, so no user keeps another one out; root and the daemon's user
//! have theirs apart from all others'. A newcomer who finds none takes that of a connection of the
//! same user that still waits for its caller: for the head of a request, or its body. A connection
//! whose request has come whole is never closed for another.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Connections of one user at once.
const OF_ONE_USER: usize = 32;
/// Connections of all users at once but those who administrate.
const OF_USERS: usize = 128;

/// The connections that stand.
#[derive(Default)]
pub(super) struct Room(Mutex<Places>);

#[derive(Default)]
struct Places {
    next: u64,
    /// Oldest first.
    taken: Vec<Place>,
}

struct Place {
    number: u64,
    holder: Holder,
    state: Arc<State>,
}

/// Whose place it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// None when the kernel does not say.
    pub(super) user: Option<u32>,
    pub(super) administrates: bool,
}

#[derive(Default)]
struct State {
    serving: Mutex<bool>,
    evicted: Notify,
}

impl Room {
    /// A place; none where all that could make room are being served.
    pub(super) fn admit(self: &Arc<Self>, holder: Holder) -> Option<Seat> {
        let mut places = self.places();
        if places.of(holder).count() >= OF_ONE_USER {
            places.evict(|place| place.holder == holder)?;
        } else if !holder.administrates && places.of_users().count() >= OF_USERS {
            let crowd = places.crowd()?;
            places.evict(|place| place.holder == crowd)?;
        }
        let number = places.next;
        places.next += 1;
        let state = Arc::new(State::default());
        places.taken.push(Place { number, holder, state: Arc::clone(&state) });
        Some(Seat { room: Arc::clone(self), number, state })
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn of(&self, holder: Holder) -> impl Iterator<Item = &Place> {
        self.taken.iter().filter(move |place| place.holder == holder)
    }

    fn of_users(&self) -> impl Iterator<Item = &Place> {
        self.taken.iter().filter(|place| !place.holder.administrates)
    }

    /// The user with most connections, of those who do not administrate.
    fn crowd(&self) -> Option<Holder> {
        self.of_users().map(|place| place.holder).max_by_key(|holder| self.of(*holder).count())
    }

    /// Closes the oldest connection of these that waits for its caller.
    fn evict(&mut self, of: impl Fn(&Place) -> bool) -> Option<()> {
        let at = self.taken.iter().position(|place| of(place) && !place.state.is_serving())?;
        self.taken.remove(at).state.evicted.notify_one();
        Some(())
    }
}

impl State {
    fn is_serving(&self) -> bool {
        *self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_serving(&self, serving: bool) {
        *self.serving.lock().unwrap_or_else(PoisonError::into_inner) = serving;
    }
}

/// The place of one connection, until it is dropped.
pub(super) struct Seat {
    room: Arc<Room>,
    number: u64,
    state: Arc<State>,
}

impl Seat {
    /// Resolves when the place goes to another connection.
    pub(super) async fn evicted(&self) {
        self.state.evicted.notified().await;
    }

    /// The connection keeps its place while this value lives: its request has come whole.
    pub(super) fn serve(&self) -> Serving {
        self.state.set_serving(true);
        Serving(Arc::clone(&self.state))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // It is not there any more where it was evicted.
        self.room.places().taken.retain(|place| place.number != self.number);
    }
}

/// A request that is being answered.
pub(super) struct Serving(Arc<State>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.set_serving(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Holder = Holder { user: Some(0), administrates: true };

    fn user(user: u32) -> Holder {
        Holder { user: Some(user), administrates: false }
    }

    fn is_evicted(seat: &Seat) -> bool {
        let evicted = std::pin::pin!(seat.evicted());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::future::Future::poll(evicted, &mut context).is_ready()
    }

    #[test]
    fn a_user_at_the_limit_loses_their_own_oldest_idle_connection() {
        let room = Arc::new(Room::default());
        let other = room.admit(user(2)).unwrap();
        let seats: Vec<Seat> = (0..=OF_ONE_USER).map(|_| room.admit(user(1)).unwrap()).collect();
        let evicted: Vec<bool> = seats.iter().map(is_evicted).collect();
        assert!(evicted[0] && !evicted[1..].contains(&true), "{evicted:?}");
        assert!(!is_evicted(&other));
    }

    #[test]
    fn users_fill_no_place_of_root() {
        let room = Arc::new(Room::default());
        let seats: Vec<(Seat, Serving)> = (0..OF_USERS)
            .map(|number| room.admit(user(u32::try_from(number / OF_ONE_USER).unwrap() + 1)).unwrap())
            .map(|seat| {
                let serving = seat.serve();
                (seat, serving)
            })
            .collect();
        assert!(room.admit(user(99)).is_none(), "all are being served");
        assert!(room.admit(ROOT).is_some());
        drop(seats);
        assert!(room.admit(user(99)).is_some());
        assert!(room.places().taken.is_empty());
    }

    #[test]
    fn the_user_with_most_connections_makes_room_for_another() {
        let room = Arc::new(Room::default());
        let few = room.admit(user(1)).unwrap();
        let mut crowd = Vec::new();
        for number in 0..OF_USERS - 1 {
            crowd.push(room.admit(user(u32::try_from(number / OF_ONE_USER).unwrap() + 2)).unwrap());
        }
        let newcomer = room.admit(user(99)).unwrap();
        assert!(crowd.iter().any(is_evicted));
        assert!(!is_evicted(&few) && !is_evicted(&newcomer));
    }
}
