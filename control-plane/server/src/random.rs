//! Random bytes, injected: a simulation draws them from its seed.

use std::sync::Arc;

use rand_core::{CryptoRng, OsRng, RngCore, impls};

/// The control plane's source of random bytes.
#[derive(Clone)]
pub struct Random(Arc<Fill>);

type Fill = dyn Fn(&mut [u8]) + Send + Sync;

impl Random {
    /// Returns the operating system's source. It aborts the program if the system has no random bytes: no signature
    /// could then be trusted.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|bytes| OsRng.fill_bytes(bytes))
    }

    /// Returns a source that calls `fill`, whose bytes must be unpredictable wherever the control plane serves devices.
    pub fn new(fill: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(fill))
    }

    /// Returns `N` random bytes.
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

/// Returns `N` random bytes of the operating system: for keys, and where no decision depends on them.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    Random::system().bytes()
}
