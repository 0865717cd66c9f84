//! Pairing: from a claim, through the proof that it is one TPM's and an approval, to a grant.
//!
//! 1. [`offer`]: a claim is answered with a credential that only the claimed TPM can open.
//! 2. [`open`]: the opened credential, a report and the certified counter open the session.
//! 3. [`step`]: persons approve, as many as policy wants. With the last of them the device's old
//!    pairing is over, and so is that of a device whose place it takes.
//! 4. [`prove`]: the keys of the new pairing, made for the approved session by the same TPM.
//!
//! A claim and a session change nothing: who knows a device's public keys takes nothing down.

mod answer;
mod approval;
mod case;
mod claim;
mod credential;
mod entry;
mod grant;
mod known;
mod offer;
mod opening;
mod policy;
mod proof;
mod showing;

pub(crate) use case::Case;
pub use grant::prove;
pub(crate) use known::known;
pub use offer::offer;
pub use opening::{Progress, open, step};

#[cfg(test)]
mod tests;
