//! Pairing: the server's half of `pawl_verifier::pairing`. It loads state, calls the verifier and commits.
//!
//! 1. [`offer`]: a claim is answered with a credential that only the claimed TPM can open.
//! 2. [`open`]: the opened credential, a report and the certified counter open the session.
//! 3. [`step`]: persons approve, as many as policy wants. With the last of them the device's old
//!    pairing is over, and so is that of a device whose place it takes.
//! 4. [`prove`]: the keys of the new pairing, made for the approved session by the same TPM.

mod answer;
mod appraisal;
mod approval;
mod ending;
mod enrolment;
mod entry;
mod grant;
mod offer;
mod opening;

pub(crate) use ending::known;
pub use grant::prove;
pub use offer::offer;
pub use opening::{Progress, open, step};

#[cfg(test)]
mod tests;

use pawl_verifier::pairing::PairingSession;

use crate::store::StoreError;
use pawl_verifier::session::ApprovalSession;

/// Returns what a session for a pairing keeps beside its statement.
pub(crate) fn session_data(session: &ApprovalSession) -> Result<PairingSession, StoreError> {
    PairingSession::decode(&session.body).map_err(|_| StoreError::Malformed("session"))
}
