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

/// The NV index of the counter to which keys and leases are bound.
pub(super) struct CounterSlot {
    pub(super) handle: u32,
    /// Looked up beforehand, so that a wipe is a single command.
    index: Option<NvIndexHandle>,
    /// The authPolicy of a scratch counter. The epoch counter has none.
    mark: Option<[u8; 32]>,
}

impl CounterSlot {
    pub(super) fn epoch(handle: u32) -> Self {
        Self { handle, index: None, mark: None }
    }

    pub(super) fn scratch(handle: u32, mark: [u8; 32]) -> Self {
        Self { handle, index: None, mark: Some(mark) }
    }

    /// Returns the public area of the index once it was incremented.
    fn public(&self) -> NvPublic {
        match &self.mark {
            Some(mark) => NvPublic::scratch_counter(self.handle, mark),
            None => NvPublic::epoch_counter(self.handle),
        }
    }
}

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
                self.counter.index = None;
                return Error::CounterAbsent { handle: self.counter.handle };
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
        self.counter.index = None;
        Ok(true)
    }

    /// Returns the counter's ESYS handle; asks the TPM only if the counter was not found before.
    pub(super) fn counter_index(&mut self) -> Result<NvIndexHandle, Error> {
        if let Some(index) = self.counter.index {
            return Ok(index);
        }
        let (index, _) = self.find_counter()?.ok_or(Error::CounterAbsent { handle: self.counter.handle })?;
        Ok(index)
    }

    /// Finds the counter and returns whether it was ever incremented. Remembers the index only if its public
    /// area is ours, so that no foreign index is ever written to.
    pub(super) fn find_counter(&mut self) -> Result<Option<(NvIndexHandle, bool)>, Error> {
        let handle = self.counter.handle;
        // ESYS caches attributes; another program may have defined the index anew since.
        self.forget_counter();
        let Some((index, public)) = self.find_index(tpm_handle(handle)?)? else { return Ok(None) };
        let attributes =
            u32::try_from(public.attributes()).map_err(|error| unreadable("TPM2_NV_ReadPublic", &error))?;
        let sound = public.name_algorithm() == HashingAlgorithm::Sha256
            && public.authorization_policy().as_bytes()
                == self.counter.mark.as_ref().map_or(&[][..], |mark| mark)
            && public.data_size() == usize::from(SIZE);
        let expected = self.counter.public().attributes();
        let written = attributes == expected;
        if sound && (written || attributes | WRITTEN == expected) {
            self.counter.index = Some(index);
            return Ok(Some((index, written)));
        }
        self.close(index);
        Err(Error::CounterTaken { handle, attributes })
    }

    fn define_counter(&mut self) -> Result<NvIndexHandle, Error> {
        let handle = tpm_handle(self.counter.handle)?;
        let public = counter_public(handle, self.counter.mark.as_ref())
            .map_err(|error| unreadable("TPM2_NV_DefineSpace", &error))?;
        let index = self.as_owner(|bus, sessions| {
            bus.run("TPM2_NV_DefineSpace", sessions, |context| {
                context.nv_define_space(Provision::Owner, None, public.clone())
            })
        })?;
        self.counter.index = Some(index);
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
                    handle: self.counter.handle,
                    attributes: self.counter.public().attributes(),
                })
            })?;
        let value = <[u8; 8]>::try_from(value.as_bytes())
            .map_err(|_| Error::Answer { doing, reason: "not eight bytes".into() })?;
        // `find_counter` compared every field of the public area, so this value equals the TPM's.
        let public = self.counter.public();
        Ok(Counter {
            epoch: u64::from_be_bytes(value),
            public: public.as_bytes().to_vec(),
            name: public.name().as_bytes().to_vec(),
        })
    }

    pub(super) fn forget_counter(&mut self) {
        if let Some(index) = self.counter.index.take() {
            self.close(index);
        }
    }
}

/// TPMA_NV_WRITTEN.
const WRITTEN: u32 = 1 << 29;

fn tpm_handle(handle: u32) -> Result<NvIndexTpmHandle, Error> {
    NvIndexTpmHandle::new(handle).map_err(|_| Error::CounterHandle { handle })
}

fn counter_public(handle: NvIndexTpmHandle, mark: Option<&[u8; 32]>) -> tss_esapi::Result<tss::NvPublic> {
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
        .with_index_auth_policy(mark.copied().map(tss::Digest::from).unwrap_or_default())
        .with_data_area_size(SIZE.into())
        .build()
}
