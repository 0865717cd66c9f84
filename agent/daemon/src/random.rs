//! Random bytes from the kernel.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Random bytes.
///
/// The kernel's generator cannot fail once it is seeded, which it is before any service starts.
/// Were it to fail all the same, nothing that needs a secret or a nonce may go on.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        std::process::abort();
    }
    bytes
}

/// A random text that is unique in practice: the `jti` of a JWT.
pub(crate) fn id() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<16>())
}
