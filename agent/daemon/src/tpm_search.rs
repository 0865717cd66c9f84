//! Opens the TPM of this device, and waits for it where its driver comes later than the daemon.
//!
//! The unit counts as started meanwhile, so that a boot does not hang on a TPM that never comes, and
//! callers are told that there is none yet. A daemon that ended instead would be started again and
//! again, with a failure in the log each time.

use std::time::Duration;

use pawl_config::Config;
use pawl_proto::local::Problem;
use pawl_tpm::{Error, Options, Tpm};
use tokio::net::UnixListener;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::api::Refusals;
use crate::store::{Store, Unfinished};
use crate::{problem, service};

/// How often the TPM is looked for. Also how often the watchdog hears of it.
const PERIOD: Duration = Duration::from_millis(500);

/// How long another TPM than the paired one is not enough. After that the daemon starts on it, and
/// reports that the disk was moved.
const GRACE: Duration = Duration::from_secs(30);

/// Opens the TPM that `options` name.
///
/// # Errors
/// What the TPM answers, and [`Error::Unreachable`] where nothing can bring it later.
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
                    tracing::info!(tpm = %tpm.tcti(), "the TPM is there");
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
        service::alive();
        tokio::select! {
            () = refusals.answer(listener, &problem) => {}
            () = sleep(PERIOD) => {}
        }
    }
}

fn report(problem: &Problem) {
    tracing::warn!("waiting for the TPM: {}", problem.reason);
    service::ready();
    service::status(&format!("waiting for the TPM: {}", problem.reason));
}

/// The name of the attestation key of the TPM that this device was paired with, where one of several
/// TPMs is to be found. A pairing that was approved and cut short names it as well.
pub(crate) fn paired_with(config: &Config, store: &Store) -> Option<Vec<u8>> {
    if config.tpm.tcti != "auto" {
        return None;
    }
    if let Unfinished::Approved { approved, .. } = store.unfinished() {
        return Some(approved.attestation_name.into_vec());
    }
    // A record that cannot be read is reported when the daemon starts.
    let record = store.pairing().ok().flatten()?;
    Some(record.attestation_name.into_vec())
}
