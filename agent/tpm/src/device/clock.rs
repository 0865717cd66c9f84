//! Reads the TPM's clock (TPM2_ReadClock).

use super::Device;
use crate::{Clock, Error, bus::NO_SESSION};

impl Device {
    /// Implements [`crate::Tpm::clock`].
    pub(crate) fn clock(&mut self) -> Result<Clock, Error> {
        let time = self.bus.run("TPM2_ReadClock", NO_SESSION, tss_esapi::Context::read_clock)?;
        let info = time.clock_info();
        Ok(Clock {
            clock_ms: info.clock(),
            reset_count: info.reset_count(),
            restart_count: info.restart_count(),
            safe: info.safe(),
        })
    }
}
