//! Reads NV indices of other owners, and certifies those that hold one digest, such as systemd's NvPCRs.

use tss_esapi::constants::{CapabilityType, PropertyTag};
use tss_esapi::handles::{NvIndexHandle, NvIndexTpmHandle, TpmHandle};
use tss_esapi::interface_types::reserved_handles::NvAuth;
use tss_esapi::structures::{CapabilityData, NvPublic, SignatureScheme};

use super::Device;
use super::wire::unreadable;
use crate::bus::{Bus, EMPTY_AUTH, EMPTY_AUTHS, NO_SESSION};
use crate::{Attestation, Class, Error, NvDigest};

/// Size limit for the contents of an index. Certificates have one or two KiB.
const MAX_INDEX: usize = 8 * 1024;
/// The smallest TPM_PT_NV_BUFFER_MAX that the specification allows.
const SMALLEST_BUFFER: u16 = 512;

impl Device {
    /// Returns the handles of the NV indices from `first` to `last`.
    pub(super) fn nv_indices(&self, first: u32, last: u32) -> Result<Vec<u32>, Error> {
        const MOST: u32 = 254;
        let (data, _) = self.bus.run("TPM2_GetCapability", NO_SESSION, |context| {
            context.get_capability(CapabilityType::Handles, first, MOST)
        })?;
        let CapabilityData::Handles(handles) = data else {
            return Err(Error::Answer { doing: "TPM2_GetCapability", reason: "not handles".into() });
        };
        Ok(handles
            .into_inner()
            .into_iter()
            .map(u32::from)
            .filter(|handle| (first..=last).contains(handle))
            .collect())
    }

    /// Loads an index and its public area; `None` if the TPM has no such index. The caller closes it.
    pub(super) fn find_index(
        &self,
        handle: NvIndexTpmHandle,
    ) -> Result<Option<(NvIndexHandle, NvPublic)>, Error> {
        let found = self.bus.run("TPM2_NV_ReadPublic", NO_SESSION, |context| {
            let index = NvIndexHandle::from(context.tr_from_tpm_public(TpmHandle::NvIndex(handle))?);
            Ok((index, context.nv_read_public(index)?.0))
        });
        match found {
            Err(error) if error.class() == Some(Class::Handle) => Ok(None),
            found => found.map(Some),
        }
    }

    /// Frees the TSS's memory for an index.
    pub(super) fn close(&self, index: NvIndexHandle) {
        let mut object = index.into();
        // Nothing stays in the TPM: a failure leaks a little memory of the TSS.
        let _ = self.bus.run("Esys_TR_Close", NO_SESSION, |context| context.tr_close(&mut object));
    }

    /// Reads an index with its own empty authorization, or else with the owner's.
    pub(super) fn read_nv(&self, handle: u32) -> Result<Vec<u8>, Error> {
        let contents = self.read_index(handle, true)?;
        contents.ok_or(Error::Answer { doing: "TPM2_NV_Read", reason: "no contents".into() })
    }

    /// Reads an index if anybody may read it.
    pub(super) fn read_public_nv(&self, handle: u32) -> Result<Option<Vec<u8>>, Error> {
        self.read_index(handle, false)
    }

    /// Returns whether anybody may read an index.
    pub(super) fn is_public_nv(&self, handle: u32) -> Result<bool, Error> {
        let handle = NvIndexTpmHandle::new(handle).map_err(|_| Error::Malformed("NV handle"))?;
        let Some((index, public)) = self.find_index(handle)? else { return Ok(false) };
        self.close(index);
        Ok(public.attributes().auth_read())
    }

    fn read_index(&self, handle: u32, as_owner: bool) -> Result<Option<Vec<u8>>, Error> {
        let doing = "TPM2_NV_ReadPublic";
        let handle = NvIndexTpmHandle::new(handle).map_err(|_| Error::Malformed("NV handle"))?;
        let (index, public) = self.bus.run(doing, NO_SESSION, |context| {
            let index = NvIndexHandle::from(context.tr_from_tpm_public(TpmHandle::NvIndex(handle))?);
            Ok((index, context.nv_read_public(index)?.0))
        })?;
        let size = public.data_size();
        let by_anybody = public.attributes().auth_read();
        let contents = if size > MAX_INDEX {
            Err(Error::Answer { doing, reason: format!("an index of {size} bytes") })
        } else if by_anybody || as_owner {
            self.read_contents(index, size, by_anybody).map(Some)
        } else {
            Ok(None)
        };
        self.close(index);
        contents
    }

    fn read_contents(&self, index: NvIndexHandle, size: usize, by_anybody: bool) -> Result<Vec<u8>, Error> {
        let most = self
            .bus
            .run("TPM2_GetCapability", NO_SESSION, |context| {
                context.get_tpm_property(PropertyTag::NvBufferMax)
            })?
            .and_then(|most| u16::try_from(most).ok())
            .unwrap_or(SMALLEST_BUFFER);
        let mut contents = Vec::with_capacity(size);
        while contents.len() < size {
            // Both lengths are at most MAX_INDEX.
            let offset = u16::try_from(contents.len()).unwrap_or(u16::MAX);
            let length = u16::try_from(size - contents.len()).unwrap_or(u16::MAX).min(most);
            let read = |bus: &Bus, sessions, reader| {
                bus.run("TPM2_NV_Read", sessions, |context| context.nv_read(reader, index, length, offset))
            };
            let piece = if by_anybody {
                read(&self.bus, EMPTY_AUTH, NvAuth::NvIndex(index))?
            } else {
                self.as_owner(|bus, sessions| read(bus, sessions, NvAuth::Owner))?
            };
            if piece.is_empty() {
                return Err(Error::Answer { doing: "TPM2_NV_Read", reason: "no bytes".into() });
            }
            contents.extend_from_slice(piece.as_bytes());
        }
        Ok(contents)
    }
}

/// The length of the longest digest, in bytes.
const NV_DIGEST_MAX_LEN: u16 = 64;

/// An NV index that ESYS has opened; dropping it closes it.
struct Opened {
    index: NvIndexHandle,
    public: NvPublic,
    size: u16,
}

impl Device {
    /// Implements [`crate::Tpm::defined_nv_indices`].
    pub(crate) fn defined_nv_indices(&mut self, handles: &[u32]) -> Result<Vec<u32>, Error> {
        let (Some(first), Some(last)) = (handles.iter().min(), handles.iter().max()) else {
            return Ok(Vec::new());
        };
        let defined = self.nv_indices(*first, *last)?;
        Ok(handles.iter().copied().filter(|handle| defined.contains(handle)).collect())
    }

    /// Implements [`crate::Tpm::nv_digest`].
    pub(crate) fn nv_digest(&mut self, handle: u32) -> Result<Option<NvDigest>, Error> {
        let Some(opened) = self.open_nv_digest(handle)? else { return Ok(None) };
        let contents = self.read_nv_digest(&opened);
        self.close_nv_digest(opened.index);
        Ok(Some(NvDigest { public: marshal_nv_public(&opened.public)?, value: contents? }))
    }

    /// Implements [`crate::Tpm::certify_nv_digest`].
    pub(crate) fn certify_nv_digest(
        &mut self,
        handle: u32,
        qualifying: [u8; 32],
    ) -> Result<Attestation, Error> {
        let doing = "TPM2_NV_Certify";
        let opened = self.open_nv_digest(handle)?;
        let opened = opened.ok_or(Error::Answer { doing, reason: "the index is gone".into() })?;
        let (index, size) = (opened.index, opened.size);
        let certified = self.attest(doing, EMPTY_AUTHS, qualifying, |context, key, data| {
            context.nv_certify(key, NvAuth::NvIndex(index), index, data, SignatureScheme::Null, size, 0)
        });
        self.close_nv_digest(index);
        certified
    }

    /// Opens the index, if anybody may read it and it holds at most [`NV_DIGEST_MAX_LEN`] bytes.
    fn open_nv_digest(&self, handle: u32) -> Result<Option<Opened>, Error> {
        let doing = "TPM2_NV_ReadPublic";
        let handle = NvIndexTpmHandle::new(handle).map_err(|_| Error::Malformed("NV handle"))?;
        let opened = self.bus.run(doing, NO_SESSION, |context| {
            let index = NvIndexHandle::from(context.tr_from_tpm_public(TpmHandle::NvIndex(handle))?);
            Ok((index, context.nv_read_public(index)?.0))
        });
        let (index, public) = match opened {
            Ok(opened) => opened,
            Err(error) if error.class() == Some(Class::Handle) => return Ok(None),
            Err(error) => return Err(error),
        };
        let attributes = public.attributes();
        let size =
            u16::try_from(public.data_size()).ok().filter(|size| (1..=NV_DIGEST_MAX_LEN).contains(size));
        match size {
            Some(size) if attributes.auth_read() && attributes.written() => {
                Ok(Some(Opened { index, public, size }))
            }
            _ => {
                self.close_nv_digest(index);
                Ok(None)
            }
        }
    }

    fn read_nv_digest(&self, opened: &Opened) -> Result<Vec<u8>, Error> {
        let (index, size) = (opened.index, opened.size);
        let contents = self.bus.run("TPM2_NV_Read", EMPTY_AUTH, |context| {
            context.nv_read(NvAuth::NvIndex(index), index, size, 0)
        })?;
        Ok(contents.as_bytes().to_vec())
    }

    fn close_nv_digest(&self, index: NvIndexHandle) {
        let mut object = index.into();
        // Nothing stays in the TPM: a failure leaks a little memory of the TSS.
        let _ = self.bus.run("Esys_TR_Close", NO_SESSION, |context| context.tr_close(&mut object));
    }
}

/// Marshals TPMS_NV_PUBLIC. The TSS's type lacks that method.
fn marshal_nv_public(public: &NvPublic) -> Result<Vec<u8>, Error> {
    let doing = "TPM2_NV_ReadPublic";
    let attributes = u32::try_from(public.attributes()).map_err(|error| unreadable(doing, &error))?;
    let length = |length| u16::try_from(length).map_err(|_| Error::Malformed("NV public area"));
    let policy = public.authorization_policy();
    Ok([
        &u32::from(public.nv_index()).to_be_bytes()[..],
        &u16::from(public.name_algorithm()).to_be_bytes(),
        &attributes.to_be_bytes(),
        &length(policy.len())?.to_be_bytes(),
        policy.as_bytes(),
        &length(public.data_size())?.to_be_bytes(),
    ]
    .concat())
}
