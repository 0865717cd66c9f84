use pawl_evidence::appraise::Uncovered;
use pawl_proto::DeviceId;
use pawl_verifier::{BootState, CoverageError};

use crate::store::{StoreError, Tx};

/// Checks that a boot state covers the kernel and the command line of the device that reported it.
pub(crate) fn check_coverage(
    tx: &Tx<'_>,
    device: DeviceId,
    state: &BootState,
) -> Result<Result<(), Uncovered>, StoreError> {
    let Some(evidence) = tx.sample(device)? else { return Ok(Ok(())) };
    let log = tx.sample_log(device)?;
    match pawl_verifier::check_coverage(state, &evidence, log.as_deref()) {
        Ok(()) => Ok(Ok(())),
        Err(CoverageError::Uncovered(uncovered)) => Ok(Err(uncovered)),
        Err(CoverageError::Damaged(_)) => Err(StoreError::Malformed("sample")),
    }
}
