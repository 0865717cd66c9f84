//! TPM2_ActivateCredential.

use tss_esapi::{
    constants::SessionType,
    handles::AuthHandle,
    interface_types::session_handles::AuthSession,
    structures::{Digest, EncryptedSecret, IdObject, Nonce},
};
use zeroize::Zeroizing;

use super::{
    Device,
    hierarchy::{endorsement_primary, template},
    templates,
};
use crate::{
    Credential, EndorsementKind, Error,
    bus::{EMPTY_AUTH, Encrypt, Loaded, Session, encrypt},
};

impl Device {
    /// As [`crate::Tpm::activate_credential`].
    pub(crate) fn activate_credential(
        &mut self,
        credential: &Credential,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let blob = IdObject::from_bytes(&credential.id_object).map_err(|_| Error::Malformed("credential"))?;
        let secret = EncryptedSecret::from_bytes(&credential.secret)
            .map_err(|_| Error::Malformed("secret of a credential"))?;
        let kind = self.endorsement_kind()?;
        let attestation_key = self.attestation_key()?.loaded.key();
        let endorsement_key = endorsement_primary(&self.bus, &template(templates::endorsement(kind))?)?;
        let session = self.endorsement_session(kind, &endorsement_key)?;
        let sessions = (Some(AuthSession::Password), Some(session.auth()), None);
        let opened = self.bus.run("TPM2_ActivateCredential", sessions, |context| {
            encrypt(context, session.auth(), Encrypt::Response)?;
            context.activate_credential(attestation_key, endorsement_key.key(), blob.clone(), secret.clone())
        })?;
        Ok(Zeroizing::new(opened.as_bytes().to_vec()))
    }

    /// What authorizes the use of an endorsement key, salted to that key itself. The low range of templates asks
    /// for the endorsement hierarchy's authorization, the high range is content with its own, which is empty.
    fn endorsement_session(&self, kind: EndorsementKind, key: &Loaded) -> Result<Session, Error> {
        if kind == EndorsementKind::EccP384 {
            return self.bus.session(SessionType::Hmac, Some(key.key()));
        }
        let session = self.bus.session(SessionType::Policy, Some(key.key()))?;
        let policy = session.policy()?;
        self.bus
            .run("TPM2_PolicySecret", EMPTY_AUTH, |context| {
                let (nonce, cp_hash, policy_ref) = (Nonce::default(), Digest::default(), Nonce::default());
                context.policy_secret(policy, AuthHandle::Endorsement, nonce, cp_hash, policy_ref, None)
            })
            .map_err(|error| error.if_unauthorized(|code| Error::EndorsementAuth { code }))?;
        Ok(session)
    }
}
