//! The control plane's keys, whose signatures the TPM checks itself.

use pawl_evidence::{
    lease::check_lease_key,
    tpm::{Name, Public},
};
use tss_esapi::interface_types::reserved_handles::Hierarchy;

use super::{Device, wire};
use crate::{
    Error,
    bus::{Loaded, NO_SESSION},
};

impl Device {
    /// Loads such a key, in a slot of its own until it is dropped.
    pub(super) fn load_external(&self, what: &'static str, public: &[u8]) -> Result<Loaded, Error> {
        name(what, public)?;
        let key = wire::public(what, public)?;
        // Tickets of the null hierarchy are not good for a policy.
        self.bus.load("TPM2_LoadExternal", NO_SESSION, |context| {
            context.load_external(None, key.clone(), Hierarchy::Owner).map(Into::into)
        })
    }
}

/// The name of such a key, from its TPMT_PUBLIC.
pub(super) fn name(what: &'static str, public: &[u8]) -> Result<Name, Error> {
    let public = Public::unmarshal(public).map_err(|_| Error::Malformed(what))?;
    check_lease_key(&public).map_err(|_| Error::Malformed(what))?;
    Ok(public.name())
}
