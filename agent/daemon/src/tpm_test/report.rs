//! The report of a test of the TPM.

use pawl_evidence::tpm::HashAlgorithm;
use pawl_local_api::{TpmCheck, TpmCheckResult, TpmReport};
use pawl_tpm::Properties;
use tokio::time::Instant;

/// The name of a check, and what Pawl needs it for.
#[derive(Clone, Copy)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) needed_for: &'static str,
}

/// The results of the checks.
#[derive(Default)]
pub(super) struct Checks(Vec<TpmCheck>);

impl Checks {
    /// Runs a check, and stores its result and duration. `work` returns a value for later checks and a detail for people, or what
    /// is wrong. Returns that value; none if the check failed.
    pub(super) async fn run<T>(
        &mut self,
        check: Check,
        work: impl Future<Output = Result<(T, String), String>>,
    ) -> Option<T> {
        let since = Instant::now();
        let outcome = work.await;
        let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (result, detail, found) = match outcome {
            Ok((found, detail)) => (TpmCheckResult::Ok, detail, Some(found)),
            Err(error) => (TpmCheckResult::Failed, error, None),
        };
        self.add(check, result, detail, micros);
        found
    }

    pub(super) fn skip(&mut self, check: Check, why: &str) {
        self.add(check, TpmCheckResult::Skipped, why.to_owned(), 0);
    }

    fn add(&mut self, check: Check, result: TpmCheckResult, detail: String, micros: u64) {
        self.0.push(TpmCheck {
            check: check.name.to_owned(),
            result,
            detail,
            needed_for: check.needed_for.to_owned(),
            micros,
        });
    }
}

pub(super) fn assemble(
    properties: Properties,
    banks: &[HashAlgorithm],
    index: u32,
    writes: u32,
    Checks(checks): Checks,
) -> TpmReport {
    let (major, minor) = properties.firmware;
    TpmReport {
        manufacturer: properties.manufacturer,
        model: properties.model,
        firmware: format!("{major:08x}.{minor:08x}"),
        specification: format!("{}.{:02}", properties.revision / 100, properties.revision % 100),
        banks: banks.iter().map(ToString::to_string).collect(),
        counters_available: properties.counters_available,
        clock_update_ms: properties.clock_update_ms,
        nv_write_recovery_ms: properties.nv_write_recovery_ms,
        index,
        writes,
        checks,
    }
}
