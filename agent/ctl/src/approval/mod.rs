//! A session that waits for approvals, as a person at this device meets it.
//!
//! What is asked for is shown, with the code for an approver elsewhere; a key that is at hand signs the statement,
//! after it was compared with what this command asked for; a confirmation is typed. What comes of it is for the
//! daemon to hand on.

mod code;
mod desk;
mod news;
mod request;
mod signer;
mod statement;
mod step;

pub(crate) use desk::Desk;
pub(crate) use news::gist;
pub(crate) use statement::{Purpose, Wanted};
pub(crate) use step::{Handed, Step, confirmed};

use signer::Key;
