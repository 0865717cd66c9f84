use serde::{Deserialize, Serialize};

use super::encode;

/// A P-256 public key as JSON (RFC 7517).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    // In the order in which RFC 7638 hashes them.
    crv: String,
    kty: String,
    x: String,
    y: String,
}

impl Jwk {
    /// Returns the key with these coordinates.
    #[must_use]
    pub fn p256(x: &[u8; 32], y: &[u8; 32]) -> Self {
        Self { crv: "P-256".to_owned(), kty: "EC".to_owned(), x: encode(x), y: encode(y) }
    }

    /// Computes the thumbprint (RFC 7638), base64url.
    ///
    /// The result is correct only for a key from [`Jwk::p256`], or one that equals such a key: the members of any other
    /// key may contain characters that JSON escapes.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        let Self { crv, kty, x, y } = self;
        super::hash(&format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}"#))
    }
}

/// Pads a coordinate to 32 bytes, because a TPM may omit leading zeros; `None` if it is longer.
#[must_use]
pub fn coordinate(bytes: &[u8]) -> Option<[u8; 32]> {
    let mut padded = [0; 32];
    let start = padded.len().checked_sub(bytes.len())?;
    padded.get_mut(start..)?.copy_from_slice(bytes);
    Some(padded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_coordinates_are_padded_and_long_ones_refused() {
        assert_eq!(coordinate(&[1, 2]).map(|bytes| [bytes[0], bytes[30], bytes[31]]), Some([0, 1, 2]));
        assert_eq!(coordinate(&[9; 32]), Some([9; 32]));
        assert_eq!(coordinate(&[0; 33]), None);
    }

    #[test]
    fn a_thumbprint_is_that_of_rfc_9449() {
        // RFC 9449, sections 4.1 and 6.1: the key of the example proof, and its `jkt`.
        let key: Jwk = serde_json::from_str(
            r#"{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
                "y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}"#,
        )
        .unwrap();
        assert_eq!(key.thumbprint(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    }
}
