//! The text form: Base64 between two lines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::SignatureError;

pub(super) const MAX_LEN: usize = 4096;

pub(super) const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
pub(super) const END: &str = "-----END SSH SIGNATURE-----";

/// The bytes in the armor. Space around and in it does not matter: people paste signatures.
pub(super) fn dearmor(armored: &str) -> Result<Vec<u8>, SignatureError> {
    if armored.len() > MAX_LEN {
        return Err(SignatureError::TooLong);
    }
    let base64 = armored
        .trim()
        .strip_prefix(BEGIN)
        .and_then(|rest| rest.strip_suffix(END))
        .ok_or(SignatureError::NotArmored)?;
    let base64: String = base64.split_ascii_whitespace().collect();
    STANDARD.decode(base64).map_err(|_| SignatureError::NotArmored)
}
