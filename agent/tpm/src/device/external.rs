//! Loads the control plane's public keys, so that the TPM can check their signatures.

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
    /// Loads a public key; it occupies a slot until it is dropped.
    pub(super) fn load_external(&self, what: &'static str, public: &[u8]) -> Result<Loaded, Error> {
        name(what, public)?;
        let key = wire::public(what, public)?;
        // Policy commands reject tickets of the null hierarchy.
        self.bus.load("TPM2_LoadExternal", NO_SESSION, |context| {
            context.load_external(None, key.clone(), Hierarchy::Owner).map(Into::into)
        })
    }
}

/// Returns the name of a public key, computed from its TPMT_PUBLIC.
pub(super) fn name(what: &'static str, public: &[u8]) -> Result<Name, Error> {
    let public = Public::unmarshal(public).map_err(|_| Error::Malformed(what))?;
    check_lease_key(&public).map_err(|_| Error::Malformed(what))?;
    Ok(public.name())
}
