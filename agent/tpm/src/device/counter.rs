//! The epoch counter: Pawl's only NV index.

use pawl_evidence::tpm::NvPublic;
use tss_esapi::attributes::NvIndexAttributesBuilder;
use tss_esapi::constants::NvIndexType;
use tss_esapi::handles::{NvIndexHandle, NvIndexTpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::reserved_handles::{NvAuth, Provision};
use tss_esapi::structures as tss;

use super::Device;
use super::wire::unreadable;
use crate::bus::EMPTY_AUTH;
use crate::{Class, Counter, Error};

const SIZE: u16 = 8;

impl Device {
    /// Implements [`crate::Tpm::counter`].
    pub(crate) fn counter(&mut self) -> Result<Option<Counter>, Error> {
        match self.find_counter()? {
            Some((index, true)) => self.read_counter(index).map(Some),
            _ => Ok(None),
        }
    }

    /// Implements [`crate::Tpm::provision_counter`].
    pub(crate) fn provision_counter(&mut self) -> Result<Counter, Error> {
        let (index, written) = match self.find_counter()? {
            Some(found) => found,
            None => (self.define_counter()?, false),
        };
        if !written {
            self.increment(index)?;
        }
        self.read_counter(index)
    }

    /// Implements [`crate::Tpm::revoke`].
    pub(crate) fn revoke(&mut self) -> Result<(), Error> {
        let index = self.counter_index()?;
        self.increment(index).map_err(|error| {
            if error.class() == Some(Class::Handle) {
                self.counter = None;
                return Error::CounterAbsent { handle: self.counter_handle };
            }
            error
        })
    }

    /// Implements [`crate::Tpm::deprovision`].
    pub(crate) fn deprovision(&mut self) -> Result<bool, Error> {
        let Some((index, _)) = self.find_counter()? else { return Ok(false) };
        self.as_owner(|bus, sessions| {
            bus.run("TPM2_NV_UndefineSpace", sessions, |context| {
                context.nv_undefine_space(Provision::Owner, index)
            })
        })?;
        // TPM2_NV_UndefineSpace made ESYS close the handle.
        self.counter = None;
        Ok(true)
    }

    /// Returns the counter's ESYS handle; asks the TPM only if the counter was not found before.
    pub(super) fn counter_index(&mut self) -> Result<NvIndexHandle, Error> {
        if let Some(index) = self.counter {
            return Ok(index);
        }
        let (index, _) = self.find_counter()?.ok_or(Error::CounterAbsent { handle: self.counter_handle })?;
        Ok(index)
    }

    /// Finds the counter and returns whether it was ever incremented. Remembers the index only if its public
    /// area is ours, so that no foreign index is ever written to.
    pub(super) fn find_counter(&mut self) -> Result<Option<(NvIndexHandle, bool)>, Error> {
        let handle = self.counter_handle;
        // ESYS caches attributes; another program may have defined the index anew since.
        self.forget_counter();
        let Some((index, public)) = self.find_index(tpm_handle(handle)?)? else { return Ok(None) };
        let attributes =
            u32::try_from(public.attributes()).map_err(|error| unreadable("TPM2_NV_ReadPublic", &error))?;
        let sound = public.name_algorithm() == HashingAlgorithm::Sha256
            && public.authorization_policy().is_empty()
            && public.data_size() == usize::from(SIZE);
        let written = attributes == NvPublic::epoch_counter(handle).attributes();
        if sound && (written || attributes | WRITTEN == NvPublic::epoch_counter(handle).attributes()) {
            self.counter = Some(index);
            return Ok(Some((index, written)));
        }
        self.close(index);
        Err(Error::CounterTaken { handle, attributes })
    }

    fn define_counter(&mut self) -> Result<NvIndexHandle, Error> {
        let handle = tpm_handle(self.counter_handle)?;
        let public = counter_public(handle).map_err(|error| unreadable("TPM2_NV_DefineSpace", &error))?;
        let index = self.as_owner(|bus, sessions| {
            bus.run("TPM2_NV_DefineSpace", sessions, |context| {
                context.nv_define_space(Provision::Owner, None, public.clone())
            })
        })?;
        self.counter = Some(index);
        Ok(index)
    }

    fn increment(&self, index: NvIndexHandle) -> Result<(), Error> {
        self.bus.run("TPM2_NV_Increment", EMPTY_AUTH, |context| {
            context.nv_increment(NvAuth::NvIndex(index), index)
        })
    }

    fn read_counter(&self, index: NvIndexHandle) -> Result<Counter, Error> {
        let doing = "TPM2_NV_Read";
        let value = self
            .bus
            .run(doing, EMPTY_AUTH, |context| context.nv_read(NvAuth::NvIndex(index), index, SIZE, 0))
            // The public area does not show whether an index has an authorization value.
            .map_err(|error| {
                error.if_unauthorized(|_| Error::CounterTaken {
                    handle: self.counter_handle,
                    attributes: NvPublic::epoch_counter(self.counter_handle).attributes(),
                })
            })?;
        let value = <[u8; 8]>::try_from(value.as_bytes())
            .map_err(|_| Error::Answer { doing, reason: "not eight bytes".into() })?;
        // `find_counter` compared every field of the public area, so this value equals the TPM's.
        let public = NvPublic::epoch_counter(self.counter_handle);
        Ok(Counter {
            epoch: u64::from_be_bytes(value),
            public: public.as_bytes().to_vec(),
            name: public.name().as_bytes().to_vec(),
        })
    }

    fn forget_counter(&mut self) {
        if let Some(index) = self.counter.take() {
            self.close(index);
        }
    }
}

/// TPMA_NV_WRITTEN.
const WRITTEN: u32 = 1 << 29;

fn tpm_handle(handle: u32) -> Result<NvIndexTpmHandle, Error> {
    NvIndexTpmHandle::new(handle).map_err(|_| Error::CounterHandle { handle })
}

fn counter_public(handle: NvIndexTpmHandle) -> tss_esapi::Result<tss::NvPublic> {
    let attributes = NvIndexAttributesBuilder::new()
        .with_nv_index_type(NvIndexType::Counter)
        .with_auth_read(true)
        .with_auth_write(true)
        .with_no_da(true)
        .build()?;
    tss::NvPublic::builder()
        .with_nv_index(handle)
        .with_index_name_algorithm(HashingAlgorithm::Sha256)
        .with_index_attributes(attributes)
        .with_data_area_size(SIZE.into())
        .build()
}
