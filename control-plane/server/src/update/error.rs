use pawl_evidence::eventlog::{EventLogError, PredictError};
use pawl_proto::{Digest, PcrBank};

use crate::store::StoreError;
use crate::verdict::IssueError;

/// Why a boot state is not approved ahead, in words for an operator.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// Nobody enrolled it.
    #[error("no such device; `pawl-control-plane devices` lists them")]
    UnknownDevice,
    /// The device has no live pairing.
    #[error("the device has no live pairing: pair it first")]
    NotPaired,
    /// The device has not reported in this pairing.
    #[error("the device has not reported in this pairing; `pawl-control-plane refresh` asks it to")]
    NothingReported,
    /// The present state, parts of which the update keeps, is contraindicated.
    #[error(
        "the device's present state is contraindicated, and all that the update leaves as it is would be approved \
         with it: accept that state or repair the device first"
    )]
    Contraindicated,
    /// The device has no boot event log, as a board without UEFI.
    #[error(
        "the device has no boot event log from which anything could be computed: give the PCRs with --pcr"
    )]
    NoLog,
    /// The log does not account for a quoted PCR.
    #[error("the device's boot event log does not account for PCR {0}: nothing can be computed from it")]
    Unaccounted(u8),
    /// The PCR differs on each machine, and no other PCR stands in for it.
    #[error("what PCR {0} will hold cannot be computed: accept the device's state after the update")]
    Unpredictable(u8),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] EventLogError),
    /// The state cannot be computed for this boot chain.
    #[error(transparent)]
    Predict(#[from] PredictError),
    /// The files given as booted now are not those of the log.
    #[error("what is said to be booted now: {0}")]
    Present(PredictError),
    /// A given PCR that no lease names.
    #[error(
        "leases of this device do not name PCR {0}; lease.pcrs in the configuration lists those that all do"
    )]
    NotInLease(u8),
    /// The device has reported another boot state than the operator has seen.
    #[error(
        "the device has meanwhile reported another boot state, {reported}, than {seen}: look at it \
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
        "name with --state the present boot state, on which the update builds; --dry-run and `show` show it"
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
    #[error("that is the state in which the device is now: there is nothing to approve ahead")]
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
