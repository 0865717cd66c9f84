//! The chain of records about a device, and how it stays bounded.
//!
//! The control plane keeps the last `records.keep` records of a device. A [`Checkpoint`] stands for those that were
//! dropped: the place and the digest of the last one, signed by the audit key. Older records on which later ones rest (the
//! last pairings, their approvals) are carried over the checkpoint as they are.

mod chain;
mod checkpoint;
mod retention;

pub use chain::{Place, follow};
pub use checkpoint::{Checkpoint, MAX_CARRIED};
#[cfg(test)]
pub(crate) use retention::trim;
pub(crate) use retention::trim_regularly;

#[cfg(test)]
mod tests;
