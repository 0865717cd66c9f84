//! Random bytes from the operating system.

use rand_core::{OsRng, RngCore as _};

/// `N` fresh random bytes.
///
/// A host that has no randomness ends the program: nothing that it would sign could be trusted.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
    bytes
}
