use std::path::Path;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{KeysError, file};

/// Makes the secrets of offers, so that no offer has to be kept until its device comes back. It is as long as
/// a block of SHA-256, which HMAC takes as it is.
pub struct OfferKey(Zeroizing<[u8; 64]>);

impl OfferKey {
    pub(super) fn load_or_create(dir: &Path) -> Result<Self, KeysError> {
        let path = dir.join("offer.key");
        if !path.exists() {
            let key = Zeroizing::new(crate::random::bytes::<64>());
            file::write(&path, &Zeroizing::new(hex::encode(key.as_slice())))?;
        }
        let text = file::read(&path)?;
        let mut key = Zeroizing::new([0; 64]);
        hex::decode_to_slice(text.trim(), key.as_mut_slice()).map_err(|_| KeysError::Contents(path))?;
        Ok(Self(key))
    }

    /// HMAC-SHA256 over a purpose and what an offer is about. Without the key nobody can tell it from a
    /// random value.
    pub(crate) fn derive(&self, purpose: &str, about: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        let mut mac = Hmac::<Sha256>::new(self.0.as_slice().into());
        for part in [purpose.as_bytes()].iter().chain(about) {
            // Each part with its length: no two lists of parts are the same bytes.
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        Zeroizing::new(mac.finalize().into_bytes().into())
    }
}
