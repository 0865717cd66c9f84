use pawl_evidence::appraise::{HighWater, TpmTime};
use pawl_proto::message::Evidence;
use pawl_proto::{DeviceId, Digest, Nonce};
use serde::{Deserialize, Serialize};

use super::{IncidentKind, Resolution, Sign};

/// The number of daemon runs to store for a TPM.
const RUNS: usize = 8;

/// The history of a device's TPM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TpmHistory {
    /// The latest time that the TPM has attested.
    pub highest: Option<HighWater>,
    /// The daemon's last runs that reported, newest last.
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
    /// When the report was received, Unix milliseconds.
    pub seen_ms: u64,
    /// Whether the TPM's time went backwards in this run.
    pub fell: bool,
}

/// The identity and the times of a report with a fresh nonce.
#[derive(Clone, Copy, Debug)]
pub struct TpmSighting<'a> {
    /// The device.
    pub device: DeviceId,
    /// The pairing's epoch, and the TPM's time in the quote.
    pub time: TpmTime,
    /// The evidence that the quote covers.
    pub evidence: &'a Evidence,
    /// The control plane's wall clock, Unix milliseconds.
    pub now_ms: u64,
}

/// The history after a report, and the incidents that the report opens or resolves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryUpdate {
    /// The new history.
    pub history: TpmHistory,
    /// Whether the report follows all earlier ones. Otherwise no later report may build on it.
    pub is_forward: bool,
    /// The sign of an incident in the report.
    pub sign: Option<Sign>,
    /// The open incidents that the report resolves.
    pub resolved: Option<Resolution>,
}

impl TpmHistory {
    /// Returns the history after a report. `was_set_back`: whether a [`IncidentKind::SetBack`] incident is open.
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
            // Two machines explain an earlier apparent rollback, so its incident is resolved.
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

    /// Returns whether the highest known time is ahead of `time`. After a rollback the TPM must pass that time completely:
    /// otherwise it would be admitted as soon as it is within the interval that an unclean stop may cost.
    fn is_ahead_of(&self, time: TpmTime, was_set_back: bool) -> bool {
        self.highest.is_some_and(|highest| {
            if was_set_back { !highest.is_passed_by(time) } else { !highest.admits(time) }
        })
    }

    /// Returns the history of a TPM that proves a new pairing, which ends its earlier runs. `None` if the TPM went back.
    #[must_use]
    pub fn begin(&self, sighting: &TpmSighting<'_>) -> Option<Self> {
        Some(Self { runs: vec![sighting.run()], ..self.raised_to(sighting.time)? })
    }

    /// Returns the history after an attestation at `time`. `None` if an earlier attestation has a later time.
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

/// Returns the sign of a rollback in a verified attestation without a nonce of the control plane: a receipt, or a report for a
/// pairing that has ended. Such a message may arrive late, so an older time alone is no sign; it must contradict `highest`.
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
        // Daemons of earlier versions send only the boot id.
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
    Resolution { kinds: &[IncidentKind::SetBack], how: "the TPM has passed its highest known time" };
const TWO: Resolution = Resolution { kinds: &[IncidentKind::SetBack], how: "the device is in two places" };

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

/// How a report follows the earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Succession {
    /// It is later than all of them.
    Forward,
    /// It is earlier than one of them: the TPM was set back.
    Backward,
    /// Its run continued beside another run: there are two machines.
    Parallel,
}

/// The longest delay to allow between a quote and its arrival, milliseconds: a device may lose its connection after it has
/// made a report.
const DELAY: u64 = 10_000;
/// The part of the elapsed time by which the TPM's clock may lag, as a divisor. A clock that lags more (TPM 2.0 Library,
/// Part 1, 36.3 allows up to a third) makes the report a rollback instead of a parallel run; both are contraindicated.
const DRIFT: u64 = 8;

/// Compares a report with the last ones of the same TPM, newest last. `behind`: whether its time is before the highest known
/// time.
///
/// A report answers the verdict on the report before it. So the TPM's time rises from report to report, and a daemon run ends
/// before another one reports. If an earlier run reports again, either a snapshot restored it with its memory, or it never
/// ended. The TPM's clock distinguishes the two: it stands still while the machine does not run.
pub(super) fn compare(before: &[DaemonRun], behind: bool, now: &DaemonRun) -> Succession {
    let Some((last, left)) = before.split_last() else { return forward_unless(behind) };
    if last.id == now.id {
        return match () {
            () if is_earlier(now, last) => Succession::Backward,
            // It was set back before, and its clock has since advanced more than the elapsed time allows.
            () if last.fell && !has_time_for(last, now) => Succession::Parallel,
            () => forward_unless(behind),
        };
    }
    match left.iter().find(|left| left.id == now.id) {
        Some(left) if !is_earlier(now, left) && ran_on(left, now) => Succession::Parallel,
        Some(_) => Succession::Backward,
        None => forward_unless(behind),
    }
}

fn forward_unless(behind: bool) -> Succession {
    if behind { Succession::Backward } else { Succession::Forward }
}

fn is_earlier(now: &DaemonRun, before: &DaemonRun) -> bool {
    (now.reset_count, now.clock) < (before.reset_count, before.clock)
}

/// Returns whether the TPM's clock ran during the whole time since `before`.
fn ran_on(before: &DaemonRun, now: &DaemonRun) -> bool {
    let elapsed = now.seen_ms.saturating_sub(before.seen_ms);
    let ran = now.clock.saturating_sub(before.clock);
    ran.saturating_add(elapsed / DRIFT).saturating_add(DELAY) >= elapsed
}

/// Returns whether the time since `before` suffices for the advance of the TPM's clock.
fn has_time_for(before: &DaemonRun, now: &DaemonRun) -> bool {
    let elapsed = now.seen_ms.saturating_sub(before.seen_ms);
    let ran = now.clock.saturating_sub(before.clock);
    ran <= elapsed.saturating_add(elapsed / 2).saturating_add(DELAY)
}

#[cfg(test)]
mod tests {
    use pawl_proto::Nonce;

    use super::*;

    /// Returns a run with the TPM's clock and the wall clock in seconds.
    fn run(id: u8, reset_count: u32, clock: u64, seen: u64) -> DaemonRun {
        DaemonRun { id: Nonce([id; 32]), reset_count, clock: clock * 1000, seen_ms: seen * 1000, fell: false }
    }

    #[test]
    fn ordinary_reports_and_reboots_are_no_incident() {
        let before = [run(1, 4, 100, 1000), run(2, 5, 500, 2000)];
        for (what, now) in [
            ("the next report", run(2, 5, 800, 2300)),
            ("a report that arrived late", run(2, 5, 501, 9000)),
            ("the report after a late one", run(2, 5, 9000, 2001)),
            ("a restart of the daemon", run(3, 5, 501, 2001)),
            ("a reboot", run(3, 6, 520, 2020)),
            ("a reboot after a power cut, which cost some of the clock", run(3, 6, 90, 2020)),
            ("another kernel without a reset", run(3, 5, 530, 2030)),
            ("a resume from hibernation", run(2, 6, 510, 90_000)),
            ("the very first report", run(9, 0, 0, 0)),
        ] {
            assert_eq!(compare(&before, false, &now), Succession::Forward, "{what}");
        }
        assert_eq!(compare(&[], false, &run(1, 4, 100, 1000)), Succession::Forward);
    }

    #[test]
    fn a_restored_tpm_state_is_behind_earlier_reports() {
        let before = [run(1, 4, 100, 1000), run(2, 5, 500, 2000)];
        for (what, now) in [
            ("only the TPM's state, before a boot", run(3, 5, 300, 2600)),
            ("a snapshot of the whole machine, in the same run", run(2, 5, 400, 2600)),
            ("a snapshot of an earlier run", run(1, 4, 90, 2600)),
            ("a snapshot of an earlier run that was made after its last report", run(1, 4, 130, 2600)),
        ] {
            assert_eq!(compare(&before, true, &now), Succession::Backward, "{what}");
        }
        let fell = DaemonRun { fell: true, ..run(3, 5, 300, 2600) };
        let on = run(3, 5, 600, 2900);
        assert_eq!(compare(&[before[1].clone(), fell], false, &on), Succession::Forward, "it has caught up");
    }

    #[test]
    fn a_run_that_continued_beside_another_is_in_another_place() {
        let before = [run(1, 4, 100, 1000), run(2, 5, 500, 2000)];
        assert_eq!(compare(&before, true, &run(1, 4, 1150, 2050)), Succession::Parallel);
        // In the other order, the copy is behind.
        let before = [run(2, 5, 500, 2000), run(1, 4, 1150, 2050)];
        assert_eq!(compare(&before, false, &run(2, 5, 800, 2300)), Succession::Parallel);
    }

    #[test]
    fn copies_of_one_run_are_found_by_a_clock_that_leaps() {
        let fell = DaemonRun { fell: true, ..run(2, 5, 400, 2000) };
        assert_eq!(compare(std::slice::from_ref(&fell), false, &run(2, 5, 900, 2050)), Succession::Parallel);
        assert_eq!(compare(&[fell], false, &run(2, 5, 440, 2050)), Succession::Forward);
    }
}
