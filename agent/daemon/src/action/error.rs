//! Why an action was not let, and what to do about it.

use pawl_evidence::assurance::AssuranceError;
use pawl_proto::bounded::TooLong;
use pawl_proto::local::Problem;
use pawl_proto::message::RefusalCode;

use crate::approval::ApprovalError;
use crate::control_plane::CallError;
use crate::core::StatementError;
use crate::problem::problem;

/// Why there is no assurance.
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
    #[error("what the TPM is asked to sign: {0}")]
    Assurance(#[from] AssuranceError),
    #[error("what the TPM is asked to sign has another {0} than was asked for")]
    Claims(&'static str),
    #[error("the control plane authorizes for {0} s, which no TPM takes")]
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
    /// Whether the session goes on, and asking again may help.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Call(error) if error.is_transient())
    }

    /// What a caller is told.
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
            Self::Unknown => "ask for the action anew; what is over is told once",
            Self::Crowded => "wait until some of them are over, and ask again",
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

/// What a workload's owner does about a refusal: another remedy than for a pairing.
fn remedy_of(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::ActionUnknown => "have the operator name it in an [[action]] of the control plane",
        RefusalCode::NoApprovers => "have the operator configure who may approve",
        RefusalCode::Declined => "ask who declined it; then ask for the action again",
        RefusalCode::Stale | RefusalCode::PostureChanged | RefusalCode::Busy => "ask for the action again",
        RefusalCode::Suspended => "ask the operator to resume this device",
        RefusalCode::Posture => "boot an approved state, or ask the operator to accept this one",
        _ => "show the operator this message",
    }
}
