//! Random bytes, injected: a simulation draws them from its seed.

use std::sync::Arc;

use rand_core::{CryptoRng, OsRng, RngCore, impls};

/// Where the control plane gets random bytes from.
#[derive(Clone)]
pub struct Random(Arc<Fill>);

type Fill = dyn Fn(&mut [u8]) + Send + Sync;

impl Random {
    /// The operating system. A host that has no randomness ends the program: nothing that it would sign could be trusted.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|bytes| OsRng.fill_bytes(bytes))
    }

    /// A source of its own. What `fill` gives must be unpredictable wherever the control plane serves devices.
    pub fn new(fill: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(fill))
    }

    /// `N` fresh random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.0)(&mut bytes);
        bytes
    }
}

impl RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        (self.0)(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        (self.0)(bytes);
        Ok(())
    }
}

impl CryptoRng for Random {}

/// `N` fresh random bytes of the operating system: for keys, and for what no decision depends on.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    Random::system().bytes()
}
