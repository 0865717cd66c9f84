//! The messages between a Pawl device and its control plane.
//!
//! The crate defines messages, ids, epochs and topics, and how they are encoded and signed. It does no I/O and verifies
//! no evidence. [`codec::decode`] checks the size, the form and the version of a message, [`signed`] who signed it and
//! for which topic; every value of a type of this crate is well formed. Whether what a device says is true is decided in
//! `pawl_evidence` and `pawl_verifier`.
//!
//! Start with [`message`]; PROTOCOL.md says in which order the messages travel, and what a receiver must check.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

pub mod base_url;
pub mod bounded;
pub mod codec;
pub mod id;
pub mod limits;
pub mod message;
pub mod open;
pub mod pcr;
pub mod record;
pub mod signed;
pub mod topic;

pub use base_url::{BaseUrl, BaseUrlError};
pub use bounded::{Blob, Digest, Nonce, Text};
pub use codec::{DecodeError, decode, encode};
pub use id::{DeviceId, Epoch, EventId, PairingId, SessionId};
pub use pcr::{PcrBank, PcrValue};
pub use topic::{Channel, Topic};
