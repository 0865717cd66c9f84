//! What a Pawl device and its control plane say to each other.
//!
//! Messages, ids, epochs and topics, and how they are encoded and signed. Nothing in this crate
//! does I/O, and nothing that it decodes is trusted: [`codec::decode`] checks the size, the form
//! and the version of a message before it makes one, and [`signed`] checks who signed it and for
//! which topic. A value of a type of this crate is valid, or it does not exist.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

pub mod base_url;
pub mod bounded;
pub mod codec;
pub mod id;
pub mod limits;
mod lower_hex;
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
