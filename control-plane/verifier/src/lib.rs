//! The half of a Pawl control plane that does no I/O: state goes in, a decision and the new state come out.
//!
//! [`pairing`] verifies pairing proofs, [`session`] verifies approvals. [`report`] appraises reports, [`lease`] and [`verdict`]
//! sign the answers. [`entitlement`] computes the scopes and audiences that a device may use now. [`event`] and [`receipt`] end
//! pairings. [`incident`] finds clones and rollbacks, [`audit`] follows the devices' record chains.
//! Each decision returns the assurance records ([`record`]) that prove it.
//!
//! Time, nonces, ids and random bytes are parameters. [`report::appraise_report`] and [`pairing::appraise_device`] parse and
//! replay logs, which takes milliseconds: call them outside database transactions, and commit their result only if the state
//! that it was computed from is still current.
//!
//! Protected actions, OAuth tokens, leases for future boot states and policy files are not part of this crate.
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
