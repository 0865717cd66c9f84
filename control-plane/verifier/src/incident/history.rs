use pawl_evidence::appraise::{HighWater, TpmTime};
use pawl_proto::message::Evidence;
use pawl_proto::{DeviceId, Digest, Nonce};
use serde::{Deserialize, Serialize};

use super::succession::{Succession, compare};
use super::{IncidentKind, Resolution, Sign};

/// The number of runs of a TPM that are remembered.
const RUNS: usize = 8;

/// What was seen of a device's TPM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TpmHistory {
    /// The latest point at which it was seen.
    pub highest: Option<HighWater>,
    /// The last runs of the daemon that reported, newest last.
    pub runs: Vec<DaemonRun>,
}

/// A run of a daemon, and the TPM's time in its last report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonRun {
    /// Its random id.
    pub id: Nonce,
    /// The TPM's resets.
    pub reset_count: u32,
    /// The TPM's clock, milliseconds.
    pub clock: u64,
    /// When the report came, Unix milliseconds.
    pub seen_ms: u64,
    /// The TPM's time fell in this run.
    pub fell: bool,
}

/// A report on a fresh nonce: who reports, and when.
#[derive(Clone, Copy, Debug)]
pub struct TpmSighting<'a> {
    /// The device.
    pub device: DeviceId,
    /// The pairing's epoch, and the TPM's time in the quote.
    pub time: TpmTime,
    /// What the quote covers.
    pub evidence: &'a Evidence,
    /// The control plane's wall clock, Unix milliseconds.
    pub now_ms: u64,
}

/// The history after a report, and what the report says of incidents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryUpdate {
    /// The new history.
    pub history: TpmHistory,
    /// The report follows all that was seen. Otherwise no later report may build on it.
    pub is_forward: bool,
    /// The sign of an incident in it.
    pub sign: Option<Sign>,
    /// The open incidents that it resolves.
    pub resolved: Option<Resolution>,
}

impl TpmHistory {
    /// Returns the history after a report. `was_set_back`: an incident of that kind is open.
    #[must_use]
    pub fn follow(&self, sighting: &TpmSighting<'_>, was_set_back: bool) -> HistoryUpdate {
        let TpmSighting { device, time, .. } = *sighting;
        let run = sighting.run();
        let succession = compare(&self.runs, self.is_ahead_of(time, was_set_back), &run);
        let sign = |kind, detail| Some(Sign { device, kind, other: None, detail });
        let (highest, sign, resolved) = match succession {
            Succession::Forward => {
                let raised = self.highest.map_or(HighWater::first(time), |highest| highest.raised_to(time));
                (Some(raised), None, Some(CAUGHT_UP))
            }
            Succession::Backward => {
                let detail = set_back(self.highest.unwrap_or(HighWater::first(time)), &run);
                (self.highest, sign(IncidentKind::SetBack, detail), None)
            }
            // What looked like a rollback was the other machine.
            Succession::Parallel => {
                (self.highest, sign(IncidentKind::TwoPlaces, two_places(&self.runs, &run)), Some(TWO))
            }
        };
        let fell = self.runs.iter().any(|before| before.id == run.id && before.fell);
        let fell = succession == Succession::Backward || fell && succession == Succession::Forward;
        let mut runs: Vec<DaemonRun> =
            self.runs.iter().filter(|before| before.id != run.id).cloned().collect();
        runs.push(DaemonRun { fell, ..run });
        runs.drain(..runs.len().saturating_sub(RUNS));
        let is_forward = succession == Succession::Forward;
        HistoryUpdate { history: Self { highest, runs }, is_forward, sign, resolved }
    }

    /// Returns whether the TPM is before what was seen of it. After a rollback it is until it has come past all of that;
    /// else it would be admitted again within the interval that an unclean stop may cost.
    fn is_ahead_of(&self, time: TpmTime, was_set_back: bool) -> bool {
        self.highest.is_some_and(|highest| {
            if was_set_back { !highest.is_passed_by(time) } else { !highest.admits(time) }
        })
    }

    /// Returns the history of a TPM that proves a new pairing: its earlier runs are over. None when the TPM went back.
    #[must_use]
    pub fn begin(&self, sighting: &TpmSighting<'_>) -> Option<Self> {
        Some(Self { runs: vec![sighting.run()], ..self.raised_to(sighting.time)? })
    }

    /// Returns the history of a TPM that was seen at `time`. None when the TPM was later before.
    #[must_use]
    pub fn raised_to(&self, time: TpmTime) -> Option<Self> {
        let highest = match self.highest {
            Some(highest) if !highest.admits(time) => return None,
            Some(highest) => highest.raised_to(time),
            None => HighWater::first(time),
        };
        Some(Self { highest: Some(highest), runs: self.runs.clone() })
    }
}

/// Returns the sign in a verified attestation on no nonce of ours that contradicts what was seen of the TPM: a receipt, or
/// a report for a pairing that has ended. Such a message may be late, so one that is merely older is none.
#[must_use]
pub fn contradiction(device: DeviceId, highest: Option<HighWater>, time: TpmTime) -> Option<Sign> {
    let highest = highest.filter(|highest| highest.is_contradicted_by(time))?;
    let detail = format!(
        "the TPM went back in time, from epoch {}, reset {}, clock {} ms to epoch {}, reset {}, clock {} ms",
        highest.epoch, highest.reset_count, highest.clock_max_ms, time.epoch, time.reset_count, time.clock_ms
    );
    Some(Sign { device, kind: IncidentKind::SetBack, other: None, detail })
}

impl TpmSighting<'_> {
    fn run(&self) -> DaemonRun {
        // Daemons of earlier versions tell the boot alone.
        let boot = || Nonce(Digest::of(self.evidence.boot_id.as_str().as_bytes()).0);
        DaemonRun {
            id: self.evidence.run.unwrap_or_else(boot),
            reset_count: self.time.reset_count,
            clock: self.time.clock_ms,
            seen_ms: self.now_ms,
            fell: false,
        }
    }
}

const CAUGHT_UP: Resolution =
    Resolution { kinds: &[IncidentKind::SetBack], how: "the TPM has come past where it was" };
const TWO: Resolution = Resolution { kinds: &[IncidentKind::SetBack], how: "it is in two places" };

fn set_back(before: HighWater, now: &DaemonRun) -> String {
    format!(
        "the TPM went back in time, from reset {}, clock {} ms to reset {}, clock {} ms",
        before.reset_count, before.clock_max_ms, now.reset_count, now.clock
    )
}

fn two_places(runs: &[DaemonRun], now: &DaemonRun) -> String {
    let other = runs.iter().rfind(|run| run.id != now.id);
    let other = other.map_or(String::new(), |run| {
        format!(", another at reset {}, clock {} ms", run.reset_count, run.clock)
    });
    format!("one reports at reset {}, clock {} ms{other}", now.reset_count, now.clock)
}
