//! Reads the endorsement key's certificates from NV (TCG EK Credential Profile, 2.2.1).

use pawl_evidence::nv_certificates::certificates_in_nv;

use super::Device;
use crate::{EndorsementChoice, EndorsementKind, Error};

/// The NV range of the certificate chain. Certificates stand one after the other and may cross the end of an
/// index.
const CHAIN: (u32, u32) = (0x01c0_0100, 0x01c0_01ff);
const LEAVES: (u32, u32) = (0x01c0_0002, 0x01c0_0016);
/// The order of preference.
const KINDS: [EndorsementKind; 3] =
    [EndorsementKind::EccP256, EndorsementKind::EccP384, EndorsementKind::Rsa2048];
/// The size limit of the chain: twice what three certificates with long names take.
const MAX_CHAIN: usize = 16 * 1024;

impl Device {
    /// Returns which endorsement key this device uses.
    pub(super) fn endorsement_kind(&self) -> Result<EndorsementKind, Error> {
        if let EndorsementChoice::Only(kind) = self.endorsement {
            return Ok(kind);
        }
        let present = self.nv_indices(LEAVES.0, LEAVES.1)?;
        for kind in KINDS.into_iter().filter(|kind| present.contains(&leaf_index(*kind))) {
            // Some manufacturers define an index and leave it empty.
            if !certificates_in_nv(&self.read_nv(leaf_index(kind))?).is_empty() {
                return Ok(kind);
            }
        }
        Ok(EndorsementKind::EccP256)
    }

    /// Returns the endorsement keys to which the owner's session may be salted, best first: keys with a
    /// certificate that everybody may read, then keys with an index for a certificate, then keys without one.
    /// [`Self::endorsement_kind`] may need that session itself to read a certificate.
    pub(super) fn salt_kinds(&self) -> Result<Vec<EndorsementKind>, Error> {
        if let EndorsementChoice::Only(kind) = self.endorsement {
            return Ok(vec![kind]);
        }
        let (mut comparable, mut others) = (Vec::new(), Vec::new());
        let present = self.nv_indices(LEAVES.0, LEAVES.1)?;
        for kind in KINDS.into_iter().filter(|kind| present.contains(&leaf_index(*kind))) {
            match self.read_public_nv(leaf_index(kind))? {
                Some(contents) if !certificates_in_nv(&contents).is_empty() => comparable.push(kind),
                Some(_) => {}
                None => others.push(kind),
            }
        }
        comparable.append(&mut others);
        if !comparable.contains(&EndorsementKind::EccP256) {
            comparable.push(EndorsementKind::EccP256);
        }
        Ok(comparable)
    }

    /// Returns the certificate of an endorsement key and the chain from NV; empty if the TPM has no certificate.
    pub(super) fn endorsement_certificates(&self, kind: EndorsementKind) -> Result<Vec<Vec<u8>>, Error> {
        let leaf = leaf_index(kind);
        if self.nv_indices(leaf, leaf)?.is_empty() {
            return Ok(Vec::new());
        }
        let mut certificates: Vec<_> =
            certificates_in_nv(&self.read_nv(leaf)?).into_iter().take(1).map(<[u8]>::to_vec).collect();
        let mut chain = Vec::new();
        for handle in self.nv_indices(CHAIN.0, CHAIN.1)? {
            chain.extend(self.read_nv(handle)?);
            if chain.len() > MAX_CHAIN {
                break;
            }
        }
        certificates.extend(certificates_in_nv(&chain).into_iter().map(<[u8]>::to_vec));
        Ok(certificates)
    }
}

impl Device {
    /// Implements [`crate::Tpm::certificate_needs_owner`].
    pub(crate) fn certificate_needs_owner(&self, kind: EndorsementKind) -> Result<bool, Error> {
        let leaf = leaf_index(kind);
        Ok(!self.nv_indices(leaf, leaf)?.is_empty() && !self.is_public_nv(leaf)?)
    }

    /// Returns the certificate of an endorsement key, if it can be read without an authorization.
    pub(super) fn public_leaf(&self, kind: EndorsementKind) -> Result<Option<Vec<u8>>, Error> {
        let leaf = leaf_index(kind);
        if self.nv_indices(leaf, leaf)?.is_empty() {
            return Ok(None);
        }
        self.read_public_nv(leaf)
    }
}

fn leaf_index(kind: EndorsementKind) -> u32 {
    match kind {
        EndorsementKind::Rsa2048 => 0x01c0_0002,
        EndorsementKind::EccP256 => 0x01c0_000a,
        EndorsementKind::EccP384 => 0x01c0_0016,
    }
}
