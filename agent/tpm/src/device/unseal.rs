//! Opens the vault key.

use zeroize::Zeroizing;

use super::{Device, authorize::Salt};
use crate::{
    Error, KeyBlob, LeaseGrant,
    bus::{Encrypt, encrypt},
};

impl Device {
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
}
