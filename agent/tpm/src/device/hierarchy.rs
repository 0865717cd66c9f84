//! The hierarchies' authorization, and the two primaries that are made and left again: the storage parent and a
//! key to salt sessions with.

use std::rc::Rc;

use tss_esapi::{constants::SessionType, interface_types::reserved_handles::Hierarchy, structures::Public};

use super::{Device, templates, wire::unreadable};
use crate::{
    Error,
    bus::{Bus, EMPTY_AUTH, Loaded, NO_SESSION, Session, Sessions},
};

impl Device {
    /// The parent of the keys of a pairing, in a slot of its own until it is dropped.
    pub(super) fn storage_parent(&mut self) -> Result<Loaded, Error> {
        if let Some(saved) = self.parent.take() {
            let loaded =
                self.bus.load("TPM2_ContextLoad", NO_SESSION, |context| context.context_load(saved.clone()));
            // A context does not outlive a reset of the TPM; the same parent can be made again.
            if let Ok(parent) = loaded {
                self.parent = Some(saved);
                return Ok(parent);
            }
        }
        let template = template(templates::storage_parent())?;
        let parent = self.as_owner(|bus, sessions| primary(bus, sessions, Hierarchy::Owner, &template))?;
        let saved =
            self.bus.run("TPM2_ContextSave", NO_SESSION, |context| context.context_save(parent.object()))?;
        self.parent = Some(saved);
        Ok(parent)
    }

    /// Runs `command` with the owner's authorization.
    pub(super) fn as_owner<T>(
        &self,
        command: impl FnOnce(&Rc<Bus>, Sessions) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let result = if self.has_owner_auth {
            let session = self.owner_session()?;
            command(&self.bus, (Some(session.auth()), None, None))
        } else {
            command(&self.bus, EMPTY_AUTH)
        };
        result.map_err(|error| error.if_unauthorized(|code| Error::OwnerAuth { code }))
    }

    /// An authorization value does not go over the bus: an HMAC proves it. Salted, so that the HMAC on its own is
    /// of no use to who would guess the value.
    fn owner_session(&self) -> Result<Session, Error> {
        let template = template(templates::storage_parent())?;
        // The null hierarchy has no authorization of its own, whatever was done to the others.
        let salt = primary(&self.bus, EMPTY_AUTH, Hierarchy::Null, &template)?;
        self.bus.session(SessionType::Hmac, Some(salt.key()))
    }
}

pub(super) fn template<T>(template: tss_esapi::Result<T>) -> Result<T, Error> {
    template.map_err(|error| unreadable("template", &error))
}

pub(super) fn primary(
    bus: &Rc<Bus>,
    sessions: Sessions,
    hierarchy: Hierarchy,
    template: &Public,
) -> Result<Loaded, Error> {
    bus.load("TPM2_CreatePrimary", sessions, |context| {
        let made = context.create_primary(hierarchy, template.clone(), None, None, None, None)?;
        Ok(made.key_handle.into())
    })
}

/// A primary of the endorsement hierarchy, whose authorization value must be empty.
pub(super) fn endorsement_primary(bus: &Rc<Bus>, template: &Public) -> Result<Loaded, Error> {
    primary(bus, EMPTY_AUTH, Hierarchy::Endorsement, template)
        .map_err(|error| error.if_unauthorized(|code| Error::EndorsementAuth { code }))
}
