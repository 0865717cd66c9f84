//! The half of a Pawl control plane that does no I/O: state goes in, a decision and the new state come out.
//!
//! [`pairing`] and [`session`] bring a device in, [`report`] appraises it, [`incident`] and [`audit`] watch what it may not take
//! back, [`lease`] and [`verdict`] answer it, [`event`] and [`receipt`] end it, [`entitlement`] says what it may have meanwhile.
//! Each decision returns the assurance records ([`record`]) that prove it.
//!
//! Time, nonces, ids and random bytes are parameters. What parses and replays logs ([`report::appraise_report`],
//! [`pairing::appraise_device`]) takes milliseconds: keep it out of database transactions, and commit its result only while the
//! state that it was computed from is still the current one.
//!
//! Protected actions, OAuth tokens, updates that are approved ahead and the reading of policy files are not in here.
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
