//! Lower-case hexadecimal: one form, so that equal bytes are equal texts. The `hex` crate reads capitals too.

/// Reads exactly `LENGTH` bytes.
pub(crate) fn read<const LENGTH: usize>(digits: &str) -> Option<[u8; LENGTH]> {
    if digits.bytes().any(|digit| digit.is_ascii_uppercase()) {
        return None;
    }
    let mut bytes = [0; LENGTH];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}
