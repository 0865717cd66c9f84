//! The status of a device by what the control plane knows, and whether its report is overdue.

use std::fmt;

use pawl_proto::message::Standing;
use pawl_verifier::pairing::PairingState;
use serde::{Deserialize, Serialize};

use crate::store::{Device, VerdictRow};

/// The status of a device by what the control plane knows. The `state` is from the device's own last status message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceStatus {
    /// It is enrolled and was never paired.
    Unpaired,
    /// It is paired, and its lease is valid by the wall clock.
    Entitled,
    /// It is paired without a valid lease: its last report was refused or is too old.
    Lapsed,
    /// The operator has suspended it.
    Suspended,
    /// The end of its pairing is ordered. It gets no token and no lease; its TPM has not proven that the epoch has ended.
    Revoking,
    /// Its pairing has ended.
    Revoked,
    /// The operator has retired it.
    Retired,
}

impl DeviceStatus {
    /// Returns the status of a device at `now`. `pairing` is the state of its newest pairing, `verdict` its last one with an
    /// attestation result.
    pub(super) fn of(
        device: &Device,
        pairing: Option<PairingState>,
        verdict: Option<&VerdictRow>,
        now: u64,
    ) -> Self {
        match pairing {
            _ if device.is_retired() => Self::Retired,
            Some(PairingState::Ended) => Self::Revoked,
            Some(PairingState::Revoking) => Self::Revoking,
            _ if device.standing != Standing::Active => Self::Suspended,
            None => Self::Unpaired,
            Some(PairingState::Live) if verdict.is_some_and(|verdict| verdict.entitles(now)) => {
                Self::Entitled
            }
            Some(PairingState::Live) => Self::Lapsed,
        }
    }

    /// Returns the name that JSON contains.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unpaired => "unpaired",
            Self::Entitled => "entitled",
            Self::Lapsed => "lapsed",
            Self::Suspended => "suspended",
            Self::Revoking => "revoking",
            Self::Revoked => "revoked",
            Self::Retired => "retired",
        }
    }
}

impl fmt::Display for DeviceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The least time, in seconds, that a report may be late: a device that lost its connection sends it again.
const LEAST_MARGIN: u32 = 60;

/// Returns whether the report that should follow the one received at `last` is overdue at `now`: later than the
/// interval of the verdict plus a margin, which is the interval again, at least [`LEAST_MARGIN`].
pub(super) fn is_overdue(last: u64, interval: u32, now: u64) -> bool {
    let late = u64::from(interval) + u64::from(interval.max(LEAST_MARGIN));
    last.saturating_add(late) < now
}

#[cfg(test)]
mod tests {
    use super::is_overdue;

    #[test]
    fn a_report_is_overdue_after_the_interval_of_its_verdict_and_a_margin() {
        assert_eq!([1600, 1601].map(|now| is_overdue(1000, 300, now)), [false, true]);
        // A device that is asked to report at once has a minute.
        assert_eq!([1060, 1061].map(|now| is_overdue(1000, 0, now)), [false, true]);
        assert_eq!([1065, 1066].map(|now| is_overdue(1000, 5, now)), [false, true]);
        assert!(!is_overdue(u64::MAX, 300, u64::MAX));
    }
}
