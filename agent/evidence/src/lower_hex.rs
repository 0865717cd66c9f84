//! Reads lower-case hexadecimal, the form of the kernel and of messages. One form only, so that equal bytes are
//! equal texts; the `hex` crate also accepts capitals.

/// Returns the bytes; `None` if the text has another form.
pub(crate) fn read(text: &[u8]) -> Option<Vec<u8>> {
    if text.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    hex::decode(text).ok()
}
