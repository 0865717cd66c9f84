//! Signs with the link key and the device key.

use tss_esapi::structures::{Digest, SignatureScheme};

use super::{Device, authorize::Salt, wire};
use crate::{
    Error, KeyBlob, LeaseGrant,
    bus::{Loaded, Session},
};

impl Device {
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
}
