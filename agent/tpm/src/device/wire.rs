//! Converts between the TPM's wire format and the TSS's types.

use pawl_evidence::tpm::PcrSelection;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::structures::{EccParameter, EccSignature, PcrSelectionList, Private, Public, Signature};
use tss_esapi::traits::{Marshall, UnMarshall};
use tss_esapi::tss2_esys::{TPML_PCR_SELECTION, TPMS_PCR_SELECTION};

use crate::{Error, KeyBlob};

pub(super) fn marshal(what: &'static str, value: &impl Marshall) -> Result<Vec<u8>, Error> {
    value.marshall().map_err(|error| unreadable(what, &error))
}

/// Reads a TPMT_PUBLIC; refuses trailing bytes.
pub(super) fn public(what: &'static str, bytes: &[u8]) -> Result<Public, Error> {
    let mut used = 0;
    match Public::unmarshall_offset(bytes, &mut used) {
        Ok(public) if used == bytes.len() => Ok(public),
        _ => Err(Error::Malformed(what)),
    }
}

pub(super) fn key(blob: &KeyBlob) -> Result<(Private, Public), Error> {
    let private =
        Private::from_bytes(&blob.private).map_err(|_| Error::Malformed("private part of a key"))?;
    Ok((private, public("public part of a key", &blob.public)?))
}

/// Returns an ECDSA signature as r ‖ s, 32 bytes each.
pub(super) fn r_s(doing: &'static str, signature: &Signature) -> Result<[u8; 64], Error> {
    let Signature::EcDsa(signature) = signature else {
        return Err(Error::Answer { doing, reason: "not an ECDSA signature".into() });
    };
    let mut out = [0; 64];
    let (r, s) = out.split_at_mut(32);
    for (half, number) in [(r, signature.signature_r()), (s, signature.signature_s())] {
        right_align(half, number)
            .ok_or_else(|| Error::Answer { doing, reason: "a number longer than 32 bytes".into() })?;
    }
    Ok(out)
}

/// Pads on the left: TPMs may omit leading zeros.
fn right_align(out: &mut [u8], number: &[u8]) -> Option<()> {
    let start = out.len().checked_sub(number.len())?;
    out.get_mut(start..)?.copy_from_slice(number);
    Some(())
}

pub(super) fn signature(r_s: &[u8; 64]) -> Result<Signature, Error> {
    let (r, s) = r_s.split_at(32);
    let number = |bytes| EccParameter::from_bytes(bytes);
    let build = || EccSignature::create(HashingAlgorithm::Sha256, number(r)?, number(s)?);
    build().map(Signature::EcDsa).map_err(|_| Error::Malformed("signature"))
}

/// Returns the same banks, order and bytes as [`PcrSelection::marshal`], because policies hash them.
pub(super) fn selection(selection: &PcrSelection) -> Result<PcrSelectionList, Error> {
    const MALFORMED: Error = Error::Malformed("PCR selection");
    let mut list = TPML_PCR_SELECTION::default();
    let bytes = selection.marshal();
    let (count, mut rest) = bytes.split_first_chunk::<4>().ok_or(MALFORMED)?;
    list.count = u32::from_be_bytes(*count);
    let count = usize::try_from(list.count).map_err(|_| MALFORMED)?;
    for bank in list.pcrSelections.get_mut(..count).ok_or(MALFORMED)? {
        let (&[hash_high, hash_low, size], tail) = rest.split_first_chunk::<3>().ok_or(MALFORMED)?;
        let (bits, tail) = tail.split_at_checked(size.into()).ok_or(MALFORMED)?;
        let mut select = [0; 4];
        select.get_mut(..bits.len()).ok_or(MALFORMED)?.copy_from_slice(bits);
        *bank = TPMS_PCR_SELECTION {
            hash: u16::from_be_bytes([hash_high, hash_low]),
            sizeofSelect: size,
            pcrSelect: select,
        };
        rest = tail;
    }
    PcrSelectionList::try_from(list).map_err(|_| MALFORMED)
}

/// Converts a failure inside the TSS's Rust wrapper, which has no response code.
pub(super) fn unreadable(doing: &'static str, error: &tss_esapi::Error) -> Error {
    Error::Answer { doing, reason: error.to_string() }
}
