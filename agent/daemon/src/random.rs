//! Random bytes from the kernel.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Returns random bytes.
///
/// The kernel's generator cannot fail once it is seeded, which it is before services start. If it fails all the same, the process
/// aborts: it must not continue without secrets and nonces.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        std::process::abort();
    }
    bytes
}

/// Returns a random text that is unique in practice, for the `jti` of a JWT.
pub(crate) fn id() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<16>())
}
