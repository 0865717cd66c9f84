//! Creates the attestation key and signs quotes and certificates with it.

use pawl_evidence::tpm::PcrSelection;
use tss_esapi::Context;
use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::reserved_handles::NvAuth;
use tss_esapi::structures::{Attest, Data, Public, Signature, SignatureScheme};

use super::hierarchy::{endorsement_primary, template};
use super::wire::{marshal, selection as pcr_selection, unreadable};
use super::{Device, templates};
use crate::bus::{EMPTY_AUTH, EMPTY_AUTHS, Loaded, NO_SESSION, Sessions};
use crate::{Attestation, Class, Error, KeyBlob};

/// The loaded attestation key.
pub(super) struct AttestationKey {
    pub(super) loaded: Loaded,
    pub(super) public: Public,
    pub(super) name: Vec<u8>,
}

impl Device {
    /// Implements [`crate::Tpm::quote`].
    pub(crate) fn quote(
        &mut self,
        selection: &PcrSelection,
        qualifying: [u8; 32],
    ) -> Result<Attestation, Error> {
        let selection = pcr_selection(selection)?;
        self.attest("TPM2_Quote", EMPTY_AUTH, qualifying, |context, key, data| {
            context.quote(key, data, SignatureScheme::Null, selection.clone())
        })
    }

    /// Implements [`crate::Tpm::certify`].
    pub(crate) fn certify(&mut self, key: &KeyBlob, qualifying: [u8; 32]) -> Result<Attestation, Error> {
        let object = self.load_key(key)?;
        self.attest("TPM2_Certify", EMPTY_AUTHS, qualifying, |context, key, data| {
            context.certify(object.object(), key, data, SignatureScheme::Null)
        })
    }

    /// Implements [`crate::Tpm::certify_counter`].
    pub(crate) fn certify_counter(&mut self, qualifying: [u8; 32]) -> Result<Attestation, Error> {
        let (index, _) = self.find_counter()?.ok_or(Error::CounterAbsent { handle: self.counter.handle })?;
        self.attest("TPM2_NV_Certify", EMPTY_AUTHS, qualifying, |context, key, data| {
            context.nv_certify(key, NvAuth::NvIndex(index), index, data, SignatureScheme::Null, 8, 0)
        })
    }

    /// Returns the attestation key. It is created once and stays loaded, so that a report costs one command.
    pub(super) fn attestation_key(&mut self) -> Result<&AttestationKey, Error> {
        let key = match self.attestation_key.take() {
            Some(key) => key,
            None => self.make_attestation_key()?,
        };
        Ok(self.attestation_key.insert(key))
    }

    fn make_attestation_key(&self) -> Result<AttestationKey, Error> {
        let loaded = endorsement_primary(&self.bus, &template(templates::attestation())?)?.loaded;
        let (public, name, _) =
            self.bus.run("TPM2_ReadPublic", NO_SESSION, |context| context.read_public(loaded.key()))?;
        Ok(AttestationKey { loaded, public, name: name.value().to_vec() })
    }

    pub(super) fn attest(
        &mut self,
        doing: &'static str,
        sessions: Sessions,
        qualifying: [u8; 32],
        mut command: impl FnMut(&mut Context, KeyHandle, Data) -> tss_esapi::Result<(Attest, Signature)>,
    ) -> Result<Attestation, Error> {
        let data = Data::from_bytes(&qualifying).map_err(|error| unreadable(doing, &error))?;
        let bus = self.bus.clone();
        let mut sign = |key| bus.run(doing, sessions, |context| command(context, key, data.clone()));
        let signed = match sign(self.attestation_key()?.loaded.key()) {
            // A TPM reset empties the slots. The template gives the same key again.
            Err(error) if error.class() == Some(Class::Handle) => {
                self.attestation_key = None;
                sign(self.attestation_key()?.loaded.key())
            }
            signed => signed,
        };
        let (attest, signature) = signed?;
        Ok(Attestation { attest: marshal(doing, &attest)?, signature: marshal(doing, &signature)? })
    }
}
