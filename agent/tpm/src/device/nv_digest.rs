//! Reads and certifies NV indices that hold one digest, such as systemd's NvPCRs.

use tss_esapi::{
    handles::{NvIndexHandle, NvIndexTpmHandle, TpmHandle},
    interface_types::reserved_handles::NvAuth,
    structures::{NvPublic, SignatureScheme},
};

use super::{Device, wire::unreadable};
use crate::{
    Attestation, Class, Error, NvDigest,
    bus::{EMPTY_AUTH, EMPTY_AUTHS, NO_SESSION},
};

/// The length of the longest digest, in bytes.
const MAX_LEN: u16 = 64;

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
        Ok(Some(NvDigest { public: marshal(&opened.public)?, value: contents? }))
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

    /// Opens the index, if anybody may read it and it holds at most [`MAX_LEN`] bytes.
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
        let size = u16::try_from(public.data_size()).ok().filter(|size| (1..=MAX_LEN).contains(size));
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
fn marshal(public: &NvPublic) -> Result<Vec<u8>, Error> {
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
