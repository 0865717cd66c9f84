use super::reader::{ParseError, Reader};

const ALG_ECDSA: u16 = 0x0018;
const ALG_SHA256: u16 = 0x000b;
const SCALAR_LEN: usize = 32;

/// An ECDSA signature over P-256 and SHA-256 (TPMT_SIGNATURE), the only kind that Pawl's TPM keys make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    r: [u8; SCALAR_LEN],
    s: [u8; SCALAR_LEN],
}

impl Signature {
    /// Parses a complete TPMT_SIGNATURE.
    ///
    /// # Errors
    /// If the bytes are truncated or continue, or the signature is of another kind.
    pub fn unmarshal(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        for (field, wanted) in [("signature algorithm", ALG_ECDSA), ("signature hash", ALG_SHA256)] {
            let value = reader.u16(field)?;
            if value != wanted {
                return Err(ParseError::Unsupported { field, value: value.into() });
            }
        }
        let r = scalar(reader.sized(SCALAR_LEN, "signature r")?);
        let s = scalar(reader.sized(SCALAR_LEN, "signature s")?);
        reader.finish("signature")?;
        Ok(Self { r, s })
    }

    /// Takes r ‖ s, each big-endian in 32 bytes.
    pub fn from_r_s(r_s: &[u8; 64]) -> Self {
        let (r, s) = r_s.split_at(SCALAR_LEN);
        Self { r: scalar(r), s: scalar(s) }
    }

    /// Returns r ‖ s, each big-endian in 32 bytes, as JOSE and COSE use it.
    pub fn to_r_s(&self) -> [u8; 64] {
        let mut r_s = [0; 64];
        for (to, from) in r_s.iter_mut().zip(self.r.iter().chain(&self.s)) {
            *to = *from;
        }
        r_s
    }

    /// Returns the bytes of TPMT_SIGNATURE.
    pub fn marshal(&self) -> Vec<u8> {
        const SCALAR_SIZE: [u8; 2] = [0, 32];
        let (algorithm, hash) = (ALG_ECDSA.to_be_bytes(), ALG_SHA256.to_be_bytes());
        [&algorithm[..], &hash, &SCALAR_SIZE, &self.r, &SCALAR_SIZE, &self.s].concat()
    }
}

/// Pads on the left: some TPMs omit leading zeros.
fn scalar(bytes: &[u8]) -> [u8; SCALAR_LEN] {
    let mut scalar = [0; SCALAR_LEN];
    for (to, from) in scalar.iter_mut().rev().zip(bytes.iter().rev()) {
        *to = *from;
    }
    scalar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_with_its_leading_zeros_cut_is_padded() {
        let short = [0, 0x18, 0, 0x0b, 0, 1, 7, 0, 2, 8, 9];
        let signature = Signature::unmarshal(&short).unwrap();
        assert_eq!(signature.r[31], 7);
        assert_eq!(signature.s[30..], [8, 9]);
        assert_eq!(Signature::unmarshal(&signature.marshal()), Ok(signature));
        assert_eq!(Signature::from_r_s(&signature.to_r_s()), signature);
    }
}
