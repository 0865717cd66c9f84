//! Updates: boot states that are approved before a device is in them, so that its keys work before it
//! has a network.

mod coming;
mod error;
mod pre_approve;

pub use error::UpdateError;
pub use pre_approve::{PreApproved, pre_approve, withdraw};

use std::collections::BTreeMap;

use pawl_evidence::boot_image::BootChange;
use pawl_evidence::eventlog::DatabaseChange;
use pawl_proto::message::ShortText;
use pawl_proto::{Digest, PcrValue};

/// What an operator approves ahead.
#[derive(Clone, Debug)]
pub struct Update {
    /// What they call it.
    pub name: ShortText,
    /// What the device will boot; none where its PCRs are given by hand alone.
    pub boot: Option<BootChange>,
    /// What Secure Boot's databases will hold, where they change.
    pub databases: Vec<DatabaseChange>,
    /// What it boots now, to try the computation on.
    pub present: Option<BootChange>,
    /// PCRs that are known from elsewhere, of the device's bank.
    pub pcrs: BTreeMap<u8, PcrValue>,
    /// The digest of the present boot state that the operator has looked at; none only where it is computed.
    pub state: Option<Digest>,
    /// Only compute.
    pub dry_run: bool,
}

#[cfg(test)]
mod tests;
