//! Protected actions: a workload requests one, the control plane allows it, and the TPM signs once.
//!
//! The sessions of actions live in the open gate. When the gate closes they are dropped, and an assurance that the TPM signs
//! meanwhile is discarded. Nothing polls: the daemon queries the control plane when the workload asks.

mod asking;
mod error;
mod session;
mod steps;
mod table;
mod turns;

pub(crate) use asking::Asking;
pub(crate) use error::ActionError;
pub(crate) use session::Acting;
pub(crate) use steps::{Step, begin, follow};
pub(crate) use table::Actions;
pub(crate) use turns::Owner;
