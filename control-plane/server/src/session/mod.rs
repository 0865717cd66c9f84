//! Approval sessions in the database: the server's half of `pawl_verifier::session`. Each function loads state, calls the
//! verifier and stores what changed, in the caller's transaction.

mod approver;
mod end;
mod open;
mod signers;
mod step;
mod waiting;

pub use approver::{ApproverError, Given, approve, decline, request};
pub(crate) use end::{decline_all, refuse_proof, spend, sweep};
pub(crate) use open::{approved_fact, open};
pub(crate) use signers::signers;
pub(crate) use step::{Step, approved, step};
pub(crate) use waiting::{APPROVE_PATH, waiting};

#[cfg(test)]
use pawl_verifier::session::{Binding, Refused};

#[cfg(test)]
mod tests;
