//! The endorsement key's certificates, as the TPM's maker left them in NV (TCG EK Credential Profile, 2.2.1).

use super::Device;
use crate::{EndorsementChoice, EndorsementKind, Error};

/// Where the certificates of the chain are, one after the other, without regard for the bounds of indices.
const CHAIN: (u32, u32) = (0x01c0_0100, 0x01c0_01ff);
const LEAVES: (u32, u32) = (0x01c0_0002, 0x01c0_0016);
/// A chain of three with long names takes half of it.
const MAX_CHAIN: usize = 16 * 1024;

impl Device {
    /// Which endorsement key this device goes by.
    pub(super) fn endorsement_kind(&self) -> Result<EndorsementKind, Error> {
        if let EndorsementChoice::Only(kind) = self.endorsement {
            return Ok(kind);
        }
        let present = self.nv_indices(LEAVES.0, LEAVES.1)?;
        let certified = [EndorsementKind::EccP256, EndorsementKind::EccP384, EndorsementKind::Rsa2048]
            .into_iter()
            .find(|kind| present.contains(&leaf_index(*kind)));
        Ok(certified.unwrap_or(EndorsementKind::EccP256))
    }

    /// The certificate of an endorsement key and what there is of its chain; empty where the TPM has none.
    pub(super) fn endorsement_certificates(&self, kind: EndorsementKind) -> Result<Vec<Vec<u8>>, Error> {
        let leaf = leaf_index(kind);
        if self.nv_indices(leaf, leaf)?.is_empty() {
            return Ok(Vec::new());
        }
        // Indices are often larger than what is in them.
        let mut certificates: Vec<_> =
            der_sequences(&self.read_nv(leaf)?).take(1).map(<[u8]>::to_vec).collect();
        let mut chain = Vec::new();
        for handle in self.nv_indices(CHAIN.0, CHAIN.1)? {
            chain.extend(self.read_nv(handle)?);
            if chain.len() > MAX_CHAIN {
                break;
            }
        }
        certificates.extend(der_sequences(&chain).map(<[u8]>::to_vec));
        Ok(certificates)
    }
}

impl Device {
    /// The certificate of an endorsement key, where the TPM has one that can be read without an authorization.
    pub(super) fn public_leaf(&self, kind: EndorsementKind) -> Result<Option<Vec<u8>>, Error> {
        let leaf = leaf_index(kind);
        if self.nv_indices(leaf, leaf)?.is_empty() {
            return Ok(None);
        }
        self.read_public_nv(leaf)
    }
}

fn leaf_index(kind: EndorsementKind) -> u32 {
    match kind {
        EndorsementKind::Rsa2048 => 0x01c0_0002,
        EndorsementKind::EccP256 => 0x01c0_000a,
        EndorsementKind::EccP384 => 0x01c0_0016,
    }
}

/// The DER sequences that stand one after the other in `bytes`, up to the first that is none.
fn der_sequences(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (sequence, rest) = bytes.split_at_checked(sequence_length(bytes)?)?;
        bytes = rest;
        Some(sequence)
    })
}

/// Header and contents of the sequence that `bytes` begin with.
fn sequence_length(bytes: &[u8]) -> Option<usize> {
    match *bytes {
        [0x30, length @ 0..=0x7f, ..] => Some(2 + usize::from(length)),
        [0x30, 0x81, length, ..] => Some(3 + usize::from(length)),
        [0x30, 0x82, high, low, ..] => Some(4 + usize::from(u16::from_be_bytes([high, low]))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_cut_apart_and_padding_is_left_out() {
        let mut bytes = vec![0x30, 2, 1, 2, 0x30, 0x81, 1, 7, 0x30, 0x82, 0, 1, 9];
        bytes.extend([0xff; 9]);
        let found: Vec<_> = der_sequences(&bytes).collect();
        assert_eq!(found, [&[0x30, 2, 1, 2][..], &[0x30, 0x81, 1, 7], &[0x30, 0x82, 0, 1, 9]]);
    }

    #[test]
    fn what_is_cut_off_or_no_sequence_is_left_out() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 5, 1],
            &[0x30, 0x82, 0xff, 0xff, 1],
            &[0; 4],
            &[0x30, 0x84, 0, 0, 0, 1, 1],
        ] {
            assert_eq!(der_sequences(bytes).count(), 0, "{bytes:x?}");
        }
    }
}
