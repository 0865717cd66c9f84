//! The actions in progress, in an open gate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pawl_proto::SessionId;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::ActionError;
use super::session::{Acting, Session};
use super::turns::{Owner, Turns};

/// The actions of a pairing. They are dropped when the gate closes.
pub(crate) struct Actions {
    acting: Arc<Acting>,
    pub(super) turns: Turns,
    pub(super) sessions: Sessions<Arc<Mutex<Session>>>,
}

impl Actions {
    pub(crate) fn new(acting: Acting) -> Self {
        Self { acting: Arc::new(acting), turns: Turns::default(), sessions: Sessions::default() }
    }

    pub(crate) fn acting(&self) -> Arc<Acting> {
        Arc::clone(&self.acting)
    }
}

/// The sessions by owner.
pub(super) struct Sessions<S> {
    entries: BTreeMap<SessionId, Entry<S>>,
}

struct Entry<S> {
    owner: Owner,
    until: Instant,
    session: S,
}

/// Limit of the actions in progress, of all users.
const ROOM: usize = 32;
/// Limit for one user, so that one workload cannot block the others.
const ROOM_OF_ONE: usize = 8;
/// Longer than any session of the control plane, with some time to fetch the outcome.
const LIFETIME: Duration = Duration::from_secs(660);

impl<S: Clone> Sessions<S> {
    /// Checks that another action may begin.
    pub(super) fn check_room(&mut self, owner: Owner) -> Result<(), ActionError> {
        let now = Instant::now();
        self.entries.retain(|_, entry| entry.until > now);
        let own = self.entries.values().filter(|entry| entry.owner == owner).count();
        if self.entries.len() >= ROOM || (own >= ROOM_OF_ONE && owner != Owner::ROOT) {
            return Err(ActionError::Crowded);
        }
        Ok(())
    }

    pub(super) fn put(&mut self, owner: Owner, id: SessionId, session: S) {
        self.entries.insert(id, Entry { owner, until: Instant::now() + LIFETIME, session });
    }

    /// Returns a session to its owner or to root. For other users it does not exist.
    pub(super) fn find(&self, owner: Owner, id: SessionId) -> Result<S, ActionError> {
        let entry = self.entries.get(&id).filter(|entry| entry.owner == owner || owner == Owner::ROOT);
        entry.map(|entry| entry.session.clone()).ok_or(ActionError::Unknown)
    }

    pub(super) fn remove(&mut self, id: SessionId) {
        self.entries.remove(&id);
    }
}

impl<S> Default for Sessions<S> {
    fn default() -> Self {
        Self { entries: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> SessionId {
        SessionId::from_random([number; 16])
    }

    #[test]
    fn an_action_is_seen_by_who_asked_for_it_and_by_root() {
        let (alice, bob, root) = (Owner(1000), Owner(1001), Owner(0));
        let mut sessions = Sessions::default();
        sessions.put(alice, id(1), "session");
        assert_eq!(sessions.find(alice, id(1)).ok(), Some("session"));
        assert_eq!(sessions.find(root, id(1)).ok(), Some("session"));
        let hidden = sessions.find(bob, id(1)).unwrap_err().problem();
        let absent = sessions.find(bob, id(2)).unwrap_err().problem();
        assert_eq!(hidden, absent, "the answer tells that there is one");
        sessions.remove(id(1));
        assert!(sessions.find(alice, id(1)).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn one_user_leaves_room_for_the_others_and_time_makes_room() {
        let mut sessions = Sessions::default();
        let mut number = 0;
        let mut fill = |sessions: &mut Sessions<()>, owner: Owner, count: usize| {
            for _ in 0..count {
                sessions.check_room(owner).unwrap();
                number += 1;
                sessions.put(owner, id(number), ());
            }
        };
        for user in 1000..1003 {
            fill(&mut sessions, Owner(user), 8);
            assert!(matches!(sessions.check_room(Owner(user)), Err(ActionError::Crowded)));
        }
        fill(&mut sessions, Owner(0), 8);
        for user in [0, 1003] {
            assert!(matches!(sessions.check_room(Owner(user)), Err(ActionError::Crowded)), "more than 32");
        }
        tokio::time::advance(LIFETIME).await;
        sessions.check_room(Owner(1000)).unwrap();
    }
}
