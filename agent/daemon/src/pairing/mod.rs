//! Pairing: the device proves which TPM it is, somebody approves, and it is bound to one epoch.
//!
//! 1. [`session`] asks and proves, beside whatever the device is doing. Until the approval nothing
//!    has changed: the pairing that lives goes on.
//! 2. The approval, once it is checked, is kept on the disk. It ends the pairing before it.
//! 3. [`making`] makes the keys of the new epoch, and has them granted.
//!
//! Power may fail anywhere in here. An approval that was kept is found at the next start, which goes
//! on from step 2; before that there is nothing to be found, and nothing that was lost. The control
//! plane grants one pairing a session, in an epoch above the one that ended, so the keys of a
//! half-finished pairing can never be entitled beside those of another.

mod approved;
mod ask;
mod error;
mod making;
mod parent;
mod past;
mod progress;
mod proof;
mod session;
mod statement;

pub(crate) use ask::Wanted;
pub(crate) use error::PairingError;
pub(crate) use making::make;
pub(crate) use past::Past;
pub(crate) use progress::Progress;
pub(crate) use session::{Reply, Step, Unanswered, run};
pub(crate) use statement::StatementError;
