use pawl_evidence::tpm::ClockInfo;
use pawl_proto::message::Evidence;
use pawl_proto::{DeviceId, Digest, Epoch, Nonce};

use super::course::{Course, compare};
use super::note;
use crate::store::{HighWater, IncidentKind, Run, StoreError, Tx};

/// So many runs of a TPM are remembered.
const RUNS: usize = 8;

/// Who has just reported on a fresh nonce, and when.
pub(crate) struct Now<'a> {
    pub(crate) device: DeviceId,
    /// The name of the attestation key that signed.
    pub(crate) ak_name: &'a [u8],
    /// The pairing's epoch.
    pub(crate) epoch: Epoch,
    /// The TPM's time in the quote.
    pub(crate) clock: ClockInfo,
    /// What the quote covers.
    pub(crate) evidence: &'a Evidence,
    /// The wall clock here, Unix milliseconds.
    pub(crate) now_ms: u64,
}

impl Now<'_> {
    fn mark(&self) -> HighWater {
        HighWater { epoch: self.epoch, reset_count: self.clock.reset_count, clock: self.clock.clock_ms }
    }

    fn run(&self) -> Run {
        // Daemons of earlier versions tell the boot alone.
        let boot = || Nonce(Digest::of(self.evidence.boot_id.as_str().as_bytes()).0);
        Run {
            id: self.evidence.run.unwrap_or_else(boot),
            reset_count: self.clock.reset_count,
            clock: self.clock.clock_ms,
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
    let highest = tx.high_water(now.ak_name)?;
    let mut runs = tx.runs(now.ak_name)?;
    let behind = highest.filter(|highest| now.mark() < *highest);
    let run = now.run();
    let course = compare(&runs, behind.is_some(), &run);
    let seconds = now.now_ms / 1000;
    match course {
        Course::Onward => {
            tx.raise_high_water(now.ak_name, now.mark())?;
            tx.settle_incidents(now.device, &[IncidentKind::SetBack], CAUGHT_UP, seconds)?;
        }
        Course::Back => {
            let before = highest.unwrap_or(now.mark());
            note(tx, now.device, IncidentKind::SetBack, None, &set_back(before, &run), seconds)?;
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
    tx.set_runs(now.ak_name, runs.get(excess..).unwrap_or_default())?;
    Ok(course == Course::Onward)
}

/// A pairing begins: what ran in earlier epochs is over.
///
/// # Errors
/// [`StoreError`]
pub(crate) fn begin(tx: &Tx<'_>, now: &Now<'_>) -> Result<(), StoreError> {
    tx.set_runs(now.ak_name, &[now.run()])
}

const CAUGHT_UP: &str = "the TPM has come past where it was";
const TWO: &str = "it is in two places";

fn set_back(before: HighWater, now: &Run) -> String {
    format!(
        "the TPM went back in time, from reset {}, clock {} ms to reset {}, clock {} ms",
        before.reset_count, before.clock, now.reset_count, now.clock
    )
}

fn two_places(runs: &[Run], now: &Run) -> String {
    let other = runs.iter().rfind(|run| run.id != now.id);
    let other = other.map_or(String::new(), |run| {
        format!(", another at reset {}, clock {} ms", run.reset_count, run.clock)
    });
    format!("one reports at reset {}, clock {} ms{other}", now.reset_count, now.clock)
}
