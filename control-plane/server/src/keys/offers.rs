use std::path::Path;

use pawl_verifier::pairing::OfferKey;
use zeroize::Zeroizing;

use super::{KeysError, file};

/// Loads the key of offers, which is made if it is missing.
pub(super) fn load_or_create(dir: &Path) -> Result<OfferKey, KeysError> {
    let path = dir.join("offer.key");
    if !path.exists() {
        let key = Zeroizing::new(crate::random::bytes::<64>());
        file::write(&path, &Zeroizing::new(hex::encode(key.as_slice())))?;
    }
    let text = file::read(&path)?;
    let mut key = Zeroizing::new([0; 64]);
    hex::decode_to_slice(text.trim(), key.as_mut_slice()).map_err(|_| KeysError::Contents(path))?;
    Ok(OfferKey::new(key))
}
