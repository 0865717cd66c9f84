//! The mechanism on scratch objects, apart from any pairing.

use tokio::sync::OwnedSemaphorePermit;
use zeroize::Zeroizing;

use crate::device::Device;
use crate::queue::Lane;
use crate::{Attestation, Binding, Counter, Error, KeyBlob, LeaseGrant, PairingKeys, Tpm};

/// A scratch counter at a free NV index above the epoch counter, for a test of the TPM.
///
/// It has the attributes of the epoch counter and an authPolicy that marks it. Nothing is defined until
/// [`Scratch::provision`]. Call [`Scratch::remove`] at the end; what a test that was cut short leaves is removed by
/// the next one. Its work waits behind the work of pairings, and a wipe goes ahead of it.
pub struct Scratch {
    tpm: Tpm,
    handle: u32,
    _alone: OwnedSemaphorePermit,
}

impl Tpm {
    /// Returns a scratch counter that is not defined yet. Waits until no other test of the TPM is under way.
    ///
    /// # Errors
    /// [`Error::NoSpareIndex`] if the 16 indices above the epoch counter are taken.
    pub async fn scratch(&self) -> Result<Scratch, Error> {
        let alone = self.scratch_permit().await?;
        let handle = self.ask(Lane::Ordinary, Device::spare_index).await?;
        Ok(Scratch { tpm: self.clone(), handle, _alone: alone })
    }
}

impl Scratch {
    /// Returns the NV index.
    pub fn handle(&self) -> u32 {
        self.handle
    }

    /// Defines the counter if it is undefined, and increments it once if it never was. Returns it.
    ///
    /// # Errors
    /// As [`Tpm::provision_counter`].
    pub async fn provision(&self) -> Result<Counter, Error> {
        self.run(Device::provision_counter).await
    }

    /// Increments the counter.
    ///
    /// # Errors
    /// As [`Tpm::revoke`].
    pub async fn increment(&self) -> Result<(), Error> {
        self.run(Device::revoke).await
    }

    /// Removes the counter, and returns whether there was one.
    ///
    /// # Errors
    /// As [`Tpm::deprovision`].
    pub async fn remove(&self) -> Result<bool, Error> {
        self.run(Device::deprovision).await
    }

    /// Creates the keys of a pairing, bound to this counter.
    ///
    /// # Errors
    /// As [`Tpm::create_keys`].
    pub async fn create_keys(&self, binding: Binding) -> Result<PairingKeys, Error> {
        self.run(move |device| device.create_keys(&binding)).await
    }

    /// Signs with a link key of these keys.
    ///
    /// # Errors
    /// As [`Tpm::sign_with_link`].
    pub async fn sign_with_link(
        &self,
        key: &KeyBlob,
        epoch: u64,
        digest: [u8; 32],
    ) -> Result<[u8; 64], Error> {
        let key = key.clone();
        self.run(move |device| device.sign_with_link(&key, epoch, digest)).await
    }

    /// Signs with a device key of these keys under a lease.
    ///
    /// # Errors
    /// As [`Tpm::sign_with_device`].
    pub async fn sign_with_device(
        &self,
        key: &KeyBlob,
        lease: &LeaseGrant,
        digest: [u8; 32],
    ) -> Result<[u8; 64], Error> {
        let (key, lease) = (key.clone(), lease.clone());
        self.run(move |device| device.sign_with_device(&key, &lease, digest)).await
    }

    /// Returns the 32 bytes of a vault key of these keys under a lease.
    ///
    /// # Errors
    /// As [`Tpm::unseal`].
    pub async fn unseal(&self, vault: &KeyBlob, lease: &LeaseGrant) -> Result<Zeroizing<[u8; 32]>, Error> {
        let (vault, lease) = (vault.clone(), lease.clone());
        self.run(move |device| device.unseal(&vault, &lease)).await
    }

    /// Returns the attestation key's statement of the counter's value (TPM2_NV_Certify).
    ///
    /// # Errors
    /// As [`Tpm::certify_counter`].
    pub async fn certify(&self, qualifying: [u8; 32]) -> Result<Attestation, Error> {
        self.run(move |device| device.certify_counter(qualifying)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Device) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let handle = self.handle;
        self.tpm.ask(Lane::Ordinary, move |device| device.on_scratch(handle, work)).await
    }
}
