use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN ";

pub(crate) fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(BEGIN.len()).any(|window| window == BEGIN.as_bytes())
}

/// Returns the certificates between their markers, in DER; ignores text outside of them. `None` if a marker or
/// the Base64 is malformed.
pub(crate) fn read_certificates(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    read_blocks(bytes, "CERTIFICATE")
}

/// Returns revocation lists in the same way.
pub(crate) fn read_revocation_lists(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    read_blocks(bytes, "X509 CRL")
}

/// Returns blocks with another label (RFC 7468) in the same way.
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
