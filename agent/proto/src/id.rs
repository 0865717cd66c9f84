//! Who and which: devices, pairings, events and epochs.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::lower_hex;

/// A device, which is one TPM: the first 32 characters of the lower-case base32 (RFC 4648) of
/// SHA-256 over the public area of its endorsement key.
///
/// A moved disk is not a moved device. The id is no secret and proves nothing by itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId([u8; DeviceId::LENGTH]);

const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

impl DeviceId {
    /// The characters of an id; at 5 bits each they hold 160 bits of the digest.
    pub const LENGTH: usize = 32;

    /// The id of the device whose endorsement key has this public area (`TPMT_PUBLIC`).
    #[must_use]
    pub fn from_endorsement_key(public_area: &[u8]) -> Self {
        Self::from_digest(Sha256::digest(public_area).into())
    }

    /// The id that belongs to the SHA-256 of an endorsement key's public area.
    #[must_use]
    pub fn from_digest(digest: [u8; 32]) -> Self {
        let mut id = [0; Self::LENGTH];
        for (five_bytes, characters) in digest.chunks_exact(5).zip(id.chunks_exact_mut(8)) {
            let bits = five_bytes.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            for (position, character) in characters.iter_mut().enumerate() {
                let index = (bits >> (35 - 5 * position)) & 31;
                *character = BASE32.iter().copied().nth(usize::try_from(index).unwrap_or(0)).unwrap_or(b'a');
            }
        }
        Self(id)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Every constructor admits BASE32 alone, which is ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for DeviceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let id: [u8; Self::LENGTH] = text.as_bytes().try_into().map_err(|_| IdError::Device)?;
        if id.iter().all(|character| BASE32.contains(character)) {
            Ok(Self(id))
        } else {
            Err(IdError::Device)
        }
    }
}

/// The binding of a device to an owner, scopes and keys; it lives in one [`Epoch`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PairingId([u8; 16]);

/// One request for an approval, from its opening until it is used up.
///
/// A pairing takes the bytes of the session in which it was approved.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; 16]);

impl From<SessionId> for PairingId {
    fn from(session: SessionId) -> Self {
        Self(session.0)
    }
}

impl From<PairingId> for SessionId {
    fn from(pairing: PairingId) -> Self {
        Self(pairing.0)
    }
}

/// One order from the control plane.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId([u8; 16]);

/// Declares what the random ids share: 16 bytes, written as 32 hexadecimal digits.
macro_rules! random_id {
    ($name:ident, $error:expr) => {
        impl $name {
            /// The id made of 16 random bytes.
            #[must_use]
            pub fn from_random(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                lower_hex::read(text).map(Self).ok_or($error)
            }
        }
    };
}

random_id!(PairingId, IdError::Pairing);
random_id!(EventId, IdError::Event);
random_id!(SessionId, IdError::Session);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Declares that an id shows and travels as its text.
macro_rules! travels_as_text {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

travels_as_text!(DeviceId);
travels_as_text!(PairingId);
travels_as_text!(EventId);
travels_as_text!(SessionId);

/// The value of the device's TPM counter. It rises and never falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// Not 32 characters of lower-case base32.
    #[error("a device id has 32 characters, each a to z or 2 to 7")]
    Device,
    /// Not 32 lower-case hexadecimal digits.
    #[error("a pairing id has 32 lower-case hexadecimal digits")]
    Pairing,
    /// Not 32 lower-case hexadecimal digits.
    #[error("an event id has 32 lower-case hexadecimal digits")]
    Event,
    /// Not 32 lower-case hexadecimal digits.
    #[error("a session id has 32 lower-case hexadecimal digits")]
    Session,
}
