//! Lower-case hexadecimal, as the kernel prints it and messages have it: one form, so that equal bytes are equal
//! texts. The `hex` crate reads capitals too.

/// The bytes; `None` when the text is something else.
pub(crate) fn read(text: &[u8]) -> Option<Vec<u8>> {
    if text.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    hex::decode(text).ok()
}
