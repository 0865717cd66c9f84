//! The person's side of a waiting approval session. pawlctl shows the request and the user code for an approver elsewhere, compares
//! the statement with the request before an SSH key signs it, and reads the confirmation code. The daemon submits signature and
//! code to the control plane.

mod dialogue;
mod signer;
mod statement;
mod waiting;

pub(crate) use dialogue::{Dialogue, Step, StepOutcome, check_confirmation};
pub(crate) use statement::{Purpose, Requested};
pub(crate) use waiting::without_expiry;

use signer::Key;
