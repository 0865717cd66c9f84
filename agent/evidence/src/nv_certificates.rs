//! Extracts endorsement certificates from NV contents.
//!
//! TCG PC Client Platform TPM Profile and TCG EK Credential Profile (2.2.1) require bare DER. Real TPMs also
//! wrap it in an OCTET STRING, put a TPM 1.2 header in front (TCG PC Client Specific Implementation
//! Specification, `TCG_PCCLIENT_STORED_CERT`), and pad the index with zeros or ones.

/// The maximum number of certificates; chains are shorter.
const CERTIFICATES_MAX: usize = 16;
/// The maximum number of nested wrappings.
const WRAPPINGS_MAX: usize = 4;
/// `TCG_TAG_PCCLIENT_STORED_CERT` and `TCG_FULL_CERT`; a length of two bytes follows.
const STORED_CERTIFICATE: &[u8] = &[0x10, 0x01, 0x00];
/// `TCG_TAG_PCCLIENT_FULL_CERT`, which some manufacturers omit.
const FULL_CERTIFICATE: &[u8] = &[0x10, 0x02];
const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;

/// Returns the consecutive certificates in the contents of one or more NV indices, in DER, without their
/// wrappings. Stops at the first bytes that are neither a certificate nor padding.
///
/// The lengths of wrappings are ignored, because the certificate has its own.
#[must_use]
pub fn certificates_in_nv(contents: &[u8]) -> Vec<&[u8]> {
    let mut certificates = Vec::new();
    let mut rest = contents;
    while certificates.len() < CERTIFICATES_MAX {
        let Some((certificate, after)) = split_sequence(unwrapped(without_padding(rest))) else { break };
        certificates.push(certificate);
        rest = after;
    }
    certificates
}

fn without_padding(bytes: &[u8]) -> &[u8] {
    let padding = bytes.iter().take_while(|byte| matches!(**byte, 0x00 | 0xff)).count();
    bytes.get(padding..).unwrap_or_default()
}

/// Skips the headers of OCTET STRINGs and of TPM 1.2, if there are any.
fn unwrapped(mut bytes: &[u8]) -> &[u8] {
    for _ in 0..WRAPPINGS_MAX {
        let inner = behind_header(OCTET_STRING, bytes).or_else(|| behind_stored_certificate(bytes));
        let Some(inner) = inner else { break };
        bytes = inner;
    }
    bytes
}

fn behind_stored_certificate(bytes: &[u8]) -> Option<&[u8]> {
    let certificate = bytes.strip_prefix(STORED_CERTIFICATE)?.get(2..)?;
    Some(certificate.strip_prefix(FULL_CERTIFICATE).unwrap_or(certificate))
}

/// Splits off the SEQUENCE, header and contents, at the start of the bytes.
fn split_sequence(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let contents = behind_header(SEQUENCE, bytes)?;
    let header = bytes.len().checked_sub(contents.len())?;
    let length = length(bytes.get(1..)?)?;
    // An empty SEQUENCE is not a certificate.
    if length == 0 {
        return None;
    }
    bytes.split_at_checked(header.checked_add(length)?)
}

/// Returns the bytes after a DER header with this tag.
fn behind_header(tag: u8, bytes: &[u8]) -> Option<&[u8]> {
    let (_, rest) = bytes.split_first().filter(|(first, _)| **first == tag)?;
    match rest.first()? {
        0x00..=0x7f => rest.get(1..),
        0x81 => rest.get(2..),
        0x82 => rest.get(3..),
        // No index is larger than 64 KiB.
        _ => None,
    }
}

/// Returns the length that follows the tag in a DER header.
fn length(bytes: &[u8]) -> Option<usize> {
    match *bytes {
        [length @ 0x00..=0x7f, ..] => Some(usize::from(length)),
        [0x81, length, ..] => Some(usize::from(length)),
        [0x82, high, low, ..] => Some(usize::from(u16::from_be_bytes([high, low]))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAF: &[u8] = include_bytes!("../../../tests/fixtures/x86-good/ek-rsa-cert.der");
    const OTHER: &[u8] = include_bytes!("../../../tests/fixtures/x86-good/ek-ecc-cert.der");

    fn octet_string(contents: &[u8]) -> Vec<u8> {
        let length = u16::try_from(contents.len()).unwrap().to_be_bytes();
        [&[OCTET_STRING, 0x82][..], &length, contents].concat()
    }

    fn tpm_1_2(contents: &[u8]) -> Vec<u8> {
        let length = u16::try_from(contents.len()).unwrap().to_be_bytes();
        [STORED_CERTIFICATE, &length, contents].concat()
    }

    #[test]
    fn a_certificate_is_found_behind_every_wrapping_and_before_every_padding() {
        let wrapped = [
            LEAF.to_vec(),
            octet_string(LEAF),
            tpm_1_2(LEAF),
            tpm_1_2(&[FULL_CERTIFICATE, LEAF].concat()),
            octet_string(&tpm_1_2(LEAF)),
            // A wrapping with a wrong length.
            [STORED_CERTIFICATE, &[0, 0], LEAF].concat(),
        ];
        let paddings: [&[u8]; 5] = [&[], &[0x00], &[0xff], &[0x00; 900], &[0xff; 900]];
        for (case, wrapped) in wrapped.iter().enumerate() {
            for padding in paddings {
                let contents = [&wrapped[..], padding].concat();
                assert_eq!(certificates_in_nv(&contents), [LEAF], "wrapping {case}, padding {padding:x?}");
                let padded_inside = octet_string(&contents);
                assert_eq!(certificates_in_nv(&padded_inside), [LEAF], "wrapping {case} inside");
            }
        }
    }

    #[test]
    fn consecutive_certificates_are_separated() {
        let chain = [LEAF, &[0xff; 7], &octet_string(OTHER), &[0; 30], &tpm_1_2(LEAF)].concat();
        assert_eq!(certificates_in_nv(&chain), [LEAF, OTHER, LEAF]);
        let mut small = vec![0x30, 2, 1, 2, 0x30, 0x81, 1, 7, 0x30, 0x82, 0, 1, 9];
        small.extend([0xff; 9]);
        let expected: [&[u8]; 3] = [&[0x30, 2, 1, 2], &[0x30, 0x81, 1, 7], &[0x30, 0x82, 0, 1, 9]];
        assert_eq!(certificates_in_nv(&small), expected);
        assert_eq!(certificates_in_nv(&[0x30, 1, 5].repeat(40)).len(), CERTIFICATES_MAX);
    }

    #[test]
    fn cut_off_certificates_and_other_bytes_yield_nothing() {
        let cut = LEAF.split_last().unwrap().1;
        let cases: [Vec<u8>; 12] = [
            vec![],
            vec![0x30],
            vec![0x30, 5, 1],
            vec![0x30, 0x82, 0xff, 0xff, 1],
            vec![0; 4],
            vec![0x30, 0x84, 0, 0, 0, 1, 1],
            vec![0x30, 0],
            vec![0xff; 1200],
            cut.to_vec(),
            octet_string(cut),
            tpm_1_2(&[]),
            vec![0x10, 0x01, 0x00, 0x01],
        ];
        for bytes in cases {
            assert!(certificates_in_nv(&bytes).is_empty(), "{bytes:x?}");
        }
    }
}
