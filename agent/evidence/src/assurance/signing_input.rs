use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pawl_jose::{ALGORITHM, SIGNATURE_LEN};
use serde::{Deserialize, Serialize};

use super::claims::{ASSURANCE_MAX_LEN, AssuranceError, Claims};
use crate::tpm::sha256;

/// The `typ` of an assurance (RFC 7515, section 4.1.9).
pub const ASSURANCE_TYPE: &str = "pawl-assurance+jwt";

const CERTIFICATES_MAX: usize = 4;

/// Header and claims of an assurance, which the TPM signs (RFC 7515, section 5.1).
///
/// The form is valid; the content is untrusted. Before its TPM signs, the device compares
/// [`SigningInput::claims`] with its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningInput {
    text: String,
    certificate: Vec<u8>,
    claims: Claims,
}

/// Unknown members are refused, because one of them could change the meaning of the rest (RFC 7515, section
/// 4.1.11).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    x5c: Vec<String>,
}

impl SigningInput {
    /// Composes the text that the TPM signs. `x5c` are certificates in DER: the action key's, then that of the
    /// CA that signed it.
    ///
    /// # Errors
    /// [`AssuranceError::TooLong`], [`AssuranceError::Certificates`], and [`AssuranceError::Claims`] if the list
    /// of approvers is empty.
    pub fn new(claims: &Claims, x5c: &[&[u8]]) -> Result<Self, AssuranceError> {
        let header = Header {
            alg: ALGORITHM.into(),
            typ: ASSURANCE_TYPE.into(),
            x5c: x5c.iter().map(|certificate| STANDARD.encode(certificate)).collect(),
        };
        let header = serde_json::to_vec(&header).map_err(|_| AssuranceError::Header)?;
        let claims = serde_json::to_vec(claims).map_err(|_| AssuranceError::Claims)?;
        // Parse the result, so that nothing unreadable is signed.
        Self::parse(&pawl_jose::signing_input(header, claims))
    }

    /// Parses the two parts and the dot between them.
    ///
    /// # Errors
    /// The error of the first part that is malformed or not an assurance's.
    pub fn parse(text: &str) -> Result<Self, AssuranceError> {
        if text.len().saturating_add(SIGNATURE_LEN) > ASSURANCE_MAX_LEN {
            return Err(AssuranceError::TooLong);
        }
        let [header, claims] = pawl_jose::split(text).map_err(|_| AssuranceError::Form)?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| AssuranceError::Header)?;
        if header.alg != ALGORITHM {
            return Err(AssuranceError::Algorithm);
        }
        if header.typ != ASSURANCE_TYPE {
            return Err(AssuranceError::Type);
        }
        let certificate = first_certificate(&header.x5c).ok_or(AssuranceError::Certificates)?;
        let claims = serde_json::from_slice(&claims).map_err(|_| AssuranceError::Claims)?;
        Ok(Self { text: text.to_owned(), certificate, claims })
    }

    /// Returns the two parts and the dot between them.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the claims.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Returns the DER certificate of the key that must sign.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Returns the SHA-256 of the text, the digest for `TPM2_Sign`.
    pub fn digest(&self) -> [u8; 32] {
        sha256(&[self.text.as_bytes()])
    }

    /// Returns the compact JWS with the signature r ‖ s.
    pub fn signed(&self, signature: &[u8; 64]) -> String {
        pawl_jose::signed(&self.text, signature)
    }
}

/// Returns the first certificate; `None` if the list is empty, too long or malformed. The other certificates only help
/// receivers find the CA.
fn first_certificate(x5c: &[String]) -> Option<Vec<u8>> {
    if x5c.len() > CERTIFICATES_MAX {
        return None;
    }
    let certificate = STANDARD.decode(x5c.first()?).ok()?;
    Some(certificate)
}
