//! Talks to the device's TPM, and creates and uses every object that Pawl keeps in it.
//!
//! Start with [`Tpm::start`], which opens the TPM on a thread of its own. A [`Tpm`] is a handle to that thread: its
//! methods put work into a queue and wait for the answer without blocking an async runtime. [`Tpm::revoke`] goes ahead of
//! all waiting work. The crate decides nothing about trust and stores nothing on disk.
//!
//! The objects in the TPM:
//!
//! | object | made by | used by |
//! | --- | --- | --- |
//! | endorsement key (EK) | its maker; found again from the TCG's template | [`Tpm::identity`], [`Tpm::activate_credential`] |
//! | attestation key (AK) | a fixed template in the endorsement hierarchy | [`Tpm::quote`], [`Tpm::certify`], [`Tpm::certify_counter`] |
//! | epoch counter | [`Tpm::provision_counter`] | [`Tpm::revoke`] |
//! | link key, device key, vault key | [`Tpm::create_keys`] | [`Tpm::sign_with_link`], [`Tpm::sign_with_device`], [`Tpm::unseal`] |
//! | action key | [`Tpm::create_keys`] | [`Tpm::begin_action`] and [`Tpm::complete_action`] |
//!
//! Bytes that go in and out are in the TPM's wire format without an outer size, unless an item says otherwise.

#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

mod action;
mod bus;
mod device;
mod error;
mod options;
mod pins;
mod queue;
mod response;
mod scratch;
mod tcti;
mod tpm;
mod types;

pub use action::PendingAction;
pub use error::{ActionStep, Error, LeaseStep};
pub use options::{DEFAULT_COUNTER, EndorsementChoice, EndorsementKind, Options, UnknownEndorsement};
pub use response::{Class, ResponseCode};
pub use scratch::Scratch;
pub use tcti::{Tcti, TctiError};
pub use tpm::Tpm;
pub use types::{
    Attestation, Authorization, Binding, Clock, Counter, CounterTest, Identity, KeyBlob, LeaseGrant,
    NvDigest, PairingKeys, Properties,
};
