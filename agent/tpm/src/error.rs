use std::fmt;

use pawl_evidence::tpm::HashAlgorithm;

use crate::{Class, ResponseCode, Tcti};

/// Why a TPM operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection to the TPM.
    #[error("cannot reach a TPM at {tcti}{}", because(*code))]
    Unreachable {
        /// The configured TCTI.
        tcti: Tcti,
        /// The TSS's response code, if it gave one.
        code: Option<ResponseCode>,
    },
    /// TPMs were found, but none has the attestation key of the pairing.
    #[error("none of the TPMs at {tcti} is the TPM that this device was paired with")]
    OtherTpm {
        /// The configured TCTI.
        tcti: Tcti,
    },
    /// The TPM's thread has ended or could not be started.
    #[error("the TPM's thread has stopped")]
    Stopped,
    /// The queue of the TPM's thread is full.
    #[error("the queue for the TPM is full")]
    Overloaded,
    /// The configured handle of the counter is outside the owner range.
    #[error("{handle:#010x} is outside the owner's NV handles, 0x01800000 to 0x01bfffff")]
    CounterHandle {
        /// The handle.
        handle: u32,
    },
    /// The counter is undefined, or was never incremented.
    #[error("the TPM has no epoch counter at {handle:#010x}")]
    CounterAbsent {
        /// The configured handle.
        handle: u32,
    },
    /// The counter's NV index belongs to another program.
    #[error("the NV index {handle:#010x} is not Pawl's: its attributes are {attributes:#010x}")]
    CounterTaken {
        /// The index.
        handle: u32,
        /// The index's TPMA_NV attributes.
        attributes: u32,
    },
    /// Every NV index that the self-test may use is defined already.
    #[error("no NV index from {first:#010x} to {last:#010x} is free for the self-test")]
    NoSpareIndex {
        /// The first index that was tried.
        first: u32,
        /// The last index that was tried.
        last: u32,
    },
    /// The key, or the epoch for which keys were requested, is not the counter's present epoch.
    #[error("the epoch counter is not at {expected}: the pairing is revoked{}", because(*code))]
    Epoch {
        /// The requested epoch.
        expected: u64,
        /// The TPM's refusal; `None` if pawl read the counter and compared it.
        code: Option<ResponseCode>,
    },
    /// The TPM refused a lease.
    #[error("the TPM refused the lease: {step}{}", because(*code))]
    Lease {
        /// The step that failed.
        step: LeaseStep,
        /// The TPM's refusal; `None` if the lease was refused before the TPM saw it.
        code: Option<ResponseCode>,
    },
    /// The TPM refused an action.
    #[error("the TPM refused the action: {step}{}", because(*code))]
    Action {
        /// The step that failed.
        step: ActionStep,
        /// The TPM's refusal; `None` if the session had ended before.
        code: Option<ResponseCode>,
    },
    /// The owner hierarchy's authorization value is missing or wrong.
    #[error("the TPM's owner hierarchy refused the authorization: {code}")]
    OwnerAuth {
        /// The TPM's refusal.
        code: ResponseCode,
    },
    /// The endorsement hierarchy's authorization value is not empty.
    #[error("the TPM's endorsement hierarchy refused the authorization: {code}")]
    EndorsementAuth {
        /// The TPM's refusal.
        code: ResponseCode,
    },
    /// A key to which a session was to be salted is not the expected one. Nothing was encrypted to it.
    #[error(
        "the TPM's {key} is not the one that is pinned or certified: this is another TPM, or something \
         between CPU and TPM replaces keys"
    )]
    KeyReplaced {
        /// The name of the key, for the message.
        key: &'static str,
    },
    /// The PCRs kept changing, or a bank does not exist.
    #[error("the PCRs could not be read: {0}")]
    Pcrs(&'static str),
    /// Neither the sha256 nor the sha384 bank is active.
    #[error("the TPM has neither its sha256 nor its sha384 PCR bank active{}", only(active))]
    Banks {
        /// The active banks.
        active: Vec<HashAlgorithm>,
    },
    /// The caller's input is not in the TPM's format.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// The answer of the TPM or the TSS is malformed.
    #[error("{doing}: malformed answer ({reason})")]
    Answer {
        /// The command.
        doing: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random,
    /// Any other refusal by the TPM.
    #[error("{doing}: {code}")]
    Tpm {
        /// The command.
        doing: &'static str,
        /// The TPM's response code.
        code: ResponseCode,
    },
}

fn only(active: &[HashAlgorithm]) -> String {
    let names: Vec<&str> = active.iter().map(|bank| bank.as_str()).collect();
    if names.is_empty() { String::new() } else { format!(", only {}", names.join(", ")) }
}

fn because(code: Option<ResponseCode>) -> String {
    code.map(|code| format!(": {code}")).unwrap_or_default()
}

impl Error {
    /// Returns what a technician does about it, in one sentence.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => Class::Transport.remedy(),
            Self::OtherTpm { .. } => {
                "Load the driver of the TPM that this device was paired with, or pair the device again."
            }
            Self::Stopped => "Restart pawld.",
            Self::Overloaded => "Request fewer signatures at a time.",
            Self::CounterHandle { .. } => {
                "Set tpm.counter to a handle in the owner's range, or remove the setting."
            }
            Self::CounterAbsent { .. } => {
                "Pair the device: that defines a new counter, which starts above every value of the old one."
            }
            Self::CounterTaken { .. } => Class::NvDefined.remedy(),
            Self::NoSpareIndex { .. } => {
                "Remove an unused NV index (tpm2_nvundefine), or set tpm.counter to a range with a free index."
            }
            Self::Epoch { .. } => "Pair the device again.",
            Self::Lease { step, .. } => step.remedy(),
            Self::Action { step, .. } => step.remedy(),
            Self::OwnerAuth { .. } => {
                "Set or correct the owner authorization in pawld's configuration (owner_auth)."
            }
            Self::EndorsementAuth { .. } => {
                "Pawl needs the endorsement authorization to be empty: run tpm2_changeauth -c endorsement -p OLD."
            }
            Self::KeyReplaced { .. } => {
                "Nothing secret was sent. Inspect the board for hardware on the TPM's bus; if the TPM was cleared or \
                 replaced on purpose, pair the device again."
            }
            Self::Pcrs(_) => {
                "Try again; if it persists, check whether a PCR bank is disabled in the firmware's setup."
            }
            Self::Banks { .. } => {
                "Enable the SHA-256 or SHA-384 PCR bank in the firmware's setup, or run tpm2_pcrallocate sha256:all as \
                 root and restart the device."
            }
            Self::Malformed(_) => {
                "Pair the device again; if it persists, the control plane sends malformed data: report it."
            }
            Self::Answer { .. } | Self::Random => Class::Other.remedy(),
            Self::Tpm { code, .. } => code.class().remedy(),
        }
    }

    /// Returns the TPM's response code, if there is one.
    pub fn response_code(&self) -> Option<ResponseCode> {
        match self {
            Self::Unreachable { code, .. }
            | Self::Epoch { code, .. }
            | Self::Lease { code, .. }
            | Self::Action { code, .. } => *code,
            Self::OwnerAuth { code } | Self::EndorsementAuth { code } | Self::Tpm { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Returns which step of a lease was refused, if a lease was refused.
    pub fn lease_step(&self) -> Option<LeaseStep> {
        match self {
            Self::Lease { step, .. } => Some(*step),
            _ => None,
        }
    }

    /// Returns which step of an action was refused, if an action was refused.
    pub fn action_step(&self) -> Option<ActionStep> {
        match self {
            Self::Action { step, .. } => Some(*step),
            _ => None,
        }
    }

    pub(crate) fn class(&self) -> Option<Class> {
        self.response_code().map(ResponseCode::class)
    }

    /// Converts a refusal by the TPM with `refusal`. Leaves failures of the transport and of the TPM itself as
    /// they are.
    pub(crate) fn if_refused(self, refusal: impl FnOnce(ResponseCode) -> Self) -> Self {
        match self {
            Self::Tpm { code, .. }
                if matches!(code.class(), Class::Policy | Class::Input | Class::Handle) =>
            {
                refusal(code)
            }
            other => other,
        }
    }

    /// Converts the refusal of an authorization value with `refusal`.
    pub(crate) fn if_unauthorized(self, refusal: impl FnOnce(ResponseCode) -> Self) -> Self {
        match self {
            Self::Tpm { code, .. } if code.class() == Class::Authorization => refusal(code),
            other => other,
        }
    }
}

/// The steps in which the TPM checks a lease, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseStep {
    /// The lease key's signature (TPM2_VerifySignature).
    Signature,
    /// TPM2_PolicyPCR.
    Pcrs,
    /// TPM2_PolicyNV.
    Epoch,
    /// TPM2_PolicyCounterTimer over resetCount.
    Reboots,
    /// TPM2_PolicyCounterTimer over clock.
    Deadline,
    /// TPM2_PolicyAuthorize: the signed policy is not the one that was checked.
    Authorize,
    /// The use of the key, which requires another lease key or another pairing.
    Use,
}

impl LeaseStep {
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Signature | Self::Authorize => {
                "Wait for the next verdict, which brings a new lease; if it persists pair the device again."
            }
            Self::Pcrs => {
                "The device runs what was not approved: restart into the approved system, or have this state approved."
            }
            Self::Epoch | Self::Use => "The pairing is revoked: pair the device again.",
            Self::Reboots | Self::Deadline => {
                "Connect the device to its control plane: the next report renews the lease."
            }
        }
    }
}

impl fmt::Display for LeaseStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signature => "it is not signed by the lease key",
            Self::Pcrs => "the PCRs differ from the approved ones",
            Self::Epoch => "the epoch has moved on",
            Self::Reboots => "more reboots than it allows",
            Self::Deadline => "its deadline has passed",
            Self::Authorize => "the signed policy is not the one that was checked",
            Self::Use => "it is for another pairing than the key's",
        })
    }
}

/// The steps in which the TPM checks an action, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionStep {
    /// The policy session has ended: the TPM was reset, or the connection to it broke.
    Session,
    /// TPM2_PolicyNV.
    Epoch,
    /// TPM2_PolicySigned: the control plane did not sign this session, this command and this pairing.
    Authorization,
    /// The authorization has expired (TPM2_PolicySigned or TPM2_Sign).
    Expired,
    /// TPM2_Sign: another digest, key or pairing was authorized.
    Use,
}

impl ActionStep {
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Session => "Request the action again: the TPM was reset during it.",
            Self::Epoch => "The pairing is revoked: pair the device again.",
            Self::Expired => "Request the action again, and check how fast the control plane answers.",
            Self::Authorization | Self::Use => {
                "Ask for the action again; if it persists pair the device again, since its control plane authorizes what this pairing does not."
            }
        }
    }
}

impl fmt::Display for ActionStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session => "its policy session has ended",
            Self::Epoch => "the epoch has moved on",
            Self::Authorization => "it is not authorized by the control plane for this session and command",
            Self::Expired => "its authorization has expired",
            Self::Use => "another digest, key or pairing was authorized",
        })
    }
}
