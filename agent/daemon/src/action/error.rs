//! Why an action was refused or failed, and the remedy.

use pawl_evidence::assurance::AssuranceError;
use pawl_local_api::Problem;
use pawl_proto::bounded::TooLong;
use pawl_proto::message::RefusalCode;

use crate::approval::ApprovalError;
use crate::control_plane::CallError;
use crate::core::StatementError;
use crate::problem::problem;

/// Why an action has no assurance.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ActionError {
    /// The gate is closed, for this reason.
    #[error("{}", .0.reason)]
    Closed(Problem),
    #[error("no action of yours has this session")]
    Unknown,
    #[error("too many actions wait already")]
    Crowded,
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Tpm(#[from] pawl_tpm::Error),
    #[error(transparent)]
    Statement(#[from] StatementError),
    #[error("the approval does not hold: {0}")]
    Approval(#[from] ApprovalError),
    #[error("the claims to be signed: {0}")]
    Assurance(#[from] AssuranceError),
    #[error("the claims to be signed have another {0} than was requested")]
    Claims(&'static str),
    #[error("the control plane authorizes for {0} s, which exceeds what a TPM accepts")]
    Expiration(i32),
    #[error("a structure is larger than the protocol allows: {0}")]
    TooLong(#[from] TooLong),
    #[error("the daemon is stopping")]
    Stopping,
}

impl From<Problem> for ActionError {
    fn from(problem: Problem) -> Self {
        Self::Closed(problem)
    }
}

impl ActionError {
    /// Returns whether the session continues, so that the caller can ask again.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Call(error) if error.is_transient())
    }

    /// Returns the problem for the caller.
    pub(crate) fn problem(&self) -> Problem {
        let code = match self {
            Self::Closed(problem) => return problem.clone(),
            Self::Unknown => "no-such-action",
            Self::Crowded => "busy",
            Self::Call(CallError::Refused { code, .. }) => &code.to_string(),
            Self::Call(call) if call.is_transient() => "control-plane-unreachable",
            Self::Tpm(_) => "tpm",
            Self::Statement(_) | Self::Approval(_) => "statement-differs",
            Self::Assurance(_) | Self::Claims(_) => "assurance-differs",
            Self::Stopping => "stopping",
            Self::Call(_) | Self::Expiration(_) | Self::TooLong(_) => "action-failed",
        };
        problem(code, self.to_string(), self.remedy())
    }

    fn remedy(&self) -> &'static str {
        match self {
            Self::Unknown => "request the action again; the outcome of a finished action is given once",
            Self::Crowded => "wait until some of them have ended, then request it again",
            Self::Call(CallError::Refused { code, .. }) => remedy_of(*code),
            Self::Call(call) => call.remedy(),
            Self::Tpm(error) => error.remedy(),
            Self::Statement(_) | Self::Approval(_) | Self::Assurance(_) | Self::Claims(_) => {
                "approve nothing, and show the operator this message"
            }
            Self::Stopping => "ask again when it has started",
            Self::Closed(_) | Self::Expiration(_) | Self::TooLong(_) => "show the operator this message",
        }
    }
}

/// Returns what the owner of a workload can do about a refusal. For pairings the remedies differ.
fn remedy_of(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::ActionUnknown => "have the operator name it in an [[action]] of the control plane",
        RefusalCode::NoApprovers => "have the operator configure who may approve",
        RefusalCode::Declined => "ask the approver why it was declined; then request the action again",
        RefusalCode::Stale | RefusalCode::PostureChanged | RefusalCode::Busy => "request the action again",
        RefusalCode::Suspended => "ask the operator to resume this device",
        RefusalCode::Posture => "boot an approved state, or ask the operator to accept this one",
        _ => "show the operator this message",
    }
}
