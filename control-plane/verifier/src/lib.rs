//! The half of a Pawl control plane that does no I/O.
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
pub mod verdict;

mod boot_state;
mod lease_pcrs;
mod policy;
mod refusal;
#[cfg(test)]
mod testing;

pub use boot_state::{AcceptedBy, AcceptedState, BootState, boot_digest};
pub use lease_pcrs::{CoverageError, LeasePcrs, check_coverage};
pub use policy::DevicePolicy;
pub use refusal::Refusal;
