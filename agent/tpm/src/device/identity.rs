//! Reads the device's endorsement key, certificates and attestation key.

use super::{
    Device,
    hierarchy::{endorsement_primary, template},
    templates,
    wire::marshal,
};
use crate::{Error, Identity, pins::Pinned};

impl Device {
    /// Implements [`crate::Tpm::identity`].
    pub(crate) fn identity(&mut self) -> Result<Identity, Error> {
        let kind = self.endorsement_kind()?;
        let endorsement_key = endorsement_primary(&self.bus, &template(templates::endorsement(kind))?)?;
        let ek_name = endorsement_key.name();
        let ek_public = endorsement_key.public.as_bytes().to_vec();
        drop(endorsement_key);
        self.pins.set_first(Pinned::EndorsementKey, &ek_name);
        let ek_certificates = self.endorsement_certificates(kind)?;
        let pcr_banks = self.pcr_banks()?;
        let attestation_key = self.attestation_key()?;
        Ok(Identity {
            endorsement: kind,
            ek_public,
            ek_name,
            ek_certificates,
            pcr_banks,
            ak_public: marshal("TPM2_ReadPublic", &attestation_key.public)?,
            ak_name: attestation_key.name.clone(),
        })
    }
}
