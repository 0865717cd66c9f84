//! Pawl's reference control plane.
//!
//! It pairs enrolled devices, appraises their reports, signs leases and access tokens, orders revocations and stores the
//! proof that they were carried out. All state is in one SQLite database, and every decision is one transaction.
//!
//! [`http`] and [`broker`] receive what devices send, all of it untrusted. [`pairing`], [`posture`], [`token`],
//! [`action`], [`orders`] and [`update`] decide. [`store`] is the database, [`bundle`] the export for auditors, [`admin`] the
//! operators' API, which [`cli`] uses.
#![forbid(unsafe_code)]

pub mod action;
pub mod admin;
pub mod broker;
pub mod bundle;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control_plane;
pub mod entitlement;
pub mod http;
pub mod keys;
pub mod label;
pub mod lookup;
pub mod orders;
pub mod pairing;
pub mod policy;
pub mod posture;
pub mod rate;
pub mod refusal;
pub mod serve;
pub mod session;
pub mod state;
pub mod store;
pub mod token;
pub mod update;
pub mod vendor_cas;
pub mod verdict;

#[cfg(test)]
mod concurrency_tests;
#[cfg(test)]
mod hierarchy_tests;
pub mod incident;
mod off_runtime;
pub mod random;
pub mod records;
#[cfg(test)]
mod testing;
