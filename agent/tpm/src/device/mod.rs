//! The TPM commands behind each method of [`crate::Tpm`], one file per concern. All of it runs on the TPM's
//! thread.

mod action;
mod attest;
mod authorize;
mod counter;
mod hierarchy;
mod identity;
mod keys;
mod nv;
mod pcr;
mod properties;
mod scratch;
mod templates;
mod wire;

use std::rc::Rc;
use std::sync::Arc;

use tss_esapi::handles::ObjectHandle;
use tss_esapi::structures::Auth;
use zeroize::Zeroizing;

use crate::bus::{Bus, NO_SESSION};
use crate::pins::Pins;
use crate::tcti::{Tcti, Transport};
use crate::{EndorsementChoice, Error, Options};
use action::PendingSession;
use attest::AttestationKey;
use counter::CounterSlot;
use hierarchy::SavedParent;

/// An open TPM. Between two jobs it occupies one transient slot, for the attestation key, and one session slot
/// for each open action.
pub(crate) struct Device {
    bus: Rc<Bus>,
    tcti: Tcti,
    counter: CounterSlot,
    has_owner_auth: bool,
    endorsement: EndorsementChoice,
    attestation_key: Option<AttestationKey>,
    parent: Option<SavedParent>,
    pins: Arc<Pins>,
    /// The sessions of actions that wait for the control plane, one slot each.
    pending_actions: Vec<PendingSession>,
}

impl Device {
    /// Opens the first TPM, of the places that the options list, that has the configured attestation key.
    pub(crate) fn open(options: &Options, pins: &Arc<Pins>) -> Result<Self, Error> {
        let mut refusal = Error::Unreachable { tcti: options.tcti.clone(), code: None };
        for place in options.tcti.places() {
            let opened = Self::open_at(&place, options, pins.clone()).and_then(|mut device| {
                let wanted = device.is_wanted(options)?;
                Ok((device, wanted))
            });
            match opened {
                Ok((device, true)) => return Ok(device),
                Ok((_, false)) => refusal = Error::OtherTpm { tcti: options.tcti.clone() },
                // `OtherTpm` says more than the failure of a further place.
                Err(_) if matches!(refusal, Error::OtherTpm { .. }) => {}
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    fn is_wanted(&mut self, options: &Options) -> Result<bool, Error> {
        let Some(wanted) = &options.attestation_name else { return Ok(true) };
        Ok(self.attestation_key()?.name == *wanted)
    }

    fn open_at(place: &Transport, options: &Options, pins: Arc<Pins>) -> Result<Self, Error> {
        let mut device = Self {
            bus: Bus::open(place)?,
            tcti: place.clone().into(),
            counter: CounterSlot::epoch(options.counter),
            has_owner_auth: false,
            endorsement: options.endorsement,
            attestation_key: None,
            parent: None,
            pins,
            pending_actions: Vec::new(),
        };
        if let Some(auth) = &options.owner_auth {
            device.set_owner_auth(auth)?;
        }
        match device.find_counter() {
            // Report a missing or foreign counter when it is used, not here.
            Ok(_) | Err(Error::CounterTaken { .. }) => Ok(device),
            Err(error) => Err(error),
        }
    }

    /// Returns where this TPM was found.
    pub(crate) fn tcti(&self) -> &Tcti {
        &self.tcti
    }

    /// Returns whether this connection must not be used again.
    pub(crate) fn is_broken(&self) -> bool {
        self.bus.is_broken()
    }

    fn set_owner_auth(&mut self, auth: &Zeroizing<Vec<u8>>) -> Result<(), Error> {
        let auth =
            Auth::from_bytes(auth).map_err(|_| Error::Malformed("owner authorization (it is too long)"))?;
        self.bus.run("Esys_TR_SetAuth", NO_SESSION, |context| {
            context.tr_set_auth(ObjectHandle::Owner, auth.clone())
        })?;
        self.has_owner_auth = !auth.is_empty();
        Ok(())
    }
}
