//! Finds the device that an operator means by its id, a prefix of its id, or its label.

use pawl_proto::{DeviceId, Digest};

use crate::store::{NamedDevice, PendingDevice, StoreError, Tx};

/// The shortest prefix of an id that names a device.
pub const SHORTEST_PREFIX: usize = 6;
/// The most devices that an error lists.
pub const MOST_CANDIDATES: usize = 5;

/// Returns the device that `text` names: by its id, by the SHA-256 of its endorsement key, by its exact label, or by a
/// prefix of its id that no other device shares. A device in service goes before retired ones.
///
/// # Errors
/// [`LookupError`] lists the devices that may be meant.
pub fn find(tx: &Tx<'_>, text: &str) -> Result<NamedDevice, LookupError> {
    let text = text.trim();
    if let Some(device) = full_id(text).map(|id| tx.device(id)).transpose()?.flatten() {
        return Ok(NamedDevice { device: device.id, label: device.label, retired_at: device.retired_at });
    }
    let prefix = text.to_ascii_lowercase();
    let is_prefix = prefix.len() >= SHORTEST_PREFIX && prefix.bytes().all(is_base32);
    let mut found = tx.devices_named(text, is_prefix.then_some(prefix.as_str()), MOST_CANDIDATES + 1)?;
    if found.first().is_some_and(|named| named.retired_at.is_none()) {
        // A new board may have the label of the one that it replaced.
        found.retain(|named| named.retired_at.is_none());
    }
    match <[NamedDevice; 1]>::try_from(found) {
        Ok([device]) => Ok(device),
        Err(found) if found.is_empty() => {
            Err(LookupError::Unknown { text: text.to_owned(), similar: similar(tx, text)? })
        }
        Err(found) => Err(LookupError::Ambiguous { text: text.to_owned(), found }),
    }
}

/// Returns the pending device that `text` names: by its id, by the SHA-256 of its endorsement key, or by a prefix of
/// its id that no other pending device shares. The host name is a claim of the device, so it does not name one.
///
/// # Errors
/// [`LookupError`] lists the pending devices that may be meant.
pub fn find_pending(tx: &Tx<'_>, text: &str) -> Result<PendingDevice, LookupError> {
    let text = text.trim();
    let whole = full_id(text);
    let prefix = text.to_ascii_lowercase();
    let pending = tx.pending_devices()?;
    let begins = |device: &PendingDevice| device.device.as_str().starts_with(&prefix);
    let is_meant = |device: &PendingDevice| match whole {
        Some(id) => device.device == id,
        None => prefix.len() >= SHORTEST_PREFIX && begins(device),
    };
    let mut meant: Vec<PendingDevice> = pending.iter().filter(|device| is_meant(device)).cloned().collect();
    match (meant.pop(), meant.is_empty()) {
        (Some(device), true) => Ok(device),
        (Some(device), false) => {
            meant.push(device);
            Err(LookupError::AmbiguousPending { text: text.to_owned(), found: named(&meant, |_| true) })
        }
        (None, _) => Err(LookupError::NotPending {
            text: text.to_owned(),
            similar: named(&pending, |device| !prefix.is_empty() && begins(device)),
        }),
    }
}

/// Returns at most one device more than an error lists. A pending device has no label.
fn named(devices: &[PendingDevice], is_listed: impl Fn(&PendingDevice) -> bool) -> Vec<NamedDevice> {
    let listed = devices.iter().filter(|device| is_listed(device)).take(MOST_CANDIDATES + 1);
    listed.map(|device| NamedDevice { device: device.device, label: None, retired_at: None }).collect()
}

/// Reads a whole id, or the id that follows from the SHA-256 of an endorsement key.
fn full_id(text: &str) -> Option<DeviceId> {
    let lower = text.to_ascii_lowercase();
    if let Ok(id) = lower.parse() {
        return Some(id);
    }
    let bytes = hex::decode(lower).ok()?;
    Some(DeviceId::from_digest(Digest::try_from(bytes.as_slice()).ok()?.0))
}

/// Returns whether this is a character of ids (RFC 4648, base32).
fn is_base32(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'2'..=b'7')
}

fn similar(tx: &Tx<'_>, text: &str) -> Result<Vec<NamedDevice>, StoreError> {
    if text.is_empty() { Ok(Vec::new()) } else { tx.devices_like(text, MOST_CANDIDATES) }
}

/// Why no device is found.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// No device has that name.
    #[error(
        "no device has the id, the label or the id prefix ({SHORTEST_PREFIX} characters or more) {text:?}; \
         `pawl-control-plane devices` lists them"
    )]
    Unknown {
        /// The operator's text.
        text: String,
        /// Devices that may be meant.
        similar: Vec<NamedDevice>,
    },
    /// Several devices have that name.
    #[error("{} devices have the label or the id prefix {text:?}; give the id of one", count(found))]
    Ambiguous {
        /// The operator's text.
        text: String,
        /// The devices, at most one more than an error lists.
        found: Vec<NamedDevice>,
    },
    /// No pending device has that id.
    #[error(
        "no pending device has the id or the id prefix ({SHORTEST_PREFIX} characters or more) {text:?}; \
         `pawl-control-plane pending` lists them"
    )]
    NotPending {
        /// The operator's text.
        text: String,
        /// Devices that may be meant.
        similar: Vec<NamedDevice>,
    },
    /// The ids of several pending devices have this prefix.
    #[error("the ids of {} pending devices begin with {text:?}; give the whole id of one", count(found))]
    AmbiguousPending {
        /// The operator's text.
        text: String,
        /// The devices, at most one more than an error lists.
        found: Vec<NamedDevice>,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn count(found: &[NamedDevice]) -> String {
    if found.len() > MOST_CANDIDATES {
        format!("more than {MOST_CANDIDATES}")
    } else {
        found.len().to_string()
    }
}

impl LookupError {
    /// Returns the devices that may be meant, at most [`MOST_CANDIDATES`].
    #[must_use]
    pub fn candidates(&self) -> &[NamedDevice] {
        match self {
            Self::Unknown { similar: found, .. }
            | Self::Ambiguous { found, .. }
            | Self::NotPending { similar: found, .. }
            | Self::AmbiguousPending { found, .. } => found.get(..MOST_CANDIDATES).unwrap_or(found),
            Self::Store(_) => &[],
        }
    }
}

#[cfg(test)]
mod tests;
