use serde::Deserialize;

/// `[limits]`: what clients of the HTTPS server may take before anybody knows them.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Connections at once.
    pub connections: usize,
    /// Of one address (IPv6: of one /64 network).
    pub connections_per_address: usize,
    /// Pairing requests of one address at once.
    pub pairings_burst: u32,
    /// Pairing requests of one address each second on the long run.
    pub pairings_per_second: u32,
    /// All other requests of one address at once.
    pub requests_burst: u32,
    /// All other requests of one address each second on the long run.
    pub requests_per_second: u32,
    /// Unknown devices that wait at once to take the place of one device.
    pub unknown_per_device: usize,
    /// Unknown devices that wait at once to take any place, of one address.
    pub unknown_per_address: usize,
}

impl LimitsConfig {
    pub(super) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if self.connections == 0 || self.connections_per_address == 0 {
            return Err(("limits.connections", "allow at least 1 connection, in all and per address"));
        }
        if self.pairings_burst == 0 || self.pairings_per_second == 0 || self.pairings_per_second > 1000 {
            return Err((
                "limits.pairings_per_second",
                "allow 1 to 1000 requests, and a burst of at least 1",
            ));
        }
        if self.requests_burst == 0 || self.requests_per_second == 0 || self.requests_per_second > 1000 {
            return Err((
                "limits.requests_per_second",
                "allow 1 to 1000 requests, and a burst of at least 1",
            ));
        }
        Ok(())
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            // Below the 1024 descriptors that a process has by default.
            connections: 512,
            connections_per_address: 128,
            pairings_burst: 120,
            pairings_per_second: 4,
            requests_burst: 600,
            requests_per_second: 50,
            unknown_per_device: 8,
            unknown_per_address: 4,
        }
    }
}
