//! How much of the control plane's time one device can take.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use pawl_proto::DeviceId;

/// A bucket of tokens for each device: `burst` at once, then `per_second`.
///
/// Only ids of enrolled devices may be asked about, which bounds the map. Where nobody is known to
/// ask, all share the bucket of `()`.
pub struct RateLimit<K = DeviceId> {
    burst_ms: u64,
    cost_ms: u64,
    /// When each device's bucket will be full again.
    full_at_ms: Mutex<HashMap<K, u64>>,
}

impl<K: Eq + Hash> RateLimit<K> {
    /// A limit of `burst` at once and `per_second` on the long run.
    #[must_use]
    pub fn new(burst: u32, per_second: u32) -> Self {
        let cost_ms = 1000 / u64::from(per_second.max(1));
        Self { burst_ms: u64::from(burst) * cost_ms, cost_ms, full_at_ms: Mutex::default() }
    }

    /// Takes one token of `device`; false when there is none.
    pub fn admit(&self, device: K, now_ms: u64) -> bool {
        let mut buckets = self.full_at_ms.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = buckets.get(&device).copied().unwrap_or(0).max(now_ms) + self.cost_ms;
        let admitted = full_at - now_ms <= self.burst_ms;
        if admitted {
            buckets.insert(device, full_at);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_spent_and_comes_back() {
        let limit = RateLimit::new(2, 1);
        let device = DeviceId::from_digest([1; 32]);
        let admitted: Vec<bool> = (0..3).map(|_| limit.admit(device, 10_000)).collect();
        assert_eq!(admitted, [true, true, false]);
        assert!(limit.admit(device, 11_000));
        assert!(!limit.admit(device, 11_000));
        assert!(limit.admit(DeviceId::from_digest([2; 32]), 11_000));
    }
}
