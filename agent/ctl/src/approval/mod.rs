//! The person's side of an approval session that waits: pawlctl shows the request and the user code for an approver elsewhere,
//! has an SSH key sign the statement after comparing it with the request, and reads the confirmation code. The daemon submits
//! both to the control plane.

mod dialogue;
mod signer;
mod statement;
mod waiting;

pub(crate) use dialogue::{Dialogue, Step, StepOutcome, check_confirmation};
pub(crate) use statement::{Purpose, Requested};
pub(crate) use waiting::without_expiry;

use signer::Key;
