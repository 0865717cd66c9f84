//! The device's identity: its endorsement key, the key's certificates in NV (TCG EK Credential Profile, 2.2.1), and
//! credentials for it (TPM2_ActivateCredential).

use pawl_evidence::nv_certificates::certificates_in_nv;
use pawl_proto::message::Credential;
use tss_esapi::constants::SessionType;
use tss_esapi::handles::AuthHandle;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{Digest, EncryptedSecret, IdObject, Nonce};
use zeroize::Zeroizing;

use super::hierarchy::{endorsement_primary, template};
use super::wire::marshal;
use super::{Device, templates};
use crate::bus::{EMPTY_AUTH, Encrypt, Loaded, NO_SESSION, Session, encrypt};
use crate::pins::Pinned;
use crate::{EndorsementChoice, EndorsementKind, Error, Identity};

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

impl Device {
    /// Implements [`crate::Tpm::activate_credential`].
    pub(crate) fn activate_credential(
        &mut self,
        credential: &Credential,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let blob = IdObject::from_bytes(credential.id_object.as_bytes())
            .map_err(|_| Error::Malformed("credential"))?;
        let secret = EncryptedSecret::from_bytes(credential.secret.as_bytes())
            .map_err(|_| Error::Malformed("secret of a credential"))?;
        let kind = self.endorsement_kind()?;
        let attestation_key = self.attestation_key()?.loaded.key();
        let endorsement_key = self.endorsement_salt(kind)?;
        let session = self.endorsement_session(kind, &endorsement_key)?;
        let sessions = (Some(AuthSession::Password), Some(session.auth()), None);
        let opened = self.bus.run("TPM2_ActivateCredential", sessions, |context| {
            encrypt(context, session.auth(), Encrypt::Response)?;
            context.activate_credential(attestation_key, endorsement_key.key(), blob.clone(), secret.clone())
        })?;
        Ok(Zeroizing::new(opened.as_bytes().to_vec()))
    }

    /// Starts the policy session that authorizes the use of an endorsement key, salted to that key. The session
    /// satisfies PolicySecret(TPM_RH_ENDORSEMENT), which all templates require or allow.
    ///
    /// Keys of the high range also accept their own authorization value, which is empty. It is not used here,
    /// because these keys are subject to the TPM's dictionary attack protection: a power cut at any time after
    /// such a use counts as a failed attempt (TPM 2.0 Library, part 1, section 19.8). A few power cuts would
    /// lock the TPM and prevent pairing.
    fn endorsement_session(&self, kind: EndorsementKind, key: &Loaded) -> Result<Session, Error> {
        let is_high_range = kind == EndorsementKind::EccP384;
        let hash = if is_high_range { HashingAlgorithm::Sha384 } else { HashingAlgorithm::Sha256 };
        let session = self.bus.session_with(hash, SessionType::Policy, Some(key.key()))?;
        let policy = session.policy()?;
        self.bus
            .run("TPM2_PolicySecret", EMPTY_AUTH, |context| {
                let (nonce, cp_hash, policy_ref) = (Nonce::default(), Digest::default(), Nonce::default());
                context.policy_secret(policy, AuthHandle::Endorsement, nonce, cp_hash, policy_ref, None)
            })
            .map_err(|error| error.if_unauthorized(|code| Error::EndorsementAuth { code }))?;
        if is_high_range {
            let branches = template(templates::endorsement_branches())?;
            self.bus
                .run("TPM2_PolicyOR", NO_SESSION, |context| context.policy_or(policy, branches.clone()))?;
        }
        Ok(session)
    }
}
