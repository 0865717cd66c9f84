//! Tests the property that revocation relies on: a counter that is removed and defined again starts above every
//! value that it ever had (TPM 2.0 Library, part 3, TPM2_NV_Increment).

use pawl_evidence::tpm::HashAlgorithm;
use tss_esapi::attributes::NvIndexAttributesBuilder;
use tss_esapi::constants::NvIndexType;
use tss_esapi::handles::{NvIndexHandle, NvIndexTpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::reserved_handles::{NvAuth, Provision};
use tss_esapi::structures::{Digest, NvPublic};

use super::Device;
use super::wire::unreadable;
use crate::bus::EMPTY_AUTH;
use crate::{CounterTest, Error};

/// How many indices above the epoch counter to try.
const SPARES: u32 = 16;
/// The end of the owner range.
const LAST_OWNER_HANDLE: u32 = 0x01bf_ffff;
const SIZE: u16 = 8;

impl Device {
    /// Implements [`crate::Tpm::test_counter`].
    pub(crate) fn test_counter(&mut self) -> Result<CounterTest, Error> {
        let (handle, spare) = self.spare_index()?;
        let before = self.highest_value_of(spare, 2)?;
        let after = self.highest_value_of(spare, 1)?;
        Ok(CounterTest { handle, before, after })
    }

    /// Defines a counter, increments it `increments` times, reads it and removes it.
    fn highest_value_of(&self, handle: NvIndexTpmHandle, increments: u32) -> Result<u64, Error> {
        let public = test_public(handle).map_err(|error| unreadable("TPM2_NV_DefineSpace", &error))?;
        let index = self.as_owner(|bus, sessions| {
            bus.run("TPM2_NV_DefineSpace", sessions, |context| {
                context.nv_define_space(Provision::Owner, None, public.clone())
            })
        })?;
        let value = self.count(index, increments);
        // Remove the counter on failure too. Report the failure of the removal only if all else succeeded.
        let removed = self.remove(index);
        value.and_then(|value| removed.map(|()| value))
    }

    fn count(&self, index: NvIndexHandle, increments: u32) -> Result<u64, Error> {
        for _ in 0..increments {
            self.bus.run("TPM2_NV_Increment", EMPTY_AUTH, |context| {
                context.nv_increment(NvAuth::NvIndex(index), index)
            })?;
        }
        let doing = "TPM2_NV_Read";
        let value = self
            .bus
            .run(doing, EMPTY_AUTH, |context| context.nv_read(NvAuth::NvIndex(index), index, SIZE, 0))?;
        <[u8; 8]>::try_from(value.as_bytes())
            .map(u64::from_be_bytes)
            .map_err(|_| Error::Answer { doing, reason: "not eight bytes".into() })
    }

    fn remove(&self, index: NvIndexHandle) -> Result<(), Error> {
        self.as_owner(|bus, sessions| {
            bus.run("TPM2_NV_UndefineSpace", sessions, |context| {
                context.nv_undefine_space(Provision::Owner, index)
            })
        })
    }

    /// Returns the first free index above the epoch counter. Removes the index that an interrupted test left
    /// there.
    fn spare_index(&self) -> Result<(u32, NvIndexTpmHandle), Error> {
        let first = self.counter_handle.saturating_add(1);
        let last = self.counter_handle.saturating_add(SPARES).min(LAST_OWNER_HANDLE);
        let taken = self.nv_indices(first, last)?;
        for handle in first..=last {
            let spare = NvIndexTpmHandle::new(handle).map_err(|_| Error::CounterHandle { handle })?;
            if !taken.contains(&handle) {
                return Ok((handle, spare));
            }
            if let Some(left_behind) = self.left_behind(spare)? {
                self.remove(left_behind)?;
                return Ok((handle, spare));
            }
        }
        Err(Error::NoSpareIndex { first, last })
    }

    /// Returns the index if an earlier run of this test left it, which the digest in its authPolicy shows.
    /// Foreign indices are never touched.
    fn left_behind(&self, handle: NvIndexTpmHandle) -> Result<Option<NvIndexHandle>, Error> {
        let Some((index, public)) = self.find_index(handle)? else { return Ok(None) };
        if public.authorization_policy().as_bytes() == mark().as_slice() {
            return Ok(Some(index));
        }
        self.close(index);
        Ok(None)
    }
}

/// Returns the test index's public area: the epoch counter's attributes, and a policy digest that marks the
/// index as this test's. No attribute allows that policy to be used.
fn test_public(handle: NvIndexTpmHandle) -> tss_esapi::Result<NvPublic> {
    let attributes = NvIndexAttributesBuilder::new()
        .with_nv_index_type(NvIndexType::Counter)
        .with_auth_read(true)
        .with_auth_write(true)
        .with_no_da(true)
        .build()?;
    NvPublic::builder()
        .with_nv_index(handle)
        .with_index_name_algorithm(HashingAlgorithm::Sha256)
        .with_index_attributes(attributes)
        .with_index_auth_policy(Digest::from_bytes(&mark())?)
        .with_data_area_size(SIZE.into())
        .build()
}

fn mark() -> Vec<u8> {
    HashAlgorithm::Sha256.digest(&[b"pawl counter self-test"]).as_bytes().to_vec()
}
