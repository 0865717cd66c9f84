//! Lists PCR banks, reads PCRs (TPM2_PCR_Read) and the TPM's clock (TPM2_ReadClock).

use pawl_evidence::tpm::{HashAlgorithm, PcrSelection, PcrValues, TaggedDigest};
use tss_esapi::constants::CapabilityType;
use tss_esapi::structures::{CapabilityData, DigestList, PcrSelectionList};

use super::{Device, wire};
use crate::bus::NO_SESSION;
use crate::{Clock, Error};

const DOING: &str = "TPM2_PCR_Read";
/// One command returns eight PCRs, so reading all of them takes a few milliseconds. Nothing extends PCRs during
/// this many attempts in a row.
const ATTEMPTS: u32 = 16;

impl Device {
    /// Returns the hash algorithms of the active banks, as far as Pawl supports them. An inactive bank has no
    /// PCRs.
    pub(crate) fn pcr_banks(&mut self) -> Result<Vec<HashAlgorithm>, Error> {
        const LISTING: &str = "TPM2_GetCapability";
        const MOST: u32 = 16;
        let (listed, _) = self.bus.run(LISTING, NO_SESSION, |context| {
            context.get_capability(CapabilityType::AssignedPcr, 0, MOST)
        })?;
        let CapabilityData::AssignedPcr(banks) = listed else {
            return Err(Error::Answer { doing: LISTING, reason: "no PCR banks".into() });
        };
        let active = banks.get_selections().iter().filter(|bank| !bank.is_empty());
        Ok(active.filter_map(|bank| HashAlgorithm::from_id(bank.hashing_algorithm().into())).collect())
    }

    /// Implements [`crate::Tpm::pcr_bank`].
    pub(crate) fn pcr_bank(&mut self) -> Result<HashAlgorithm, Error> {
        let banks = self.pcr_banks()?;
        let usable = [HashAlgorithm::Sha256, HashAlgorithm::Sha384];
        usable.into_iter().find(|bank| banks.contains(bank)).ok_or(Error::Banks { active: banks })
    }

    /// Implements [`crate::Tpm::read_pcrs`].
    pub(crate) fn read_pcrs(&mut self, selection: &PcrSelection) -> Result<PcrValues, Error> {
        let selection = wire::selection(selection)?;
        for _ in 0..ATTEMPTS {
            if let Some(values) = self.read_pcrs_once(selection.clone())? {
                return Ok(values);
            }
        }
        Err(Error::Pcrs("they kept changing"))
    }

    /// Returns `None` if a PCR was extended between two commands.
    fn read_pcrs_once(&self, mut wanted: PcrSelectionList) -> Result<Option<PcrValues>, Error> {
        let mut values = PcrValues::default();
        let mut moment = None;
        while !wanted.is_empty() {
            let (counter, read, digests) =
                self.bus.run(DOING, NO_SESSION, |context| context.pcr_read(wanted.clone()))?;
            if *moment.get_or_insert(counter) != counter {
                return Ok(None);
            }
            if digests.is_empty() {
                return Err(Error::Pcrs("the TPM does not keep a bank or a PCR that was asked for"));
            }
            collect(&mut values, &read, &digests)?;
            wanted.subtract(&read).map_err(|error| wire::unreadable(DOING, &error))?;
        }
        Ok(Some(values))
    }
}

/// Adds the digests of one answer, which stand in the order of the banks and of the PCRs in each bank.
fn collect(values: &mut PcrValues, read: &PcrSelectionList, digests: &DigestList) -> Result<(), Error> {
    let unexpected =
        || Error::Answer { doing: DOING, reason: "digests that do not match their selection".into() };
    let mut digests = digests.value().iter();
    for bank in read.get_selections() {
        let algorithm = HashAlgorithm::from_id(bank.hashing_algorithm().into()).ok_or_else(unexpected)?;
        for slot in bank.selected() {
            let digest = digests
                .next()
                .and_then(|digest| TaggedDigest::new(algorithm, digest))
                .ok_or_else(unexpected)?;
            // A slot is a single bit of the selection.
            let index = u32::from(slot).trailing_zeros();
            let index = u8::try_from(index).map_err(|_| unexpected())?;
            values.insert(index, digest).map_err(|_| unexpected())?;
        }
    }
    if digests.next().is_some() { Err(unexpected()) } else { Ok(()) }
}

impl Device {
    /// Implements [`crate::Tpm::clock`].
    pub(crate) fn clock(&mut self) -> Result<Clock, Error> {
        let time = self.bus.run("TPM2_ReadClock", NO_SESSION, tss_esapi::Context::read_clock)?;
        let info = time.clock_info();
        Ok(Clock {
            clock_ms: info.clock(),
            reset_count: info.reset_count(),
            restart_count: info.restart_count(),
            safe: info.safe(),
        })
    }
}
