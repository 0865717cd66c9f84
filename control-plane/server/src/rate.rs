//! Rate limits per device and per network.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use pawl_proto::DeviceId;

/// The most buckets that are kept. Full buckets are dropped when the map is full, so a flood of invented keys keeps others
/// out only while this many new keys arrive within the time that a bucket takes to fill.
const CAPACITY: usize = 65_536;

/// A token bucket for each key: `burst` at once, then `per_second`. Its memory is bounded, even if clients choose the
/// keys. With the key `()`, all share one bucket.
///
/// Times must be of a monotonic clock: if a wall clock was set back, devices would have to wait.
pub struct RateLimit<K = DeviceId> {
    burst_ms: u64,
    cost_ms: u64,
    capacity: usize,
    /// When each bucket will be full again.
    full_at_ms: Mutex<HashMap<K, u64>>,
}

impl<K: Eq + Hash> RateLimit<K> {
    /// Returns a limit of `burst` at once and `per_second` in the long run.
    #[must_use]
    pub fn new(burst: u32, per_second: u32) -> Self {
        Self::with_capacity(burst, per_second, CAPACITY)
    }

    /// Returns a limit of `burst` at once and `per_minute` in the long run.
    #[must_use]
    pub fn per_minute(burst: u32, per_minute: u32) -> Self {
        Self::with_cost(burst, 60_000 / u64::from(per_minute.max(1)), CAPACITY)
    }

    fn with_capacity(burst: u32, per_second: u32, capacity: usize) -> Self {
        Self::with_cost(burst, 1000 / u64::from(per_second.max(1)), capacity)
    }

    fn with_cost(burst: u32, cost_ms: u64, capacity: usize) -> Self {
        Self { burst_ms: u64::from(burst) * cost_ms, cost_ms, capacity, full_at_ms: Mutex::default() }
    }

    /// Takes a token of `key`. Returns false when there is none, or no room for another key.
    pub fn admit(&self, key: K, now_ms: u64) -> bool {
        let mut buckets = self.full_at_ms.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = buckets.get(&key).copied().unwrap_or(0).max(now_ms).saturating_add(self.cost_ms);
        if full_at - now_ms > self.burst_ms {
            return false;
        }
        if buckets.len() >= self.capacity && !buckets.contains_key(&key) {
            buckets.retain(|_, full_at| *full_at > now_ms);
            if buckets.len() >= self.capacity {
                return false;
            }
        }
        buckets.insert(key, full_at);
        true
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.full_at_ms.lock().unwrap().len()
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

    #[test]
    fn a_limit_per_minute_fills_more_slowly_than_once_a_second() {
        let limit = RateLimit::per_minute(1, 2);
        assert_eq!([0, 1, 29_999, 30_000].map(|now| limit.admit((), now)), [true, false, false, true]);
    }

    #[test]
    fn invented_ids_take_bounded_memory_and_keep_nobody_out_for_long() {
        let limit = RateLimit::with_capacity(2, 1, 100);
        assert!(limit.admit(0, 0));
        for id in 1..10_000 {
            limit.admit(id, 1);
            assert!(limit.len() <= 100);
        }
        // A bucket in use is not dropped in the flood, and its limit still holds.
        assert!(limit.admit(0, 1));
        assert!(!limit.admit(0, 1));
        // A second later the buckets of the flood are full again and make room.
        assert!(limit.admit(10_000, 1_001));
    }
}
