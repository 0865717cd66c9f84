//! Creates and loads the keys of a pairing.

use pawl_evidence::{assurance, lease, tpm};
use tss_esapi::{
    constants::SessionType,
    interface_types::session_handles::AuthSession,
    structures::{Public, SensitiveData},
};
use zeroize::Zeroizing;

use super::{
    Device, external,
    hierarchy::template,
    templates,
    wire::{self, marshal},
};
use crate::{
    Binding, Error, KeyBlob, PairingKeys,
    bus::{EMPTY_AUTH, Encrypt, Loaded, NO_SESSION, encrypt},
};

impl Device {
    /// Implements [`crate::Tpm::create_keys`].
    pub(crate) fn create_keys(&mut self, binding: &Binding) -> Result<PairingKeys, Error> {
        let epoch = binding.counter.epoch;
        let counter = self.counter()?.ok_or(Error::CounterAbsent { handle: self.counter_handle })?;
        if counter != binding.counter {
            return Err(Error::Epoch { expected: epoch, code: None });
        }
        let counter_name =
            tpm::Name::from_bytes(&counter.name).map_err(|_| Error::Malformed("name of the counter"))?;
        let lease_key = external::name("lease key", &binding.lease_public)?;
        let authorization_key = external::name("authorization key", &binding.action_public)?;

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
}
