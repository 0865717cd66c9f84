use pawl_evidence::appraise::{HighWater, TpmTime};
use pawl_proto::message::Evidence;
use pawl_proto::{DeviceId, Digest, Nonce};

use super::course::{Course, compare};
use super::note;
use crate::store::{IncidentKind, Run, StoreError, Tx};

/// So many runs of a TPM are remembered.
const RUNS: usize = 8;

/// Who has just reported on a fresh nonce, and when.
pub(crate) struct Now<'a> {
    pub(crate) device: DeviceId,
    /// The pairing's epoch, and the TPM's time in the quote.
    pub(crate) time: TpmTime,
    /// What the quote covers.
    pub(crate) evidence: &'a Evidence,
    /// The wall clock here, Unix milliseconds.
    pub(crate) now_ms: u64,
}

impl Now<'_> {
    fn run(&self) -> Run {
        // Daemons of earlier versions tell the boot alone.
        let boot = || Nonce(Digest::of(self.evidence.boot_id.as_str().as_bytes()).0);
        Run {
            id: self.evidence.run.unwrap_or_else(boot),
            reset_count: self.time.reset_count,
            clock: self.time.clock_ms,
            seen_ms: self.now_ms,
            fell: false,
        }
    }
}

/// Follows a TPM by one report: remembers how far it has come, and notes what is wrong with that. True
/// where nothing is; otherwise no later report may build on this one.
///
/// # Errors
/// [`StoreError`]
pub(crate) fn follow(tx: &Tx<'_>, now: &Now<'_>) -> Result<bool, StoreError> {
    let highest = tx.high_water(now.device)?;
    let mut runs = tx.runs(now.device)?;
    let behind = is_behind(tx, now, highest)?;
    let run = now.run();
    let course = compare(&runs, behind, &run);
    let seconds = now.now_ms / 1000;
    match course {
        Course::Onward => {
            let mark = highest.map_or(HighWater::first(now.time), |highest| highest.raised_to(now.time));
            tx.raise_high_water(now.device, mark)?;
            tx.settle_incidents(now.device, &[IncidentKind::SetBack], CAUGHT_UP, seconds)?;
        }
        Course::Back => {
            let detail = set_back(highest.unwrap_or(HighWater::first(now.time)), &run);
            note(tx, now.device, IncidentKind::SetBack, None, &detail, seconds)?;
        }
        Course::Beside => {
            note(tx, now.device, IncidentKind::TwoPlaces, None, &two_places(&runs, &run), seconds)?;
            // What looked like one was the other place.
            tx.settle_incidents(now.device, &[IncidentKind::SetBack], TWO, seconds)?;
        }
    }
    let fell = runs.iter().any(|before| before.id == run.id && before.fell);
    runs.retain(|before| before.id != run.id);
    runs.push(Run { fell: course == Course::Back || fell && course == Course::Onward, ..run });
    let excess = runs.len().saturating_sub(RUNS);
    tx.set_runs(now.device, runs.get(excess..).unwrap_or_default())?;
    Ok(course == Course::Onward)
}

/// Returns whether the TPM is before what was seen of it. After a rollback it is until it has come past all of that;
/// else it would be admitted again within the interval that an unclean stop may cost.
fn is_behind(tx: &Tx<'_>, now: &Now<'_>, highest: Option<HighWater>) -> Result<bool, StoreError> {
    let Some(highest) = highest else { return Ok(false) };
    let open = tx.open_incidents(now.device)?;
    let was_set_back = open.iter().any(|incident| incident.kind == IncidentKind::SetBack);
    Ok(if was_set_back { !highest.is_passed_by(now.time) } else { !highest.admits(now.time) })
}

/// Opens an incident if a verified attestation on no nonce of ours contradicts what was seen of the TPM: a receipt, or
/// a report for a pairing that has ended. Such a message may be late, so one that is merely older is none.
///
/// # Errors
/// [`StoreError`]
pub(crate) fn check_history(
    tx: &Tx<'_>,
    device: DeviceId,
    time: TpmTime,
    seconds: u64,
) -> Result<(), StoreError> {
    let highest = tx.high_water(device)?;
    let Some(highest) = highest.filter(|highest| highest.is_contradicted_by(time)) else { return Ok(()) };
    let detail = format!(
        "the TPM went back in time, from epoch {}, reset {}, clock {} ms to epoch {}, reset {}, clock {} ms",
        highest.epoch, highest.reset_count, highest.clock_max_ms, time.epoch, time.reset_count, time.clock_ms
    );
    note(tx, device, IncidentKind::SetBack, None, &detail, seconds)
}

/// A pairing begins: what ran in earlier epochs is over.
///
/// # Errors
/// [`StoreError`]
pub(crate) fn begin(tx: &Tx<'_>, now: &Now<'_>) -> Result<(), StoreError> {
    tx.set_runs(now.device, &[now.run()])
}

const CAUGHT_UP: &str = "the TPM has come past where it was";
const TWO: &str = "it is in two places";

fn set_back(before: HighWater, now: &Run) -> String {
    format!(
        "the TPM went back in time, from reset {}, clock {} ms to reset {}, clock {} ms",
        before.reset_count, before.clock_max_ms, now.reset_count, now.clock
    )
}

fn two_places(runs: &[Run], now: &Run) -> String {
    let other = runs.iter().rfind(|run| run.id != now.id);
    let other = other.map_or(String::new(), |run| {
        format!(", another at reset {}, clock {} ms", run.reset_count, run.clock)
    });
    format!("one reports at reset {}, clock {} ms{other}", now.reset_count, now.clock)
}
