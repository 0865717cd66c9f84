//! Audit records: what was verified, approved and used, in a hash chain.
//!
//! Each record's digest covers the digest of the record before it, so nobody can alter or remove one without breaking the
//! chain after it. Device and control plane each keep such a chain. Every report contains the head of the device's, and
//! the quote covers it.

use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};
use serde_cbor::Value;

use crate::bounded::{Blob, Digest};
use crate::codec::{EncodeError, Version};
use crate::id::{DeviceId, Epoch, EventId, PairingId, SessionId};
use crate::message::{Cause, EventKind, Scope, ShortText, TrustTier};
use crate::open::Word;
use crate::{codec, limits};

/// A record in its chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The record, encoded.
    pub body: Vec<u8>,
    /// The digest of the record before it; [`Link::START`] for the first.
    pub previous: Digest,
    /// SHA-256 over `previous` and `body`.
    pub digest: Digest,
}

impl Link {
    /// The value of `previous` in the first record.
    pub const START: Digest = Digest([0; 32]);

    /// Encodes a record, and returns its link after `previous`.
    ///
    /// # Errors
    /// [`EncodeError`] as for [`codec::encode`].
    pub fn forge(previous: Digest, record: &impl Serialize) -> Result<Self, EncodeError> {
        Ok(Self::follow(previous, codec::encode(record)?))
    }

    /// Returns the link of `body` after `previous`.
    #[must_use]
    pub fn follow(previous: Digest, body: Vec<u8>) -> Self {
        let digest = Digest::of(&[previous.as_bytes().as_slice(), &body].concat());
        Self { body, previous, digest }
    }

    /// Returns the record, if its digest is right and it follows `previous`.
    #[must_use]
    pub fn check<T: Serialize + DeserializeOwned>(&self, previous: Digest) -> Option<T> {
        let expected = Self::follow(previous, self.body.clone());
        if *self != expected {
            return None;
        }
        codec::decode(&self.body, limits::MESSAGE).ok()
    }
}

/// One record of a device, encoded.
pub type RecordBytes = Blob<{ limits::RECORD }>;

/// One record of a device. It is a claim of the device; the chain, and the quote over its head, prevent the device from
/// changing it later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// The message version.
    pub version: Version,
    /// Its place in the chain, from 1.
    pub sequence: u64,
    /// Unix time of the device, seconds.
    pub time: u64,
    /// The TPM's clock in milliseconds, if it was known.
    pub clock: Option<u64>,
    /// The TPM's resetCount at that time.
    pub resets: Option<u32>,
    /// The epoch in which it happened.
    pub epoch: Option<Epoch>,
    /// What happened.
    pub fact: DeviceFact,
}

/// What a device records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(tag = "kind", content = "detail", rename_all = "kebab-case")]
pub enum DeviceFact {
    /// The chain starts: there was none, or it could not be read.
    Began {
        /// The device.
        device: DeviceId,
    },
    /// An approval session was opened.
    Opened {
        /// The session.
        session: SessionId,
        /// Who asked.
        origin: ShortText,
        /// `pair`, `re-pair` or an action's name.
        action: ShortText,
        /// SHA-256 of the statement.
        statement: Digest,
    },
    /// The session was approved.
    Approved {
        /// The session.
        session: SessionId,
        /// The approvers; empty if the operator's policy requires none.
        by: Vec<ShortText>,
    },
    /// The session failed.
    Refused {
        /// The session, if there was one.
        session: Option<SessionId>,
        /// For programs.
        code: ShortText,
    },
    /// A pairing was made.
    Paired {
        /// The pairing.
        pairing: PairingId,
        /// Its scopes.
        scopes: Vec<Scope>,
    },
    /// A verdict arrived.
    Verdict {
        /// Its sequence number.
        sequence: u64,
        /// The trust tier.
        result: Option<TrustTier>,
        /// SHA-256 of the appraised evidence.
        evidence: Option<Digest>,
        /// The value of the TPM's clock at which its lease ends; none without a lease.
        lease: Option<u64>,
    },
    /// A token was stored in the vault.
    Token {
        /// Its name.
        name: ShortText,
        /// When it expires, Unix seconds.
        expires: u64,
    },
    /// The TPM signed for a protected action.
    Assurance {
        /// The approval session.
        session: SessionId,
        /// The action.
        action: ShortText,
        /// SHA-256 of the assurance's signing input: what the TPM signed.
        digest: Digest,
    },
    /// The epoch ended.
    Wiped {
        /// The cause.
        cause: Cause,
        /// The event that ordered it.
        event: Option<EventId>,
        /// SHA-256 of the receipt, if there is one.
        receipt: Option<Digest>,
    },
    /// Records could not be written, usually because the disk was full.
    Missed {
        /// How many.
        count: u64,
    },
    /// The device ignored an order that its version does not know.
    Ignored {
        /// The order.
        event: EventId,
        /// Its name.
        order: EventKind,
    },
    /// A fact of a newer version.
    #[serde(untagged, deserialize_with = "Self::unknown")]
    Unknown(UnknownFact),
}

fact_kinds! {
    DeviceFact {
        Began = "began",
        Opened = "opened",
        Approved = "approved",
        Refused = "refused",
        Paired = "paired",
        Verdict = "verdict",
        Token = "token",
        Assurance = "assurance",
        Wiped = "wiped",
        Missed = "missed",
        Ignored = "ignored",
    }
}

impl DeviceFact {
    fn unknown<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnknownFact, D::Error> {
        UnknownFact::unless(Self::KINDS, deserializer)
    }
}

/// A fact that this version does not know. It is kept unchanged, because the chain covers its bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnknownFact {
    /// What kind of fact it is.
    pub kind: Word,
    /// What it says.
    pub detail: Option<Opaque>,
}

impl UnknownFact {
    /// Reads a fact whose kind is none of `known`: one of a known kind with another detail is malformed.
    ///
    /// # Errors
    /// Those of the deserializer.
    pub fn unless<'de, D: Deserializer<'de>>(known: &[&str], deserializer: D) -> Result<Self, D::Error> {
        let fact = Self::deserialize(deserializer)?;
        if known.contains(&fact.kind.as_str()) {
            return Err(D::Error::custom(format_args!("the detail of {} is malformed", fact.kind)));
        }
        Ok(fact)
    }
}

/// What nobody here can read. In JSON it is its CBOR encoding, in hexadecimal.
#[derive(Clone, Debug, PartialEq)]
pub struct Opaque(Value);

impl Serialize for Opaque {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return self.0.serialize(serializer);
        }
        let encoded = serde_cbor::to_vec(&self.0).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&hex::encode(encoded))
    }
}

impl<'de> Deserialize<'de> for Opaque {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self)
    }
}

/// Declares the kinds of an enum of facts, whose last variant is `Unknown` with an [`UnknownFact`]. A variant that is
/// missing here does not compile.
#[macro_export]
macro_rules! fact_kinds {
    ($name:ident { $($variant:ident = $kind:literal,)+ }) => {
        impl $name {
            /// The kinds that this version knows.
            pub const KINDS: &'static [&'static str] = &[$($kind),+];

            /// Returns which kind of fact it is, as the record has it.
            #[must_use]
            pub fn kind(&self) -> &str {
                match self {
                    $(Self::$variant { .. } => $kind,)+
                    Self::Unknown(fact) => fact.kind.as_str(),
                }
            }
        }
    };
}

use fact_kinds;
