use pawl_evidence::tpm::HashAlgorithm;

use crate::{ActionStep, Class, LeaseStep, ResponseCode, Tcti};

/// Why the TPM did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection to the TPM.
    #[error("cannot reach a TPM at {tcti}{}", because(*code))]
    Unreachable {
        /// Where it was looked for.
        tcti: Tcti,
        /// What the TSS said.
        code: Option<ResponseCode>,
    },
    /// There are TPMs, and none is the one that is wanted.
    #[error("none of the TPMs at {tcti} is the one that this device was paired with")]
    OtherTpm {
        /// Where they are.
        tcti: Tcti,
    },
    /// The TPM's thread has ended or could not be started.
    #[error("the TPM's thread has stopped")]
    Stopped,
    /// More work waits for the TPM than it gets done.
    #[error("too much work waits for the TPM")]
    Overloaded,
    /// The configured handle of the counter is none that an owner may use.
    #[error("{handle:#010x} is outside the owner's NV handles, 0x01800000 to 0x01bfffff")]
    CounterHandle {
        /// The handle.
        handle: u32,
    },
    /// There is no counter, or it was never incremented.
    #[error("the TPM has no epoch counter at {handle:#010x}")]
    CounterAbsent {
        /// Where it should be.
        handle: u32,
    },
    /// The counter's index is in use for something else.
    #[error("the NV index {handle:#010x} is not Pawl's: its attributes are {attributes:#010x}")]
    CounterTaken {
        /// The index.
        handle: u32,
        /// What its owner made it (TPMA_NV).
        attributes: u32,
    },
    /// Every index is taken at which the self-test may define a counter.
    #[error("no NV index from {first:#010x} to {last:#010x} is free for the self-test")]
    NoSpareIndex {
        /// The first that was looked at.
        first: u32,
        /// The last.
        last: u32,
    },
    /// The key, or what it was to be made for, belongs to another epoch.
    #[error("the epoch counter is not at {expected} as asked: the pairing is revoked{}", because(*code))]
    Epoch {
        /// The epoch asked for.
        expected: u64,
        /// The TPM's refusal; none where the counter was read and compared.
        code: Option<ResponseCode>,
    },
    /// The TPM refused a lease.
    #[error("the TPM refused the lease: {step}{}", because(*code))]
    Lease {
        /// Which part of it.
        step: LeaseStep,
        /// The TPM's refusal; none where the lease never got to the TPM.
        code: Option<ResponseCode>,
    },
    /// The TPM refused an action.
    #[error("the TPM refused the action: {step}{}", because(*code))]
    Action {
        /// Which part of it.
        step: ActionStep,
        /// The TPM's refusal; none where the session was gone before it was asked.
        code: Option<ResponseCode>,
    },
    /// The owner hierarchy wants an authorization value that is missing or wrong.
    #[error("the TPM's owner hierarchy refused the authorization: {code}")]
    OwnerAuth {
        /// The TPM's refusal.
        code: ResponseCode,
    },
    /// The endorsement hierarchy has an authorization value.
    #[error("the TPM's endorsement hierarchy refused the authorization: {code}")]
    EndorsementAuth {
        /// The TPM's refusal.
        code: ResponseCode,
    },
    /// A key that a session was to be salted to is not the one that it has to be. Nothing was encrypted to it.
    #[error(
        "the TPM answers with another {key} than the one that is pinned or certified: this is another TPM, or something \
         between CPU and TPM replaces keys"
    )]
    KeyReplaced {
        /// Which key.
        key: &'static str,
    },
    /// The PCRs would not hold still, or a bank is not there.
    #[error("the PCRs could not be read: {0}")]
    Pcrs(&'static str),
    /// Neither the sha256 nor the sha384 bank is active.
    #[error("the TPM has neither its sha256 nor its sha384 PCR bank active{}", only(active))]
    Banks {
        /// Those that are.
        active: Vec<HashAlgorithm>,
    },
    /// What was handed in is not what the TPM's formats allow.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// The TPM or the TSS answered what cannot be understood.
    #[error("{doing}: an answer that cannot be understood ({reason})")]
    Answer {
        /// The command.
        doing: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// No randomness from the operating system.
    #[error("the operating system gave no random bytes")]
    Random,
    /// Any other refusal.
    #[error("{doing}: {code}")]
    Tpm {
        /// The command.
        doing: &'static str,
        /// The TPM's answer.
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
    /// What a technician does about it, in one sentence.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => Class::Transport.remedy(),
            Self::OtherTpm { .. } => {
                "Load the driver of the TPM that this device was paired with, or pair the device again."
            }
            Self::Stopped => "Restart pawld.",
            Self::Overloaded => "Ask for fewer signatures at a time.",
            Self::CounterHandle { .. } => {
                "Choose a handle in the owner's range in the configuration, or leave it out."
            }
            Self::CounterAbsent { .. } => {
                "Pair the device: that makes a new counter, above every value of the old."
            }
            Self::CounterTaken { .. } => Class::NvDefined.remedy(),
            Self::NoSpareIndex { .. } => {
                "Remove an index that nobody needs (tpm2_nvundefine), or set tpm.counter to where there is room."
            }
            Self::Epoch { .. } => "Pair the device again.",
            Self::Lease { step, .. } => step.remedy(),
            Self::Action { step, .. } => step.remedy(),
            Self::OwnerAuth { .. } => {
                "Give the owner authorization to pawld (owner_auth in the configuration), or correct it."
            }
            Self::EndorsementAuth { .. } => {
                "Pawl needs the endorsement authorization to be empty: run tpm2_changeauth -c endorsement -p OLD."
            }
            Self::KeyReplaced { .. } => {
                "Nothing secret was sent. Inspect the board for hardware on the TPM's bus; if the TPM was cleared or \
                 replaced on purpose, pair the device again."
            }
            Self::Pcrs(_) => {
                "Try again; if it persists, see whether the firmware's setup has a PCR bank switched off."
            }
            Self::Banks { .. } => {
                "Enable the SHA-256 or SHA-384 PCR bank in the firmware's setup, or run tpm2_pcrallocate sha256:all as \
                 root and restart the device."
            }
            Self::Malformed(_) => {
                "Pair the device again; if it persists the control plane sends what it should not."
            }
            Self::Answer { .. } | Self::Random => Class::Other.remedy(),
            Self::Tpm { code, .. } => code.class().remedy(),
        }
    }

    /// The TPM's own error, where it gave one.
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

    /// Which part of a lease was refused, where that is what happened.
    pub fn lease_step(&self) -> Option<LeaseStep> {
        match self {
            Self::Lease { step, .. } => Some(*step),
            _ => None,
        }
    }

    /// Which part of an action was refused, where that is what happened.
    pub fn action_step(&self) -> Option<ActionStep> {
        match self {
            Self::Action { step, .. } => Some(*step),
            _ => None,
        }
    }

    pub(crate) fn class(&self) -> Option<Class> {
        self.response_code().map(ResponseCode::class)
    }

    /// A refusal, where it is one and not a failure to ask, becomes what `refusal` makes of its code.
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

    /// The same for a refused authorization value.
    pub(crate) fn if_unauthorized(self, refusal: impl FnOnce(ResponseCode) -> Self) -> Self {
        match self {
            Self::Tpm { code, .. } if code.class() == Class::Authorization => refusal(code),
            other => other,
        }
    }
}
