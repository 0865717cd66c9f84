//! The hierarchies' authorization, and the two primaries to which sessions are salted: the storage parent and
//! the endorsement key.

use std::rc::Rc;

use pawl_evidence::tpm;
use tss_esapi::constants::SessionType;
use tss_esapi::interface_types::reserved_handles::Hierarchy;
use tss_esapi::structures as tss;
use tss_esapi::structures::SavedTpmContext;

use super::wire::{marshal, unreadable};
use super::{Device, templates};
use crate::bus::{Bus, EMPTY_AUTH, Loaded, NO_SESSION, Session, Sessions};
use crate::pins::Pinned;
use crate::{EndorsementKind, Error};

/// The storage parent, saved out of the TPM's slots.
pub(super) struct SavedParent {
    context: SavedTpmContext,
    name: Vec<u8>,
}

/// A loaded primary, and its public area from the answer to TPM2_CreatePrimary. The TSS encrypts salts to that
/// public area.
pub(super) struct Primary {
    pub(super) loaded: Loaded,
    pub(super) public: tpm::Public,
}

impl Primary {
    /// Returns the name (name algorithm and digest), computed from the public area.
    pub(super) fn name(&self) -> Vec<u8> {
        self.public.name().as_bytes().to_vec()
    }
}

impl Device {
    /// Loads the parent of a pairing's keys; it occupies a slot until it is dropped.
    ///
    /// # Errors
    /// [`Error::KeyReplaced`] if the key is not the pinned one.
    pub(super) fn storage_parent(&mut self) -> Result<Loaded, Error> {
        if let Some(saved) = self.parent.take() {
            self.pins.check(Pinned::StorageKey, &saved.name)?;
            let loaded = self
                .bus
                .load("TPM2_ContextLoad", NO_SESSION, |context| context.context_load(saved.context.clone()));
            // A saved context does not survive a TPM reset. Then create the same parent again.
            if let Ok(parent) = loaded {
                self.parent = Some(saved);
                return Ok(parent);
            }
        }
        let template = template(templates::storage_parent())?;
        let parent = self.as_owner(|bus, sessions| primary(bus, sessions, Hierarchy::Owner, &template))?;
        let name = parent.name();
        self.pins.check(Pinned::StorageKey, &name)?;
        let parent = parent.loaded;
        let context =
            self.bus.run("TPM2_ContextSave", NO_SESSION, |context| context.context_save(parent.object()))?;
        self.parent = Some(SavedParent { context, name });
        Ok(parent)
    }

    /// Creates the storage parent again and pins its name. Returns the name.
    pub(super) fn pin_storage_parent(&mut self) -> Result<Vec<u8>, Error> {
        self.parent = None;
        self.pins.set(Pinned::StorageKey, None);
        drop(self.storage_parent()?);
        let name = self.parent.as_ref().map(|saved| saved.name.clone());
        let name = name.ok_or(Error::Answer { doing: "TPM2_CreatePrimary", reason: "no key".into() })?;
        self.pins.set(Pinned::StorageKey, Some(name.clone()));
        Ok(name)
    }

    /// Loads the endorsement key, to salt a session to it.
    ///
    /// # Errors
    /// [`Error::KeyReplaced`] if the key is not the pinned one or, without a pin, if the TPM's certificate is
    /// for another key.
    pub(super) fn endorsement_salt(&self, kind: EndorsementKind) -> Result<Loaded, Error> {
        let key = endorsement_primary(&self.bus, &template(templates::endorsement(kind))?)?;
        self.pins.check(Pinned::EndorsementKey, &key.name())?;
        if !self.pins.has(Pinned::EndorsementKey)
            && let Some(certificate) = self.public_leaf(kind)?
            && !names_key(&certificate, &key.public)
        {
            return Err(Error::KeyReplaced { key: Pinned::EndorsementKey.what() });
        }
        Ok(key.loaded)
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

    /// Starts the session that proves the owner's authorization value with an HMAC, so that the value itself
    /// does not cross the bus. The salt prevents an off-line guess of the value from the HMAC. The session is
    /// salted to the endorsement key, because creating the storage parent needs this authorization.
    fn owner_session(&self) -> Result<Session, Error> {
        let salt = self.owner_salt()?;
        self.bus.session(SessionType::Hmac, Some(salt.key()))
    }

    /// Loads the pinned endorsement key, or else the best one to salt to.
    fn owner_salt(&self) -> Result<Loaded, Error> {
        let mut replaced = Error::KeyReplaced { key: Pinned::EndorsementKey.what() };
        for kind in self.salt_kinds()? {
            match self.endorsement_salt(kind) {
                // The pin may belong to an endorsement key of another kind.
                Err(error @ Error::KeyReplaced { .. }) if self.pins.has(Pinned::EndorsementKey) => {
                    replaced = error;
                }
                salt => return salt,
            }
        }
        Err(replaced)
    }
}

pub(super) fn template<T>(template: tss_esapi::Result<T>) -> Result<T, Error> {
    template.map_err(|error| unreadable("template", &error))
}

fn primary(
    bus: &Rc<Bus>,
    sessions: Sessions,
    hierarchy: Hierarchy,
    template: &tss::Public,
) -> Result<Primary, Error> {
    let doing = "TPM2_CreatePrimary";
    let mut public = None;
    let loaded = bus.load(doing, sessions, |context| {
        let made = context.create_primary(hierarchy, template.clone(), None, None, None, None)?;
        public = Some(made.out_public);
        Ok(made.key_handle.into())
    })?;
    let unknown = || Error::Answer { doing, reason: "a public area of another kind".into() };
    let bytes = marshal(doing, &public.ok_or_else(unknown)?)?;
    let public = tpm::Public::unmarshal(&bytes).map_err(|_| unknown())?;
    Ok(Primary { loaded, public })
}

/// Creates a primary of the endorsement hierarchy, whose authorization value must be empty.
pub(super) fn endorsement_primary(bus: &Rc<Bus>, template: &tss::Public) -> Result<Primary, Error> {
    primary(bus, EMPTY_AUTH, Hierarchy::Endorsement, template)
        .map_err(|error| error.if_unauthorized(|code| Error::EndorsementAuth { code }))
}

/// Returns whether a certificate contains this public key. The control plane checks the issuer.
fn names_key(certificate: &[u8], key: &tpm::Public) -> bool {
    let number = match key.key() {
        tpm::PublicKey::Rsa { modulus, .. } => modulus.clone(),
        tpm::PublicKey::Ecc { curve, x, y, .. } => tpm::uncompressed_point(*curve, x, y),
        _ => return false,
    };
    certificate.windows(number.len().max(1)).any(|window| window == number)
}
