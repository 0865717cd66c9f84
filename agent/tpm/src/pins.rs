//! Pins the keys that sessions may be salted to.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Error;

/// Names of keys (name algorithm and digest), shared with the TPM's thread. If a name is pinned, no salt is
/// encrypted to a key with another name, so an attacker who alters answers on the bus cannot have a session
/// salted to a key of theirs.
#[derive(Debug, Default)]
pub(crate) struct Pins(Mutex<Names>);

#[derive(Debug, Default)]
struct Names {
    storage_key: Option<Vec<u8>>,
    endorsement_key: Option<Vec<u8>>,
}

/// A key whose name can be pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pinned {
    StorageKey,
    EndorsementKey,
}

impl Pins {
    /// Pins a name, or removes the pin.
    pub(crate) fn set(&self, key: Pinned, name: Option<Vec<u8>>) {
        *self.lock().of(key) = name;
    }

    /// Pins a name unless one is pinned.
    pub(crate) fn set_first(&self, key: Pinned, name: &[u8]) {
        self.lock().of(key).get_or_insert_with(|| name.to_vec());
    }

    /// Returns whether a name is pinned.
    pub(crate) fn has(&self, key: Pinned) -> bool {
        self.lock().of(key).is_some()
    }

    /// Checks a key that the TPM, or something on the bus, answered with.
    ///
    /// # Errors
    /// [`Error::KeyReplaced`] if another name is pinned.
    pub(crate) fn check(&self, key: Pinned, name: &[u8]) -> Result<(), Error> {
        match self.lock().of(key) {
            Some(pinned) if pinned != name => Err(Error::KeyReplaced { key: key.what() }),
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    fn of(&mut self, key: Pinned) -> &mut Option<Vec<u8>> {
        match key {
            Pinned::StorageKey => &mut self.storage_key,
            Pinned::EndorsementKey => &mut self.endorsement_key,
        }
    }
}

impl Pinned {
    /// Returns the key's name for messages.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::StorageKey => "storage root key",
            Self::EndorsementKey => "endorsement key",
        }
    }
}
