//! Who the device is.

use super::{
    Device,
    hierarchy::{endorsement_primary, template},
    templates,
    wire::marshal,
};
use crate::{Error, Identity, bus::NO_SESSION};

impl Device {
    /// As [`crate::Tpm::identity`].
    pub(crate) fn identity(&mut self) -> Result<Identity, Error> {
        let kind = self.endorsement_kind()?;
        let endorsement_key = endorsement_primary(&self.bus, &template(templates::endorsement(kind))?)?;
        let (ek_public, _, _) = self
            .bus
            .run("TPM2_ReadPublic", NO_SESSION, |context| context.read_public(endorsement_key.key()))?;
        drop(endorsement_key);
        let ek_certificates = self.endorsement_certificates(kind)?;
        let attestation_key = self.attestation_key()?;
        Ok(Identity {
            endorsement: kind,
            ek_public: marshal("TPM2_ReadPublic", &ek_public)?,
            ek_certificates,
            ak_public: marshal("TPM2_ReadPublic", &attestation_key.public)?,
            ak_name: attestation_key.name.clone(),
        })
    }
}
