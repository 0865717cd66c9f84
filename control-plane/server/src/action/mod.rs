//! Protected actions: a workload names one, policy or persons let it, and the device's TPM signs
//! for it once.
//!
//! The control plane writes what the TPM is to sign, a JWS with all that was let and why, and
//! authorizes that one signature in that one TPM session. What comes of it, an assurance, can be
//! checked by anybody with the fleet authority's certificate ([`pawl_evidence::assurance`]), or
//! here, where it is also known whether the pairing still lives and whether it was used before.

mod ask;
mod assurance;
mod authorize;
mod request;
mod step;

use std::num::NonZeroU16;

pub use ask::ask;
pub use assurance::{Outcome, Question, Reason, verify};
pub use authorize::authorize;
pub use step::{Progress, step};

/// Where actions are asked for; part of what devices sign.
pub const PATH: &str = "/v1/actions";

/// So many seconds after its TPM session began an authorization ends.
const AUTHORIZATION: NonZeroU16 = match NonZeroU16::new(60) {
    Some(seconds) => seconds,
    None => NonZeroU16::MIN,
};
/// So far may clocks differ, in seconds.
const LEEWAY: u64 = 60;

#[cfg(test)]
mod tests;
