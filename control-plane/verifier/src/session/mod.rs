//! Approval sessions. Each is one request for an approval, of a pairing or of a protected action.
//!
//! A device that has proven its TPM opens a session ([`Opening`]). The session *waits* until enough persons have approved, is then
//! *approved*, and can be used once. If the operator's policy requires no person, it is approved at once. An approver signs the
//! digest of the session's statement. [`step()`] checks every signature against the list of approvers at the moment when it begins
//! to count, and compares the signed statement with the session's, field by field. The operator learns which [`Binding`] failed;
//! the device learns only that the approval was rejected.
//!
//! The control plane stores secrets and codes as SHA-256. The device sends the secret with each step, and its user code is
//! derived from the secret.

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
