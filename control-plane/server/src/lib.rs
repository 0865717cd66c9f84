//! Pawl's reference control plane: the other end of the wire.
//!
//! It pairs enrolled devices, judges what they report, signs leases and access tokens, orders
//! revocations and keeps the proof that they were carried out. Small, but real: all state is in
//! one SQLite database, and every decision is one transaction.
//!
//! The parts, from the wire inwards: [`http`] and [`broker`] take in what devices send and
//! believe none of it; [`pairing`], [`posture`], [`token`], [`action`], [`orders`] and [`update`] decide; [`store`]
//! remembers; [`bundle`] is what an auditor takes away. Operators come in by [`admin`].
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
pub mod orders;
pub mod pairing;
pub mod policy;
pub mod posture;
pub mod rate;
pub mod refusal;
pub mod serve;
pub mod session;
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
