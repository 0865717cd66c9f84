//! Approval sessions: one request for an approval each, for a pairing or for a protected action.
//!
//! A device that has proven itself opens a session ([`Opening`]). It *waits* for persons, unless the operator's policy
//! needs nobody, and is *approved* and used once. An approver signs the digest of its statement. Every signature is checked
//! against the list of approvers when it begins to count, and against the session field by field: the operator learns
//! which [`Binding`] failed, the device only that the approval did not count.
//!
//! Secrets and codes are kept as SHA-256: the device shows the secret with each step, and its user code follows from it.

mod binding;
mod check;
mod code;
mod end;
mod open;
mod state;
mod step;

pub use binding::{Binding, Refused};
pub use code::{free_code, user_code};
pub use end::{Attempt, SessionChange, end, expire, note, refuse, refuse_proof, spend};
pub use open::{Opening, Strangers, admit_action, approve, approved_fact, no_free_code};
pub use state::SessionApproval;
pub use state::{
    ApprovalSession, CodeDigest, DamagedStatement, FailedAttempts, Purpose, SessionState, TRIES, USE_WITHIN,
    over, stale,
};
pub use step::{ApprovalChange, StepAnswer, StepContext, StepOutcome, approve_elsewhere, step};

#[cfg(test)]
mod tests;
