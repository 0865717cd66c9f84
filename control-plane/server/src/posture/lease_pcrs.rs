use std::collections::BTreeSet;

use pawl_evidence::appraise::{BootCoverage, Uncovered};
use pawl_evidence::tpm::{PcrSelection, PcrValues};
use pawl_proto::{DeviceId, PcrBank};

use super::quoted::{bank, bank_hash, pcr_values};
use crate::config::LeaseConfig;
use crate::store::{BootState, Pairing, StoreError, Tx};

/// The PCRs that the leases of one device name: those of the configuration, and those in which its boot chain
/// measures kernel and command line where the configuration has none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeasePcrs {
    all: Vec<u8>,
    /// Their bank: that of the device's quotes.
    bank: PcrBank,
    /// Those that its boot chain needs beside the configuration's.
    added: BTreeSet<u8>,
}

impl LeasePcrs {
    /// Reads them out of the device's boot log. What an earlier report of the same pairing has shown to be needed
    /// stays: a later log may leave it out.
    pub(crate) fn of(
        config: &LeaseConfig,
        pairing: Option<&Pairing>,
        boot_log: Option<&[u8]>,
        measure_log: Option<&[u8]>,
        quoted: &PcrValues,
    ) -> Self {
        let base = pairing.and_then(|pairing| pairing.base.as_ref());
        let mut added = base.map(|base| base.lease_pcrs_added.clone()).unwrap_or_default();
        let configured: BTreeSet<u8> = config.pcrs.iter().copied().collect();
        let coverage = boot_log.and_then(|log| BootCoverage::of_log(log, measure_log, quoted).ok());
        added.extend(coverage.map(|coverage| coverage.missing_from(&configured)).unwrap_or_default());
        Self::new(config, added, bank(quoted).unwrap_or_default())
    }

    /// Those of a pairing, as its last report has shown them.
    pub(crate) fn of_pairing(config: &LeaseConfig, pairing: &Pairing) -> Self {
        let base = pairing.base.as_ref();
        let bank = base.and_then(|base| PcrBank::of(&base.pcrs)).unwrap_or_default();
        Self::new(config, base.map(|base| base.lease_pcrs_added.clone()).unwrap_or_default(), bank)
    }

    fn new(config: &LeaseConfig, added: BTreeSet<u8>, bank: PcrBank) -> Self {
        let all: BTreeSet<u8> = config.pcrs.iter().chain(&added).copied().collect();
        Self { all: all.into_iter().collect(), bank, added }
    }

    /// In order.
    pub(crate) fn indices(&self) -> &[u8] {
        &self.all
    }

    /// Their bank.
    pub(crate) fn bank(&self) -> PcrBank {
        self.bank
    }

    /// Those that the configuration does not have.
    pub(crate) fn added(&self) -> &BTreeSet<u8> {
        &self.added
    }

    /// As a TPM is given them. Configuration and event logs have PCRs 0 to 23 alone.
    pub(crate) fn selection(&self) -> PcrSelection {
        PcrSelection::new(bank_hash(self.bank), self.all.iter().copied())
            .unwrap_or_else(|_| PcrSelection::lease_default())
    }

    /// Their values; none when one of them is missing.
    pub(crate) fn state(&self, pcrs: &BootState) -> Option<BootState> {
        self.all.iter().map(|index| Some((*index, *pcrs.get(index)?))).collect()
    }
}

/// Checks that a boot state covers the kernel and the command line of the device that reported it. A device without a
/// boot log is compared with exact values, and is a warning at best.
pub(crate) fn check_coverage(
    tx: &Tx<'_>,
    device: DeviceId,
    state: &BootState,
) -> Result<Result<(), Uncovered>, StoreError> {
    let (Some(log), Some(sample)) = (tx.sample_log(device)?, tx.sample(device)?) else { return Ok(Ok(())) };
    let quoted = pcr_values(sample.pcrs()).map_err(|_| StoreError::Malformed("sample"))?;
    let Ok(coverage) = BootCoverage::of_log(&log, sample.measure_log(), &quoted) else { return Ok(Ok(())) };
    Ok(coverage.check(&state.keys().copied().collect()))
}
