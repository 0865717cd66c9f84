use pawl_evidence::eventlog::{EventLogError, PredictError};
use pawl_proto::{Digest, PcrBank};

use crate::store::StoreError;
use crate::verdict::IssueError;

/// Why a boot state is not approved ahead, in words for an operator.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// It is not enrolled.
    #[error("no such device; `pawl-control-plane devices` lists them")]
    UnknownDevice,
    /// The device has no live pairing.
    #[error("the device has no live pairing: pair it first")]
    NotPaired,
    /// The device has not reported in this pairing.
    #[error("the device has not reported in this pairing; `pawl-control-plane refresh` asks it to")]
    NothingReported,
    /// The present state, of which the update keeps some PCRs, is contraindicated.
    #[error(
        "the device's present state is contraindicated, and the approval would cover every PCR that the update does \
         not change: accept that state or repair the device first"
    )]
    Contraindicated,
    /// The device has no boot event log, such as a board without UEFI.
    #[error(
        "the device has no boot event log from which the state could be computed: give the PCRs with --pcr"
    )]
    NoLog,
    /// The log does not account for a quoted PCR.
    #[error("the device's boot event log does not account for PCR {0}: nothing can be computed from it")]
    Unaccounted(u8),
    /// The PCR differs on each machine, and no other PCR can replace it.
    #[error("the future value of PCR {0} cannot be computed: accept the device's state after the update")]
    Unpredictable(u8),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] EventLogError),
    /// The state cannot be computed for this boot chain.
    #[error(transparent)]
    Predict(#[from] PredictError),
    /// The files given as booted now are not those of the log.
    #[error("the files given as booted now: {0}")]
    Present(PredictError),
    /// A given PCR that no lease names.
    #[error(
        "leases of this device do not name PCR {0}; lease.pcrs in the configuration lists the PCRs that all leases name"
    )]
    NotInLease(u8),
    /// The device has reported another boot state than the operator has seen.
    #[error(
        "the device has since reported another boot state, {reported}, instead of {seen}: inspect it \
         (`pawl-control-plane show`, or --dry-run) and name that one"
    )]
    OtherState {
        /// The digest that the operator names.
        seen: Digest,
        /// The digest of the last reported state.
        reported: Digest,
    },
    /// The operator must name the present boot state.
    #[error(
        "name the present boot state, on which the update builds, with --state; --dry-run and `show` print it"
    )]
    NoState,
    /// A given value of another bank than the device quotes.
    #[error("PCR {index}: the device reports its {bank} bank; give a value of that bank")]
    Bank {
        /// The PCR.
        index: u8,
        /// The device's bank.
        bank: PcrBank,
    },
    /// The state does not change.
    #[error("the update does not change the boot state: there is nothing to approve ahead")]
    Same,
    /// The database failed, or a message could not be signed.
    #[error(transparent)]
    Failed(#[from] IssueError),
}

impl From<StoreError> for UpdateError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}
