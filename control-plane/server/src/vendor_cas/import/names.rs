//! The names of imported files, which say whose they are and differ where the contents do.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pawl_evidence::endorsement::{VendorCa, VendorList};

const PART_MAX_LEN: usize = 40;
/// So many bytes of a digest make a name differ.
const DIGEST_LEN: usize = 4;

/// `infineon-technologies-ag-optiga-rsa-manufacturing-ca-042-1a2b3c4d.pem`
pub(super) fn of_ca(ca: &VendorCa) -> String {
    let vendor = ca.organization().map(|vendor| plain(&vendor)).unwrap_or_default();
    format!("{}.pem", joined([vendor, plain(&ca.name()), short(&ca.sha256())]))
}

/// The same for every list of one CA and scope: a newer one takes the place of an older one.
pub(super) fn of_list(list: &VendorList) -> String {
    format!("{}.crl", joined([plain(&list.issuer()), short(&list.scope())]))
}

/// A certificate in PEM (RFC 7468).
pub(super) fn pem(der: &[u8]) -> Vec<u8> {
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for (column, letter) in STANDARD.encode(der).chars().enumerate() {
        if column > 0 && column.is_multiple_of(64) {
            text.push('\n');
        }
        text.push(letter);
    }
    text.push_str("\n-----END CERTIFICATE-----\n");
    text.into_bytes()
}

fn joined<const N: usize>(parts: [String; N]) -> String {
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("-")
}

/// Letters and digits in lower case, and dashes between them: nothing that a shell or a path reads otherwise.
fn plain(text: &str) -> String {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let joined = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    joined.chars().take(PART_MAX_LEN).collect::<String>().trim_end_matches('-').to_owned()
}

fn short(digest: &[u8]) -> String {
    hex::encode(digest.get(..DIGEST_LEN).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain_whatever_the_certificate_says() {
        assert_eq!(plain("Infineon Technologies AG"), "infineon-technologies-ag");
        assert_eq!(plain("../../etc/passwd\0"), "etc-passwd");
        assert_eq!(plain("Größe"), "gr-e");
        assert_eq!(plain("…"), "");
        assert_eq!(plain(&"a-".repeat(60)).len(), 39);
        assert_eq!(joined([plain("…"), plain("CA 1"), short(&[0xab; 32])]), "ca-1-abababab");
    }
}
