//! Why a pairing failed, and the remedy.

use pawl_evidence::lease::LeaseKeyError;
use pawl_evidence::tpm::ParseError;
use pawl_local_api::Problem;
use pawl_proto::Epoch;
use pawl_proto::bounded::TooLong;
use pawl_proto::codec::DecodeError;
use pawl_proto::message::RefusalCode;
use pawl_proto::signed::VerifyError;

use super::parent::ParentError;
use super::statement::StatementError;
use crate::approval::ApprovalError;
use crate::core::evidence::ReportError;
use crate::core::input::{CallFailure, TpmFailure};
use crate::problem::{problem, technician_wanted};

/// Why a pairing failed.
#[derive(Debug, thiserror::Error)]
pub(in crate::core) enum PairingError {
    #[error(transparent)]
    Tpm(#[from] TpmFailure),
    #[error(transparent)]
    Call(#[from] CallFailure),
    /// A write to the disk failed.
    #[error("{0}")]
    Store(String),
    #[error("cannot read facts about the host: {0}")]
    Host(String),
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The control plane granted a pairing, and writing it to the disk failed. The daemon must end its epoch.
    #[error("{0}; the granted pairing was ended")]
    NotKept(String),
    #[error("the TPM has no epoch counter")]
    Counter,
    #[error(transparent)]
    Statement(#[from] StatementError),
    #[error("the approval is not valid: {0}")]
    Approval(#[from] ApprovalError),
    #[error("the control plane requires an epoch above {0}, which this TPM has not reached")]
    Ahead(Epoch),
    #[error("the session expired without an approval")]
    Expired,
    #[error("the approved statement cannot be read: {0}")]
    Approved(#[from] DecodeError),
    #[error("the control plane's key cannot be used: {0}")]
    ControlPlaneKey(#[from] LeaseKeyError),
    #[error("the control plane's key is malformed: {0}")]
    ControlPlaneKeyForm(#[from] ParseError),
    #[error("the control plane's grant differs from the approval")]
    OtherGrant,
    #[error("the control plane's first verdict is not valid: {0}")]
    Verdict(#[from] VerifyError),
    #[error(transparent)]
    Parent(#[from] ParentError),
    #[error("a structure is larger than the protocol allows: {0}")]
    TooLong(#[from] TooLong),
}

impl PairingError {
    /// Returns the problem for the caller. `attended`: a person is at the device. If none is and the policy requires one, the
    /// problem is `technician-wanted`.
    pub(in crate::core) fn problem(&self, attended: bool) -> Problem {
        let code = match self {
            Self::Call(CallFailure { text, .. }) if !attended && self.wants_person() => {
                return technician_wanted(text);
            }
            Self::Call(CallFailure { refusal: Some(code), .. }) => &code.to_string(),
            Self::Call(call) if call.is_transient => "control-plane-unreachable",
            Self::Tpm(_) | Self::Report(ReportError::Tpm(_)) | Self::Parent(_) => "tpm",
            Self::Store(_) | Self::NotKept(_) => "state-not-kept",
            Self::Statement(_) | Self::Approval(_) => "statement-differs",
            Self::Expired => "expired",
            _ => "pairing-failed",
        };
        problem(code, self.to_string(), self.remedy())
    }

    /// Returns whether the policy requires a person's approval. Then a retry without a person changes nothing.
    pub(in crate::core) fn wants_person(&self) -> bool {
        use RefusalCode::{ApprovalRequired, NoApprovers};
        matches!(self, Self::Call(CallFailure { refusal: Some(ApprovalRequired | NoApprovers), .. }))
    }

    fn remedy(&self) -> &str {
        match self {
            Self::Tpm(error) | Self::Report(ReportError::Tpm(error)) => &error.remedy,
            Self::Call(call) => &call.remedy,
            Self::Store(_) | Self::NotKept(_) => {
                "check the disk, its free space and the owner of the state directory"
            }
            Self::Statement(_) | Self::Approval(_) | Self::OtherGrant => {
                "approve nothing, and show the operator this message"
            }
            Self::Parent(_) => {
                "inspect the board for hardware on the TPM's bus, and show the operator this message"
            }
            Self::Expired => "run: pawlctl re-pair",
            _ => "run: pawlctl re-pair; if it fails again, show the operator this message",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: RefusalCode) -> PairingError {
        PairingError::Call(CallFailure {
            text: "no".to_owned(),
            remedy: "ask".to_owned(),
            is_transient: false,
            refusal: Some(code),
        })
    }

    #[test]
    fn a_technician_is_wanted_only_if_none_is_at_the_device() {
        for code in [RefusalCode::ApprovalRequired, RefusalCode::NoApprovers] {
            let error = refused(code);
            assert_eq!(error.problem(false).error, "technician-wanted");
            assert_eq!(error.problem(true).error, code.to_string());
        }
        assert_eq!(refused(RefusalCode::Suspended).problem(false).error, "suspended");
        assert!(!refused(RefusalCode::Stale).wants_person());
    }
}
