//! Scratch counters: NV indices with the attributes of the epoch counter, on which the mechanism is tested apart
//! from any pairing.

use std::mem;

use pawl_evidence::tpm::HashAlgorithm;
use tss_esapi::handles::{NvIndexHandle, NvIndexTpmHandle};
use tss_esapi::interface_types::reserved_handles::Provision;

use super::Device;
use super::counter::CounterSlot;
use crate::{CounterTest, Error};

/// How many indices above the epoch counter to try.
const SPARES: u32 = 16;
/// The end of the owner range.
const LAST_OWNER_HANDLE: u32 = 0x01bf_ffff;

impl Device {
    /// Implements [`crate::Tpm::test_counter`]: tests the property that revocation relies on. A counter that is
    /// removed and defined again starts above every value that it ever had (TPM 2.0 Library, part 3,
    /// TPM2_NV_Increment).
    pub(crate) fn test_counter(&mut self) -> Result<CounterTest, Error> {
        let handle = self.spare_index()?;
        let before = self.highest_value_of(handle, 2)?;
        let after = self.highest_value_of(handle, 1)?;
        Ok(CounterTest { handle, before, after })
    }

    /// Defines a counter, increments it `increments` times, reads it and removes it.
    fn highest_value_of(&mut self, handle: u32, increments: u32) -> Result<u64, Error> {
        self.on_scratch(handle, |device| {
            let value = device.count(increments);
            // Remove the counter on failure too. Report the failure of the removal only if all else succeeded.
            let removed = device.deprovision();
            value.and_then(|value| removed.map(|_| value))
        })
    }

    fn count(&mut self, increments: u32) -> Result<u64, Error> {
        let mut counter = self.provision_counter()?;
        for _ in 1..increments {
            self.revoke()?;
            counter = self.provision_counter()?;
        }
        Ok(counter.epoch)
    }

    /// Runs `work` with the scratch counter at this handle in the place of the epoch counter. A wipe cannot come in
    /// between: one job of the queue runs at a time.
    pub(crate) fn on_scratch<T>(
        &mut self,
        handle: u32,
        work: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let epoch = mem::replace(&mut self.counter, CounterSlot::scratch(handle, mark()));
        let outcome = work(self);
        self.forget_counter();
        self.counter = epoch;
        outcome
    }

    /// Returns the first free index above the epoch counter. Removes the scratch counter that an interrupted test
    /// left there.
    pub(crate) fn spare_index(&mut self) -> Result<u32, Error> {
        let first = self.counter.handle.saturating_add(1);
        let last = self.counter.handle.saturating_add(SPARES).min(LAST_OWNER_HANDLE);
        let taken = self.nv_indices(first, last)?;
        for handle in first..=last {
            if !taken.contains(&handle) {
                return Ok(handle);
            }
            let spare = NvIndexTpmHandle::new(handle).map_err(|_| Error::CounterHandle { handle })?;
            if let Some(left_behind) = self.left_behind(spare)? {
                self.remove(left_behind)?;
                return Ok(handle);
            }
        }
        Err(Error::NoSpareIndex { first, last })
    }

    /// Returns the index if an earlier test left it, which its authPolicy shows. Foreign indices are never touched.
    fn left_behind(&self, handle: NvIndexTpmHandle) -> Result<Option<NvIndexHandle>, Error> {
        let Some((index, public)) = self.find_index(handle)? else { return Ok(None) };
        if public.authorization_policy().as_bytes() == mark().as_slice() {
            return Ok(Some(index));
        }
        self.close(index);
        Ok(None)
    }

    fn remove(&self, index: NvIndexHandle) -> Result<(), Error> {
        self.as_owner(|bus, sessions| {
            bus.run("TPM2_NV_UndefineSpace", sessions, |context| {
                context.nv_undefine_space(Provision::Owner, index)
            })
        })
    }
}

/// Returns the authPolicy of scratch counters.
fn mark() -> [u8; 32] {
    let digest = HashAlgorithm::Sha256.digest(&[b"pawl counter self-test"]);
    let mut mark = [0; 32];
    mark.copy_from_slice(digest.as_bytes());
    mark
}
