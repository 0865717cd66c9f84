//! Opens credentials of the control plane (TPM2_ActivateCredential).

use pawl_proto::message::Credential;
use tss_esapi::{
    constants::SessionType,
    handles::AuthHandle,
    interface_types::{algorithm::HashingAlgorithm, session_handles::AuthSession},
    structures::{Digest, EncryptedSecret, IdObject, Nonce},
};
use zeroize::Zeroizing;

use super::{Device, hierarchy::template, templates};
use crate::{
    EndorsementKind, Error,
    bus::{EMPTY_AUTH, Encrypt, Loaded, NO_SESSION, Session, encrypt},
};

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
