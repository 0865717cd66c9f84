//! Opens the TPM of this device, and waits for it if its driver loads later than the daemon.
//!
//! Meanwhile the unit counts as started, so that a boot does not hang on a TPM that never appears, and callers of the local API get
//! the problem `no-tpm`. If the daemon ended instead, systemd would restart it repeatedly, with a failure in the log each time.

use std::time::Duration;

use pawl_config::Config;
use pawl_local_api::Problem;
use pawl_tpm::{Error, Options, Tpm};
use tokio::net::UnixListener;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::api::Refusals;
use crate::record::Unfinished;
use crate::store::Store;
use crate::{problem, systemd};

/// Interval between attempts. Each attempt also notifies the watchdog.
const PERIOD: Duration = Duration::from_millis(500);

/// How long the daemon waits for the paired TPM if it finds only another one. After that it starts with the other one, and reports
/// that the disk was moved.
const GRACE: Duration = Duration::from_secs(30);

/// Opens the TPM that `options` names.
///
/// # Errors
/// The TPM's error. [`Error::Unreachable`] and [`Error::OtherTpm`] are returned only for a TPM that does not appear later.
pub(crate) async fn open(options: Options, listener: &UnixListener) -> Result<Tpm, Error> {
    let started = Instant::now();
    let refusals = Refusals::new();
    let mut reported = None;
    loop {
        let mut options = options.clone();
        if started.elapsed() >= GRACE {
            options.attestation_name = None;
        }
        let may_come_late = options.tcti.may_come_late();
        let error = match spawn_blocking(|| Tpm::start(options)).await.unwrap_or(Err(Error::Stopped)) {
            Ok(tpm) => {
                if reported.is_some() {
                    tracing::info!(tpm = %tpm.tcti(), "found the TPM");
                }
                return Ok(tpm);
            }
            Err(error @ (Error::Unreachable { .. } | Error::OtherTpm { .. })) if may_come_late => error,
            Err(error) => return Err(error),
        };
        let problem = problem::no_tpm(&error);
        if reported.as_ref() != Some(&problem.reason) {
            report(&problem);
            reported = Some(problem.reason.clone());
        }
        systemd::notify_watchdog();
        tokio::select! {
            () = refusals.answer(listener, &problem) => {}
            () = sleep(PERIOD) => {}
        }
    }
}

fn report(problem: &Problem) {
    tracing::warn!("waiting for the TPM: {}", problem.reason);
    systemd::notify_ready();
    systemd::show_status(&format!("waiting for the TPM: {}", problem.reason));
}

/// Returns the name of the attestation key of the TPM that this device was paired with, to choose among several TPMs; none if the
/// configuration names the TPM. An approval whose pairing is not complete takes precedence over the pairing on the disk.
pub(crate) fn paired_with(config: &Config, store: &Store) -> Option<Vec<u8>> {
    if config.tpm.tcti != "auto" {
        return None;
    }
    if let Unfinished::Approved { approved, .. } = store.unfinished() {
        return Some(approved.attestation_name.into_vec());
    }
    // The daemon reports an unreadable record at its start.
    let record = store.pairing().ok().flatten()?;
    Some(record.attestation_name.into_vec())
}
