//! The half of a Pawl control plane that does no I/O: state goes in, a decision and the new state come out.
//!
//! [`pairing`] verifies pairing proofs and [`session`] approvals. [`report`] appraises reports, [`lease`] and [`verdict`] make
//! the answers. [`entitlement`] computes what a device may have now. [`event`] and [`receipt`] end pairings. [`incident`] finds
//! clones and rollbacks, [`audit`] follows the devices' record chains.
//! Each decision returns the assurance records ([`record`]) that prove it.
//!
//! Time, nonces, ids and random bytes are parameters. What parses and replays logs ([`report::appraise_report`],
//! [`pairing::appraise_device`]) takes milliseconds: keep it out of database transactions, and commit its result only while the
//! state that it was computed from is still the current one.
//!
//! Protected actions, OAuth tokens, updates that are approved ahead and the reading of policy files are not part of this crate.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

pub mod audit;
pub mod entitlement;
pub mod event;
pub mod incident;
pub mod lease;
pub mod pairing;
pub mod receipt;
pub mod record;
pub mod report;
pub mod session;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod verdict;

mod boot_state;
mod policy;
mod refusal;

pub use boot_state::{AcceptedBy, AcceptedState, BootState, boot_digest};
pub use boot_state::{CoverageError, LeasePcrs, check_coverage};
pub use policy::DevicePolicy;
pub use refusal::Refusal;
