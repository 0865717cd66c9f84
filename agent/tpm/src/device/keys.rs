//! The keys of a pairing: creates, loads and uses them. Loads the control plane's public keys, so that the TPM can
//! check their signatures.

use pawl_evidence::lease::check_lease_key;
use pawl_evidence::{assurance, lease, tpm};
use tss_esapi::constants::SessionType;
use tss_esapi::interface_types::reserved_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{Digest, Public, SensitiveData, SignatureScheme};
use zeroize::Zeroizing;

use super::authorize::Salt;
use super::hierarchy::template;
use super::wire::marshal;
use super::{Device, templates, wire};
use crate::bus::{EMPTY_AUTH, Encrypt, Loaded, NO_SESSION, Session, encrypt};
use crate::{Binding, Error, KeyBlob, LeaseGrant, PairingKeys};

impl Device {
    /// Implements [`crate::Tpm::create_keys`].
    pub(crate) fn create_keys(&mut self, binding: &Binding) -> Result<PairingKeys, Error> {
        let epoch = binding.counter.epoch;
        let counter = self.counter()?.ok_or(Error::CounterAbsent { handle: self.counter.handle })?;
        if counter != binding.counter {
            return Err(Error::Epoch { expected: epoch, code: None });
        }
        let counter_name =
            tpm::Name::from_bytes(&counter.name).map_err(|_| Error::Malformed("name of the counter"))?;
        let lease_key = external_key_name("lease key", &binding.lease_public)?;
        let authorization_key = external_key_name("authorization key", &binding.action_public)?;

        let policy_ref = &binding.policy_ref;
        let under_lease = lease::key_policy(&lease_key, policy_ref);
        let in_epoch = lease::link_policy(&counter_name, epoch);
        let authorized = assurance::action_policy(&counter_name, epoch, &authorization_key, policy_ref);
        let storage_key = self.pin_storage_parent()?;
        Ok(PairingKeys {
            storage_key,
            link: self.create_signing_key(in_epoch)?,
            device: self.create_signing_key(under_lease)?,
            vault: self.create_sealed(under_lease)?,
            action: self.create_signing_key(authorized)?,
        })
    }

    fn create_signing_key(&mut self, policy: [u8; 32]) -> Result<KeyBlob, Error> {
        let template = template(templates::signing_key(policy))?;
        let parent = self.storage_parent()?;
        self.create(&parent, &template, None, AuthSession::Password)
    }

    fn create_sealed(&mut self, policy: [u8; 32]) -> Result<KeyBlob, Error> {
        let template = template(templates::sealed(policy))?;
        let secret = self.vault_secret()?;
        let parent = self.storage_parent()?;
        let session = self.bus.session(SessionType::Hmac, Some(parent.key()))?;
        self.create(&parent, &template, Some(&secret), session.auth())
    }

    fn create(
        &self,
        parent: &Loaded,
        template: &Public,
        secret: Option<&SensitiveData>,
        auth: AuthSession,
    ) -> Result<KeyBlob, Error> {
        let doing = "TPM2_Create";
        let made = self.bus.run(doing, (Some(auth), None, None), |context| {
            if secret.is_some() {
                encrypt(context, auth, Encrypt::Command)?;
            }
            context.create(parent.key(), template.clone(), None, secret.cloned(), None, None)
        })?;
        Ok(KeyBlob { public: marshal(doing, &made.out_public)?, private: made.out_private.to_vec() })
    }

    /// Returns the vault's 32 bytes: random bytes of the TPM XOR random bytes of the operating system. The TPM's
    /// bytes cross the bus in the clear, so they alone must not determine the secret.
    fn vault_secret(&self) -> Result<SensitiveData, Error> {
        let doing = "TPM2_GetRandom";
        let from_tpm = self.bus.run(doing, NO_SESSION, |context| context.get_random(32))?;
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(secret.as_mut_slice()).map_err(|_| Error::Random)?;
        if from_tpm.len() != secret.len() {
            return Err(Error::Answer { doing, reason: "too few bytes".into() });
        }
        for (ours, theirs) in secret.iter_mut().zip(from_tpm.as_bytes()) {
            *ours ^= theirs;
        }
        SensitiveData::from_bytes(secret.as_slice()).map_err(|error| wire::unreadable(doing, &error))
    }

    /// Loads a key of a pairing. Frees the parent's slot before it returns.
    pub(super) fn load_key(&mut self, blob: &KeyBlob) -> Result<Loaded, Error> {
        let (private, public) = wire::key(blob)?;
        let parent = self.storage_parent()?;
        self.bus.load("TPM2_Load", EMPTY_AUTH, |context| {
            context.load(parent.key(), private.clone(), public.clone()).map(Into::into)
        })
    }

    /// Implements [`crate::Tpm::sign_with_link`].
    pub(crate) fn sign_with_link(
        &mut self,
        key: &KeyBlob,
        epoch: u64,
        digest: [u8; 32],
    ) -> Result<[u8; 64], Error> {
        let key = self.load_key(key)?;
        self.in_epoch(epoch, |device, session| device.sign(&key, session, digest))
    }

    /// Implements [`crate::Tpm::sign_with_device`].
    pub(crate) fn sign_with_device(
        &mut self,
        key: &KeyBlob,
        lease: &LeaseGrant,
        digest: [u8; 32],
    ) -> Result<[u8; 64], Error> {
        let lease = self.verify_lease(lease)?;
        let key = self.load_key(key)?;
        self.under_lease(&lease, Salt::None, |device, session| device.sign(&key, session, digest))
    }

    pub(super) fn sign(&self, key: &Loaded, session: &Session, digest: [u8; 32]) -> Result<[u8; 64], Error> {
        let doing = "TPM2_Sign";
        let signature = self.bus.run(doing, (Some(session.auth()), None, None), |context| {
            context.sign(key.key(), Digest::from(digest), SignatureScheme::Null, None)
        })?;
        wire::r_s(doing, &signature)
    }

    /// Implements [`crate::Tpm::unseal`]. The result is zeroized on drop; copies in the TSS's own buffers are
    /// not.
    pub(crate) fn unseal(
        &mut self,
        vault: &KeyBlob,
        lease: &LeaseGrant,
    ) -> Result<Zeroizing<[u8; 32]>, Error> {
        let lease = self.verify_lease(lease)?;
        let vault = self.load_key(vault)?;
        let doing = "TPM2_Unseal";
        let secret = self.under_lease(&lease, Salt::StorageParent, |device, session| {
            device.bus.run(doing, (Some(session.auth()), None, None), |context| {
                encrypt(context, session.auth(), Encrypt::Response)?;
                context.unseal(vault.object())
            })
        })?;
        let mut bytes = Zeroizing::new([0; 32]);
        if secret.len() != bytes.len() {
            return Err(Error::Answer { doing, reason: "not 32 bytes".into() });
        }
        bytes.copy_from_slice(secret.as_bytes());
        Ok(bytes)
    }

    /// Loads a public key; it occupies a slot until it is dropped.
    pub(super) fn load_external(&self, what: &'static str, public: &[u8]) -> Result<Loaded, Error> {
        external_key_name(what, public)?;
        let key = wire::public(what, public)?;
        // Policy commands reject tickets of the null hierarchy.
        self.bus.load("TPM2_LoadExternal", NO_SESSION, |context| {
            context.load_external(None, key.clone(), Hierarchy::Owner).map(Into::into)
        })
    }
}

/// Returns the name of a public key, computed from its TPMT_PUBLIC.
pub(super) fn external_key_name(what: &'static str, public: &[u8]) -> Result<tpm::Name, Error> {
    let public = tpm::Public::unmarshal(public).map_err(|_| Error::Malformed(what))?;
    check_lease_key(&public).map_err(|_| Error::Malformed(what))?;
    Ok(public.name())
}
