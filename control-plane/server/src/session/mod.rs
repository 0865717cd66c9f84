//! Sessions: one request for an approval each, for a pairing or for a protected action.
//!
//! A session is opened by a device that has proven itself. It *waits* for persons, unless the operator's
//! policy wants nobody, and is *approved* and used once. Who approves signs the digest
//! of its statement. Every signature is checked against the list of approvers at the moment when
//! it comes to count, and against the session field by field: the operator learns which binding
//! failed, whoever stands at the device only that it did not count.
//!
//! All of it is in the database. Secrets and codes are kept as SHA-256: the device shows the
//! secret with each step, and its user code follows from it.

mod approver;
mod binding;
mod check;
mod code;
mod end;
mod open;
mod signers;
mod step;
mod waiting;

pub use approver::{ApproverError, Given, approve, decline, request};
pub use binding::{Binding, Refused};
pub(crate) use end::{decline_all, refuse_proof, spend, sweep};
pub(crate) use open::{Opening, approved_fact, open};
pub(crate) use signers::signers;
pub(crate) use step::{Step, approved, over, stale, step};
pub(crate) use waiting::{APPROVE_PATH, tries_left, waiting};

use pawl_proto::Digest;

use crate::store::BootState;

/// So often something wrong of each kind may be given in a session.
const TRIES: u8 = 5;
/// Seconds for which an approved session may be used.
const USE_WITHIN: u64 = 600;

/// SHA-256 over the values of the PCRs that leases name, in ascending order.
pub(crate) fn boot_digest(state: &BootState) -> Digest {
    let values: Vec<u8> = state.values().flat_map(|value| value.as_bytes().to_vec()).collect();
    Digest::of(&values)
}

#[cfg(test)]
mod tests;
