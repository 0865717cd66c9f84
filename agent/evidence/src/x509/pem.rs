use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN ";

pub(crate) fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(BEGIN.len()).any(|window| window == BEGIN.as_bytes())
}

/// The certificates between their markers, in DER; text outside of them is comment. `None` when a marker or
/// the Base64 is broken.
pub(crate) fn read_certificates(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    read_blocks(bytes, "CERTIFICATE")
}

/// The same for revocation lists.
pub(crate) fn read_revocation_lists(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    read_blocks(bytes, "X509 CRL")
}

/// The same for what is labelled otherwise (RFC 7468).
pub(super) fn read_blocks(bytes: &[u8], label: &str) -> Option<Vec<Vec<u8>>> {
    let text = String::from_utf8_lossy(bytes);
    let end = format!("-----END {label}-----");
    text.split(&format!("-----BEGIN {label}-----"))
        .skip(1)
        .map(|block| {
            let (base64, _comment) = block.split_once(&end)?;
            let base64: String = base64.split_ascii_whitespace().collect();
            STANDARD.decode(base64).ok()
        })
        .collect()
}
