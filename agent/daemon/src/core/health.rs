//! Decides when a report contains the host's health: in a full report, after a large change, and once an hour.

use std::time::Duration;

use pawl_proto::message::HostHealth;

/// The health that was reported last, and when, on CLOCK_BOOTTIME.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReportedHealth {
    health: HostHealth,
    at: Duration,
}

/// After this time a report contains the health again, also if nothing has changed.
const AGAIN: Duration = Duration::from_secs(60 * 60);
/// The smallest change of the load that is reported, in hundredths.
const LOAD_STEP: u32 = 100;
/// The smallest change of free memory or space that is reported: a quarter of the last value, and this many MiB at least.
const SPACE_STEP: u64 = 16;
/// The smallest change of the temperature that is reported, in degrees Celsius.
const HEAT_STEP: u16 = 10;

impl ReportedHealth {
    /// Returns the health that the control plane knows after this report, and whether this report has to contain it.
    pub(super) fn next(last: Option<Self>, health: HostHealth, now: Duration) -> (Self, bool) {
        match last {
            Some(last) if !last.is_outdated(&health, now) => (last, false),
            _ => (Self { health, at: now }, true),
        }
    }

    fn is_outdated(&self, health: &HostHealth, now: Duration) -> bool {
        let reported = &self.health;
        let has_moved = |before: u64, after: u64| before.abs_diff(after) >= SPACE_STEP.max(before / 4);
        let space_has_moved = |before: Option<u64>, after: Option<u64>| match (before, after) {
            (Some(before), Some(after)) => has_moved(before, after),
            (before, after) => before != after,
        };
        let heat_has_moved = match (reported.cpu, health.cpu) {
            (Some(before), Some(after)) => before.abs_diff(after) >= HEAT_STEP,
            (before, after) => before != after,
        };
        now.saturating_sub(self.at) >= AGAIN
            || reported.load.abs_diff(health.load) >= LOAD_STEP
            || has_moved(reported.memory, health.memory)
            || has_moved(reported.swap, health.swap)
            || space_has_moved(reported.state, health.state)
            || space_has_moved(reported.root, health.root)
            || heat_has_moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTH: HostHealth = HostHealth {
        uptime: 100,
        load: 50,
        memory: 400,
        swap: 0,
        state: Some(1_000),
        root: Some(2_000),
        cpu: Some(50),
    };

    fn is_reported(after_seconds: u64, health: HostHealth) -> bool {
        let at = Duration::from_secs(7);
        let (reported, is_first) = ReportedHealth::next(None, HEALTH, at);
        assert!(is_first);
        ReportedHealth::next(Some(reported), health, at + Duration::from_secs(after_seconds)).1
    }

    #[test]
    fn a_small_change_is_reported_within_the_hour_and_a_large_one_at_once() {
        let small = HostHealth {
            uptime: 3_000,
            load: 149,
            memory: 301,
            swap: 15,
            state: Some(1_249),
            root: Some(1_501),
            cpu: Some(59),
        };
        assert!(!is_reported(0, HEALTH) && !is_reported(3_599, small));
        assert!(is_reported(3_600, HEALTH));
        for large in [
            HostHealth { load: 150, ..HEALTH },
            HostHealth { memory: 300, ..HEALTH },
            HostHealth { swap: 16, ..HEALTH },
            HostHealth { state: Some(750), ..HEALTH },
            HostHealth { state: None, ..HEALTH },
            HostHealth { root: Some(2_500), ..HEALTH },
            HostHealth { cpu: Some(60), ..HEALTH },
            HostHealth { cpu: None, ..HEALTH },
        ] {
            assert!(is_reported(0, large), "{large:?}");
        }
    }

    #[test]
    fn small_changes_are_compared_with_the_health_that_was_reported_last() {
        let (reported, _) = ReportedHealth::next(None, HEALTH, Duration::ZERO);
        let (reported, is_reported) =
            ReportedHealth::next(Some(reported), HostHealth { load: 120, ..HEALTH }, Duration::ZERO);
        assert!(!is_reported);
        assert!(ReportedHealth::next(Some(reported), HostHealth { load: 160, ..HEALTH }, Duration::ZERO).1);
    }
}
