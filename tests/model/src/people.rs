//! The persons who approve, and what they have signed. A signature stays in the world: whoever
//! saw it may send it again, for any session.

use crate::control_plane::SessionNo;
use crate::fleet::DeviceId;

/// One who may approve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Person(pub(crate) u8);

/// A signature over the statement of one session. The statement names device, action, scopes,
/// evidence and boot state, so the session stands for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Approval {
    pub(crate) session: SessionNo,
    pub(crate) person: Person,
    /// History: the device that the person stood at and meant.
    pub(crate) at: DeviceId,
}

/// All that was signed at a device, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Signed(Vec<Approval>);

impl Signed {
    /// Whether this is new.
    pub(crate) fn add(&mut self, approval: Approval) -> bool {
        match self.0.binary_search(&approval) {
            Ok(_) => false,
            Err(place) => {
                self.0.insert(place, approval);
                true
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Approval> {
        self.0.iter().copied()
    }
}
